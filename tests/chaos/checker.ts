import { checkAccountData, checkKeys, checkReceipts, checkTokens, checkWhispers } from './checker-users.ts'
import type { FinalRead } from './final-read.ts'
import { memberKey } from './history.ts'
import type { Entry, MemberEntry, SendEntry, StartEntry, SyncEntry } from './history.ts'

/** The rules of a fault run. */
export type Rule = 'C1' | 'C2' | 'C3' | 'C4' | 'C5' | 'C6' | 'C7' | 'C8' | 'C9' | 'C12' | 'C13'

/** A broken promise. */
export interface Violation {
  readonly rule: Rule
  readonly kind: 'lost' | 'doubled' | 'order' | 'other'
  readonly detail: string
}

/** Judges a run by its history and by what every process said at rest. A pure function. */
export function check(history: readonly Entry[], final: FinalRead): Violation[] {
  const run = readRun(history, final)
  return [
    ...checkSends(run),
    ...checkTransactions(run),
    ...checkOrder(run),
    ...checkChains(run),
    ...checkWhispers(run),
    ...checkKeys(run),
    ...checkMembers(run),
    ...checkReceipts(run),
    ...checkAccountData(run),
    ...checkOldTokens(run),
    ...checkTokens(run),
  ]
}

/** A run, sorted out once for all rules. */
export interface Run {
  readonly history: readonly Entry[]
  readonly final: FinalRead
  readonly sends: readonly SendEntry[]
  /** Devices' token chains by the devices' names. */
  readonly chains: ReadonlyMap<string, { readonly start: StartEntry; readonly links: readonly SyncEntry[] }>
  /** Order of each room's events, by the process that was read first. */
  readonly order: ReadonlyMap<string, ReadonlyMap<string, number>>
}

function readRun(history: readonly Entry[], final: FinalRead): Run {
  const chains = new Map<string, { start: StartEntry; links: SyncEntry[] }>()
  for (const entry of history) {
    if (entry.op === 'start') chains.set(entry.key, { start: entry, links: [] })
    if (entry.op === 'sync' && entry.result === 'ok') chains.get(entry.key)?.links.push(entry)
  }
  const order = new Map<string, Map<string, number>>()
  for (const [room, events] of Object.entries(final[0]?.rooms ?? {}))
    order.set(room, new Map(events.map(({ eventId }, index) => [eventId, index])))
  return { history, final, sends: history.filter((entry) => entry.op === 'send'), chains, order }
}

/** C1: what was acknowledged is in /messages of every process. */
function* checkSends({ sends, final }: Run): Generator<Violation> {
  for (const { name, rooms } of final) {
    const known = new Map(Object.entries(rooms).map(([room, events]) => [room, new Set(events.map(({ eventId }) => eventId))]))
    const missing = new Set<string>()
    for (const { result, eventId, room, key } of sends) {
      if (result !== 'ok' || eventId === undefined || known.get(room)?.has(eventId) === true || missing.has(key)) continue
      missing.add(key)
      yield { rule: 'C1', kind: 'lost', detail: `${name} does not know the acknowledged message ${key} (${eventId}) of ${room}` }
    }
  }
}

/** C2: one event for each transaction, and no message that nobody sent. */
function* checkTransactions({ sends, final }: Run): Generator<Violation> {
  const eventOf = new Map<string, string>()
  for (const { key, eventId } of sends) {
    if (eventId === undefined) continue
    const first = eventOf.get(key)
    if (first !== undefined && first !== eventId)
      yield { rule: 'C2', kind: 'doubled', detail: `transaction ${key} was answered with ${first} and with ${eventId}` }
    eventOf.set(key, first ?? eventId)
  }
  const sent = new Set(sends.map(({ room, body }) => `${room} ${body}`))
  for (const { name, rooms } of final) {
    for (const [room, events] of Object.entries(rooms)) {
      const seen = new Set<string>()
      for (const { body } of events) {
        if (body === undefined) continue
        if (seen.has(body)) yield { rule: 'C2', kind: 'doubled', detail: `${name} has “${body}” twice in ${room}` }
        if (!sent.has(`${room} ${body}`)) yield { rule: 'C2', kind: 'other', detail: `${name} has “${body}”, which nobody sent` }
        seen.add(body)
      }
    }
  }
}

/** C3: one order for all: every process tells it, and every device saw it. */
function* checkOrder({ final, chains, order }: Run): Generator<Violation> {
  const [first, ...others] = final
  for (const { name, rooms } of others) {
    for (const [room, events] of Object.entries(rooms)) {
      const expected = first?.rooms[room]?.map(({ eventId }) => eventId) ?? []
      const index = events.findIndex(({ eventId }, at) => eventId !== expected[at])
      if (index !== -1)
        yield {
          rule: 'C3',
          kind: 'order',
          detail: `${name} and ${first?.name} differ in ${room} at ${index}: ${events[index]?.eventId}`,
        }
    }
  }
  for (const [device, { links }] of chains) {
    for (const [room, ids] of joinLinks(links.map(({ events }) => events))) {
      let before = -1
      for (const id of ids) {
        const position = order.get(room)?.get(id)
        if (position === undefined) continue
        if (position < before) yield { rule: 'C3', kind: 'order', detail: `${device} saw ${id} of ${room} late` }
        before = Math.max(before, position)
      }
    }
  }
}

