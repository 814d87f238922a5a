import { setTimeout as sleep } from 'node:timers/promises'
import type { SyncResponse } from '../kit/sync-response.ts'
import { pathOf } from './chaos-client.ts'
import type { ChaosClient, Target } from './chaos-client.ts'
import type { SyncEntry } from './history.ts'
import { ACCOUNT_DATA_TYPE, WHISPER_TYPE } from './world.ts'
import type { Session, World } from './world.ts'

const POLL_MS = 2000
const RETRY_MS = 100
const FILTER = {
  presence: { types: [] },
  // Small, so that who was away has gaps to fill.
  room: { timeline: { limit: 20 }, ephemeral: { types: ['m.receipt'] } },
}

/** A device that follows its token chain: a token counts as reached only with a whole answer, whatever it takes. */
export class Follower {
  readonly name: string
  readonly session: Session
  readonly #world: World
  readonly #choose: () => Target
  /** Tokens of the past with the number of links that came before them. */
  readonly oldTokens: string[] = []
  #since = ''
  /** When the last answer was asked for that brought nothing. */
  #quietSince = -1

  constructor(world: World, options: { readonly name: string; readonly session: Session; readonly choose: () => Target }) {
    this.#world = world
    this.name = options.name
    this.session = options.session
    this.#choose = options.choose
  }

  get since(): string {
    return this.#since
  }

  /** Whether an answer that was asked for after this moment of the run brought nothing: all is known. */
  isQuietSince(t: number): boolean {
    return this.#quietSince >= t
  }

  /** Makes the first sync. */
  async begin(): Promise<void> {
    const { client, recorder } = this.#world
    const t = recorder.now()
    const target = this.#choose()
    const answer = await syncOnce(client, target, { token: this.session.token })
    if (answer === undefined) throw new Error(`The first sync of ${this.name} at ${target.name} failed: ${client.lastTrouble}`)
    const rooms = Object.entries(answer.rooms?.join ?? {})
    const last = Object.fromEntries(rooms.map(([room, { timeline }]) => [room, timeline?.events.at(-1)?.event_id ?? '']))
    this.#since = answer.next_batch
    const common = { t, end: recorder.now(), process: target.name, key: this.name, result: 'ok' } as const
    recorder.add({ op: 'start', ...common, next: answer.next_batch, last })
  }

  /** Follows until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, recorder } = this.#world
    while (!signal.aborted) {
      const target = this.#choose()
      const t = recorder.now()
      const since = this.#since
      const link = await readLink(client, { target, token: this.session.token, since, timeoutMs: POLL_MS })
      if (link === undefined) {
        await sleep(RETRY_MS)
        continue
      }
      this.#since = link.next
      this.oldTokens.push(link.next)
      if (Object.keys(link.events).length === 0 && link.whispers.length === 0) this.#quietSince = t
      recorder.add({ op: 'sync', t, end: recorder.now(), process: target.name, key: this.name, result: 'ok', since, ...link })
    }
  }
}

type Link = Pick<SyncEntry, 'next' | 'events' | 'whispers' | 'receipts' | 'accountData'>

/** One link of a token chain, whole or not at all. */
export async function readLink(
  client: ChaosClient,
  options: { readonly target: Target; readonly token: string; readonly since: string; readonly timeoutMs: number },
): Promise<Link | undefined> {
  const { target, token, since } = options
  const answer = await syncOnce(client, target, options)
  if (answer === undefined) return undefined
  const events: Record<string, string[]> = {}
  const receipts: { room: string; user: string; eventId: string }[] = []
  for (const [room, { timeline, ephemeral }] of Object.entries(answer.rooms?.join ?? {})) {
    const seen: string[] = []
    if (timeline?.limited === true) {
      const gap = await readGap(client, { target, token, room, from: timeline.prev_batch, to: since })
      if (gap === undefined) return undefined
      seen.push(...gap)
    }
    seen.push(...(timeline?.events ?? []).map((event) => event.event_id))
    if (seen.length > 0) events[room] = seen
    for (const { content } of ephemeral?.events ?? []) receipts.push(...receiptsOf(room, content))
  }
  const whispers = (answer.to_device?.events ?? []).filter(({ type }) => type === WHISPER_TYPE)
  const value = answer.account_data?.events.find(({ type }) => type === ACCOUNT_DATA_TYPE)?.content['value']
  return {
    next: answer.next_batch,
    events,
    whispers: whispers.map(({ content }) => String(content['key'])),
    receipts,
    ...(typeof value === 'number' ? { accountData: value } : {}),
  }
}

function receiptsOf(room: string, content: Record<string, unknown>): { room: string; user: string; eventId: string }[] {
  return Object.entries(content).flatMap(([eventId, kinds]) =>
    Object.keys((kinds as Record<string, Record<string, unknown>>)['m.read'] ?? {}).map((user) => ({ room, user, eventId })),
  )
}

/** One /sync; undefined when nobody answered well. */
export async function syncOnce(
  client: ChaosClient,
  target: Target,
  options: { readonly token: string; readonly since?: string; readonly timeoutMs?: number; readonly filter?: unknown },
): Promise<SyncResponse | undefined> {
  const { token, since, timeoutMs = 0, filter = FILTER } = options
  const query = new URLSearchParams({ timeout: String(timeoutMs), filter: JSON.stringify(filter) })
  if (since !== undefined) query.set('since', since)
  const answer = await client.send(target, 'GET', `${pathOf('sync')}?${query.toString()}`, { token })
  return answer.result === 'ok' ? (answer.body as unknown as SyncResponse) : undefined
}

/** What a limited timeline left out, oldest first; undefined when nobody answered well. */
async function readGap(
  client: ChaosClient,
  options: {
    readonly target: Target
    readonly token: string
    readonly room: string
    readonly from: string | undefined
    readonly to: string
  },
): Promise<string[] | undefined> {
  const { target, token, room, to } = options
  const newestFirst: string[] = []
  let { from } = options
  while (from !== undefined) {
    const query = new URLSearchParams({ dir: 'b', from, to, limit: '100' })
    const path = `${pathOf('rooms', room, 'messages')}?${query.toString()}`
    const { result, body } = await client.send(target, 'GET', path, { token })
    if (result !== 'ok') return undefined
    newestFirst.push(...(body['chunk'] as { event_id: string }[]).map((event) => event.event_id))
    const end = body['end'] as string | undefined
    from = end === from ? undefined : end
  }
  return newestFirst.toReversed()
}
