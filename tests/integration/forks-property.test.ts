import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { MatrixEvent, StateMap } from '../../src/protocol/events/event.ts'
import { parseServerName } from '../../src/protocol/ids.ts'
import type { EventId } from '../../src/protocol/ids.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { RoomVersion, RoomVersionId } from '../../src/protocol/room-versions/room-version.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import type { ForeignEvent, ForeignResult } from '../../src/services/events/foreign-events.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { systemRandom } from '../../src/util/random.ts'
import { startEventProcess } from '../kit/event-process.ts'
import type { EventProcess } from '../kit/event-process.ts'
import { NaiveResolver } from '../kit/naive-state-resolution.ts'
import { growRandomly, TestDag } from '../kit/random-dag.ts'
import { readCurrentState, readExtremities, readStateBefore } from '../kit/stored-state.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const RUN_COUNT = 6
const server = { serverName: parseServerName('hs'), signingKey: generateSigningKey(systemRandom) }

let options: DatabaseOptions
/** What became of all events: the test must see each. */
const counts: Record<string, number> = {}
let reader: Database

beforeAll(async () => {
  options = await createTestDatabase(inject('postgres'), `forks_${randomBytes(6).toString('hex')}`)
  reader = new Database({ ...options, max: 4 }, { onError: () => {} })
})

afterAll(async () => {
  expect(Object.keys(counts).toSorted()).toEqual(['accepted', 'rejected', 'softFailed'])
  const [stored] = await reader.query<{ overlays: number; forks: number }>(
    'test_coverage',
    'SELECT (SELECT count(*) FROM state_overlays) AS overlays, (SELECT max(cardinality(extremities)) FROM room_head) AS forks',
  )
  expect(stored?.overlays).toBeGreaterThan(50)
  expect(stored?.forks).toBeGreaterThan(1)
  await reader.close()
  await dropTestDatabase(options, options.database)
})

function foreign(event: MatrixEvent): ForeignEvent {
  return { event, json: JSON.stringify(event.pdu) }
}

function versionOf(id: string): RoomVersion {
  const version = getRoomVersion(id)
  if (!version) throw new Error(`Room version ${id} is not known`)
  return version
}