/** C4: along the chain of a device's tokens comes every event since its start, once. */
function* checkChains({ chains, order }: Run): Generator<Violation> {
  for (const [device, { start, links }] of chains) {
    let reached = start.next
    for (const { since, next } of links) {
      if (since !== reached) yield { rule: 'C4', kind: 'other', detail: `the history of ${device} is no chain at ${since}` }
      reached = next
    }
    const seen = joinLinks(links.map(({ events }) => events))
    for (const [room, last] of Object.entries(start.last)) {
      yield* compareChain({ rule: 'C4', who: device, room, seen: seen.get(room) ?? [], expected: eventsAfter(order, room, last) })
    }
  }
}

/** C12: a chain that is taken up at an old token brings what came after it, once. */
function* checkOldTokens({ chains, order, final }: Run): Generator<Violation> {
  for (const { name, resumed } of final) {
    for (const { device, since, events } of resumed) {
      const chain = chains.get(device)
      if (!chain) continue
      const upTo = chain.links.findIndex((link) => link.next === since)
      const before = joinLinks(chain.links.slice(0, upTo + 1).map((link) => link.events))
      for (const [room, last] of Object.entries(chain.start.last)) {
        const expected = eventsAfter(order, room, before.get(room)?.at(-1) ?? last)
        yield* compareChain({
          rule: 'C12',
          who: `${device} again at ${name} since ${since}`,
          room,
          seen: events[room] ?? [],
          expected,
        })
      }
    }
  }
}

function* compareChain(chain: {
  readonly rule: Rule
  readonly who: string
  readonly room: string
  readonly seen: readonly string[]
  readonly expected: readonly string[]
}): Generator<Violation> {
  const { rule, who, room, seen, expected } = chain
  const known = new Set<string>()
  for (const id of seen) {
    if (known.has(id)) yield { rule, kind: 'doubled', detail: `${who} saw ${id} of ${room} twice` }
    known.add(id)
  }
  const wanted = new Set(expected)
  for (const id of expected) if (!known.has(id)) yield { rule, kind: 'lost', detail: `${who} did not see ${id} of ${room}` }
  for (const id of known)
    if (!wanted.has(id)) yield { rule, kind: 'other', detail: `${who} saw ${id} of ${room}, which is not after its start` }
}

function eventsAfter(order: Run['order'], room: string, last: string): string[] {
  const positions = order.get(room) ?? new Map<string, number>()
  const after = positions.get(last) ?? -1
  return [...positions].flatMap(([id, position]) => (position > after ? [id] : []))
}

function joinLinks(links: readonly Readonly<Record<string, readonly string[]>>[]): Map<string, string[]> {
  const joined = new Map<string, string[]>()
  for (const events of links) {
    for (const [room, ids] of Object.entries(events)) {
      const all = joined.get(room) ?? []
      all.push(...ids)
      joined.set(room, all)
    }
  }
  return joined
}

/** C7: all endpoints of all processes name the same members, and the last answered join or leave counts. */
function* checkMembers({ history, final }: Run): Generator<Violation> {
  const [first] = final
  const reference = first?.members['members'] ?? {}
  for (const { name, members } of final) {
    for (const [endpoint, rooms] of Object.entries(members)) {
      for (const [room, users] of Object.entries(rooms)) {
        const expected = reference[room] ?? []
        if (JSON.stringify(users) !== JSON.stringify(expected))
          yield {
            rule: 'C7',
            kind: 'other',
            detail: `/${endpoint} of ${name} has ${users.join()} in ${room}; elsewhere ${expected.join()}`,
          }
      }
    }
  }
  const entries = history.filter((entry): entry is MemberEntry => entry.op === 'member')
  for (const [key, changes] of Map.groupBy(entries, (entry) => entry.key)) {
    const last = changes.findLastIndex(({ result }) => result === 'ok')
    const expected = changes[last]
    if (expected === undefined || changes.some(({ result, end }) => result === 'unknown' && end > expected.t - UNKNOWN_LATE_MS))
      continue
    for (const [room, users] of Object.entries(reference)) {
      for (const membership of ['join', 'leave'] as const) {
        const isJoined = users.some((user) => memberKey(room, user) === key)
        if (!key.startsWith(`${room} `) || expected.membership !== membership || isJoined === (membership === 'join')) continue
        yield { rule: 'C7', kind: 'lost', detail: `the ${membership} of ${key} was answered, and is not there` }
      }
    }
  }
}

/** A request without an answer may still be served so much later: by a process that stood still, say. */
export const UNKNOWN_LATE_MS = 60_000
