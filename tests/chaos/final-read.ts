import { pathOf } from './chaos-client.ts'
import type { ChaosClient, Target } from './chaos-client.ts'
import { readLink, syncOnce } from './follower.ts'
import type { Follower } from './follower.ts'
import { receiptKey } from './history.ts'
import { ACCOUNT_DATA_TYPE } from './world.ts'
import type { Session, World } from './world.ts'

/** What one process says at rest. */
export interface ProcessRead {
  readonly name: string
  /** Events of each room, oldest first, as /messages tells; `body` only of messages. */
  readonly rooms: Readonly<Record<string, readonly { readonly eventId: string; readonly body?: string }[]>>
  /** Who is joined, by endpoint and room. */
  readonly members: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
  /** Newest read receipt by `receiptKey`. */
  readonly receipts: Readonly<Record<string, string>>
  readonly accountData: number | undefined
  /** Unread messages of the reader, who has read everything. */
  readonly unread: Readonly<Record<string, number>>
  /** Ended tokens that it still accepts. */
  readonly living: readonly string[]
  /** Chains that were taken up again at an old token. */
  readonly resumed: readonly {
    readonly device: string
    readonly since: string
    readonly events: Readonly<Record<string, readonly string[]>>
  }[]
}

/** A final read of every process. */
export type FinalRead = readonly ProcessRead[]

const OLD_TOKENS_MAX = 3
const DEAD_TOKENS_MAX = 20

/** Reads everything from every process that serves clients, after the reader has read all rooms to their ends. */
export async function readFinally(world: World, followers: readonly Follower[]): Promise<FinalRead> {
  const { client, reader, rooms } = world
  for (const room of rooms) {
    const newest = (await readRoom(client, client.proxy, { room, token: reader.token })).at(-1)
    await mustSend(client, client.proxy, 'POST', pathOf('rooms', room, 'receipt', 'm.read', newest?.eventId ?? ''), reader, {})
  }
  // Whoever counts unread messages elsewhere has to hear of it.
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const reads: ProcessRead[] = []
  for (const target of client.direct) reads.push(await readProcess(world, target, followers))
  return reads
}

async function readProcess(world: World, target: Target, followers: readonly Follower[]): Promise<ProcessRead> {
  const { client, reader, rooms } = world
  const messages: Record<string, { eventId: string; body?: string }[]> = {}
  const members: Record<string, Record<string, readonly string[]>> = { members: {}, joined_members: {}, state: {}, sync: {} }
  const { token } = reader
  const whole = await syncOnce(client, target, { token, filter: { room: { timeline: { limit: 1 } } } })
  if (whole === undefined) throw new Error(`${target.name} does not answer at rest`)
  const unread: Record<string, number> = {}
  const receipts: Record<string, string> = {}
  for (const room of rooms) {
    messages[room] = await readRoom(client, target, { room, token })
    const get = (...parts: string[]) => mustSend(client, target, 'GET', pathOf('rooms', room, ...parts), reader)
    const joined = (events: readonly MemberEvent[]): string[] => joinedOf(events)
    members['members']![room] = joined((await get('members'))['chunk'] as MemberEvent[])
    members['joined_members']![room] = Object.keys((await get('joined_members'))['joined'] as object).toSorted()
    members['state']![room] = joined((await get('state')) as unknown as MemberEvent[])
    const told = whole.rooms?.join?.[room]
    members['sync']![room] = joined([...(told?.state?.events ?? []), ...(told?.timeline?.events ?? [])] as MemberEvent[])
    unread[room] = told?.unread_notifications?.notification_count ?? 0
    for (const { content } of told?.ephemeral?.events ?? []) {
      for (const [eventId, kinds] of Object.entries(content))
        for (const user of Object.keys((kinds as Record<string, object>)['m.read'] ?? {}))
          receipts[receiptKey(user, room)] = eventId
    }
  }
  const value = whole.account_data?.events.find(({ type }) => type === ACCOUNT_DATA_TYPE)?.content['value']
  return {
    name: target.name,
    rooms: messages,
    members,
    receipts,
    accountData: typeof value === 'number' ? value : undefined,
    unread,
    living: await findLiving(world, target),
    resumed: await resume(world, target, followers),
  }
}

interface MemberEvent {
  readonly type: string
  readonly state_key?: string
  readonly content: Record<string, unknown>
}

function joinedOf(events: readonly MemberEvent[]): string[] {
  const membership = new Map<string, unknown>()
  for (const { type, state_key: user, content } of events)
    if (type === 'm.room.member' && user !== undefined) membership.set(user, content['membership'])
  return [...membership].flatMap(([user, value]) => (value === 'join' ? [user] : [])).toSorted()
}

async function readRoom(
  client: ChaosClient,
  target: Target,
  { room, token }: { room: string; token: string },
): Promise<{ eventId: string; body?: string }[]> {
  const found: { eventId: string; body?: string }[] = []
  let from: string | undefined
  for (;;) {
    const query = new URLSearchParams({ dir: 'f', limit: '100', ...(from === undefined ? {} : { from }) })
    const page = await mustSend(client, target, 'GET', `${pathOf('rooms', room, 'messages')}?${query.toString()}`, { token })
    for (const { event_id: eventId, type, content } of page['chunk'] as (MemberEvent & { event_id: string })[])
      found.push({ eventId, ...(type === 'm.room.message' ? { body: String(content['body']) } : {}) })
    const end = page['end'] as string | undefined
    if (end === undefined || end === from) return found
    from = end
  }
}

async function findLiving({ client, recorder }: World, target: Target): Promise<string[]> {
  const living: string[] = []
  const ended = recorder.entries.filter((entry) => entry.op === 'logout' && entry.result === 'ok').slice(-DEAD_TOKENS_MAX)
  for (const { key } of ended) {
    const { result } = await client.send(target, 'GET', pathOf('account', 'whoami'), { token: key })
    if (result !== 'fail') living.push(key)
  }
  return living
}

/** Takes up chains of the past at their first, a middle and a late token. */
async function resume(world: World, target: Target, followers: readonly Follower[]): Promise<ProcessRead['resumed']> {
  const found = []
  for (const { name, session, oldTokens } of followers.slice(0, 2)) {
    for (let index = 0; index < OLD_TOKENS_MAX; index++) {
      const since = oldTokens[Math.floor((index * (oldTokens.length - 1)) / OLD_TOKENS_MAX)]
      if (since === undefined) continue
      const link = await readLink(world.client, { target, token: session.token, since, timeoutMs: 0 })
      if (link === undefined) throw new Error(`${target.name} does not take the old token ${since}`)
      found.push({ device: name, since, events: link.events })
    }
  }
  return found
}

async function mustSend(
  client: ChaosClient,
  target: Target,
  method: 'GET' | 'POST',
  path: string,
  { token }: Pick<Session, 'token'>,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const answer = await client.send(target, method, path, { token, ...(body === undefined ? {} : { body }) })
  if (answer.result !== 'ok')
    throw new Error(`At rest, ${method} ${path} of ${target.name} answers ${answer.status}: ${JSON.stringify(answer.body)}`)
  return answer.body
}