function sorted(state: ReadonlyMap<string, string>): [string, string][] {
  return [...state].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** A graph that the reference resolves, and what a server that receives it in some order has to think of it. */
class Expectation {
  readonly dag: TestDag
  readonly #resolver: NaiveResolver
  /** Soft-failed and rejected events: no part of the room's ends. */
  readonly #aside = new Set<EventId>()
  extremities: EventId[]

  constructor(version: RoomVersion, decisions: readonly number[], suffix: string) {
    this.dag = new TestDag(version, (states) => this.#resolver.resolve(states), suffix)
    this.#resolver = new NaiveResolver(version, this.dag.events)
    const start = this.dag.start()
    this.extremities = [start]
    growRandomly(this.dag, start, decisions, { isHostile: true })
  }

  event(eventId: EventId): MatrixEvent {
    const event = this.dag.events.get(eventId)
    if (!event) throw new Error(`${eventId} is not in the graph`)
    return event
  }

  note(eventId: EventId, result: ForeignResult): void {
    expect(result === 'rejected').toBe(this.dag.rejected.has(eventId))
    counts[String(result)] = (counts[String(result)] ?? 0) + 1
    if (result !== 'accepted') this.#aside.add(eventId)
    if (result !== 'accepted') return
    const covered = new Set<EventId>()
    const stack = [...this.event(eventId).prevEventIds]
    for (let prev = stack.pop(); prev !== undefined; prev = stack.pop()) {
      covered.add(prev)
      if (this.#aside.has(prev)) stack.push(...this.event(prev).prevEventIds)
    }
    this.extremities = [...this.extremities.filter((one) => !covered.has(one)), eventId]
  }

  get currentState(): StateMap<EventId> {
    const states = this.dag.stateSets(this.extremities)
    return this.#resolver.resolve(states)
  }

  stateBefore(eventId: EventId): StateMap<EventId> {
    return this.dag.stateAfter(this.event(eventId).prevEventIds)
  }

  /** The events after the start in some order in which none comes before its prev_events. */
  order(numbers: readonly number[]): EventId[] {
    const left = new Set(this.dag.order.slice(6))
    const ordered: EventId[] = []
    for (let step = 0; left.size > 0; step++) {
      const free = [...left].filter((eventId) => this.event(eventId).prevEventIds.every((prev) => !left.has(prev)))
      const next = free[(numbers[step % numbers.length] ?? 0) % free.length] as EventId
      left.delete(next)
      ordered.push(next)
    }
    return ordered
  }

  async importInto(process: EventProcess): Promise<void> {
    const [last, before] = [this.dag.order[5] as EventId, this.dag.order[4] as EventId]
    const stateEvents = [...(this.dag.states.get(before) ?? [])].map(([, eventId]) => foreign(this.event(eventId)))
    const { roomId, roomVersion } = this.dag
    const join = foreign(this.event(last))
    const result = await process.persister.importRoom({ roomId, roomVersion: roomVersion.id, stateEvents, authChain: [], join })
    expect(result).toBe('accepted')
  }
}

const decisions = fc.array(fc.nat(1_000), { minLength: 40, maxLength: 140, size: 'max' })
const orders = fc.array(fc.nat(1_000), { minLength: 30, maxLength: 30 })
const sizes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 10, maxLength: 10 })

async function check(expectation: Expectation): Promise<void> {
  const { roomId } = expectation.dag
  expect(await readExtremities(reader, roomId)).toEqual(expectation.extremities.toSorted())
  expect(sorted(await readCurrentState(reader, roomId))).toEqual(sorted(expectation.currentState))
}

async function deliver(
  expectation: Expectation,
  processes: readonly EventProcess[],
  plan: { readonly order: readonly EventId[]; readonly sizes: readonly number[] },
): Promise<void> {
  const queue = [...plan.order]
  for (let step = 0; queue.length > 0; step++) {
    const batch = queue.splice(0, plan.sizes[step % plan.sizes.length])
    const process = processes[step % processes.length] as EventProcess
    const events = batch.map((eventId) => foreign(expectation.event(eventId)))
    const results = await process.persister.appendForeign({ roomId: expectation.dag.roomId, events })
    for (const [index, result] of results.entries()) {
      expect(result).toBeOneOf(['accepted', 'softFailed', 'rejected'])
      expectation.note(batch[index] as EventId, result)
    }
    await check(expectation)
  }
  for (const eventId of plan.order)
    expect(sorted(await readStateBefore(reader, eventId))).toEqual(sorted(expectation.stateBefore(eventId)))
}

describe.each(['1', '2', '6', '10', '11', '12'] satisfies RoomVersionId[])('forked rooms of version %s', (id) => {
  const version = versionOf(id)

  it(
    'I4: have the state that the reference resolves, at each step and before each event, in any order, over restarts',
    { timeout: 300_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(decisions, orders, sizes, async (numbers, order, batchSizes) => {
          const expectation = new Expectation(version, numbers, randomBytes(6).toString('hex'))
          let process = startEventProcess(options, server)
          try {
            await expectation.importInto(process)
            await check(expectation)
            const all = expectation.order(order)
            const half = all.length >> 1
            await deliver(expectation, [process], { order: all.slice(0, half), sizes: batchSizes })
            await process.stop()
            process = startEventProcess(options, server)
            await deliver(expectation, [process], { order: all.slice(half), sizes: batchSizes })
          } finally {
            await process.stop()
          }
        }),
        { numRuns: RUN_COUNT },
      )
    },
  )

  it('are the same through two processes that both think they own the room', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(decisions, orders, sizes, async (numbers, order, batchSizes) => {
        const expectation = new Expectation(version, numbers, randomBytes(6).toString('hex'))
        const processes = [startEventProcess(options, server), startEventProcess(options, server)]
        try {
          await expectation.importInto(processes[0] as EventProcess)
          await deliver(expectation, processes, { order: expectation.order(order), sizes: batchSizes })
        } finally {
          await Promise.all(processes.map((process) => process.stop()))
        }
      }),
      { numRuns: 3 },
    )
  })
})
