import { setTimeout as sleep } from 'node:timers/promises'
import { serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import { advanceCursor, getCursor } from '../../storage/tables/consumer-cursors.ts'
import { getProfileFields, getProfileRowsSince } from '../../storage/tables/profiles.ts'
import {
  containsPattern,
  getDirectoryEvents,
  getPublicRooms,
  getRoomPublicity,
  searchDirectory,
  setPublicRooms,
  upsertDirectoryUsers,
} from '../../storage/tables/user-directory.ts'
import type { DirectoryEventRow } from '../../storage/tables/user-directory.ts'
import { stateChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { STREAMS } from '../../streams/streams.ts'
import type { Background } from '../../util/background.ts'
import { makeDirectoryRow, splitSearchTerm } from './directory-text.ts'

const CONSUMER = 'user_directory'
const LANE = 0
const BATCH_EVENTS = 500
const BATCH_POSITIONS = 5_000
/** Changes are gathered this long, unless somebody searches. */
const GATHER_MS = 500
/** How long a search waits for changes that were made before it. */
const CATCH_UP_MS_MAX = 2_000
const RESULTS_DEFAULT = 10
const RESULTS_MAX = 50
const TYPES: ReadonlySet<string> = new Set(['m.room.member', 'm.room.join_rules', 'm.room.history_visibility'])

export interface UserDirectoryOptions {
  readonly serverName: ServerName
  readonly enabled: boolean
  readonly searchAllUsers: boolean
  readonly preferLocalUsers: boolean
  readonly excludeRemoteUsers: boolean
  readonly showLockedUsers: boolean
}

export interface FoundUsers {
  readonly results: readonly { readonly user_id: string; readonly display_name?: string; readonly avatar_url?: string }[]
  readonly limited: boolean
}

/**
 * Finds users by id and name. Follows the streams of events and profiles from cursors in the database. Our users are known by
 * their profile, never by a name that they have in one room only; others by what public rooms say. Spec: users.yaml.
 */
export class UserDirectory {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #background: Background
  readonly #options: UserDirectoryOptions
  readonly #done = { events: 0, profiles: 0 }
  readonly #newest = { events: 0, profiles: 0 }
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #keeper: { catchUp(): Promise<void> } | undefined
  /** Of the lease of the role; undefined while another process has it. */
  #epoch: number | undefined

  constructor(deps: { database: Database; hub: StreamHub; background: Background; options: UserDirectoryOptions }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#background = deps.background
    this.#options = deps.options
    deps.hub.onRow('events', (row, position) => {
      if (stateChangesOf(row).some(({ type }) => TYPES.has(type))) this.#note('events', position)
    })
    deps.hub.onRow('profiles', (_row, position) => this.#note('profiles', position))
    for (const stream of ['events', 'profiles'] as const) deps.hub.onReset(stream, (head) => this.#note(stream, head))
  }

  #note(stream: 'events' | 'profiles', position: number): void {
    this.#newest[stream] = position
    if (this.#epoch === undefined) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#background.run('user directory', () => this.catchUp())
    }, GATHER_MS)
  }

  /** Whether this process keeps the directory. */
  get isHolder(): boolean {
    return this.#epoch !== undefined
  }

  /** Takes the role. Must run after the streams' heads were set. Does not wait for the directory. */
  async start(epoch: number): Promise<void> {
    if (!this.#options.enabled) return
    this.#epoch = epoch
    for (const stream of ['events', 'profiles'] as const) {
      this.#done[stream] = await getCursor(this.#database, {
        consumer: CONSUMER,
        stream: STREAMS[stream].number,
        lane: LANE,
      })
      this.#newest[stream] = this.#hub.head(stream)
    }
    this.#background.run('user directory', () => this.catchUp())
  }

  /** Looks at everything once more, where this process keeps the directory. */
  rebuild(): void {
    if (this.#epoch === undefined) return
    this.#background.run('user directory', async () => {
      await this.#running
      for (const stream of ['events', 'profiles'] as const) {
        this.#done[stream] = 0
        this.#newest[stream] = this.#hub.head(stream)
      }
      await this.catchUp()
    })
  }

  /** Gives the role back. */
  stop(): void {
    this.#epoch = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Settles when everything that was committed before this call can be found. */
  async catchUp(): Promise<void> {
    const goal = { ...this.#newest }
    while (this.#epoch !== undefined && (this.#done.events < goal.events || this.#done.profiles < goal.profiles)) {
      this.#running ??= this.#takeBatch(this.#epoch).finally(() => (this.#running = undefined))
      await this.#running
    }
  }

  /** Says who is asked to catch up, where another process may have the role. */
  setKeeper(keeper: { catchUp(): Promise<void> }): void {
    this.#keeper = keeper
  }

  async #takeBatch(epoch: number): Promise<void> {
    const head = this.#hub.head('events')
    const rows = await getDirectoryEvents(this.#database, {
      lane: LANE,
      after: this.#done.events,
      upTo: head,
      limit: BATCH_EVENTS,
    })
    const eventsUpTo = rows.length < BATCH_EVENTS ? head : (rows.at(-1)?.position ?? head)
    const profilesUpTo = Math.min(this.#hub.head('profiles'), this.#done.profiles + BATCH_POSITIONS)
    const changes = await getProfileRowsSince(this.#database, { after: this.#done.profiles, upTo: profilesUpTo })
    const userIds = [
      ...new Set(changes.flatMap(({ userId, field }) => (field === 'displayname' || field === 'avatar_url' ? [userId] : []))),
    ]
    await this.#database.transaction('user_directory', async (tx) => {
      await this.#applyRooms(tx, rows)
      await this.#applyRemoteMembers(tx, rows)
      await applyProfiles(tx, userIds)
      const cursor = { consumer: CONSUMER, lane: LANE, epoch }
      await advanceCursor(tx, { ...cursor, stream: STREAMS.events.number, pos: eventsUpTo })
      await advanceCursor(tx, { ...cursor, stream: STREAMS.profiles.number, pos: profilesUpTo })
    })
    this.#done.events = eventsUpTo
    this.#done.profiles = profilesUpTo
  }

  /** Looks at the rooms' state as it is now: an event in the timeline need not have come into effect. */
  async #applyRooms(tx: Queryable, rows: readonly DirectoryEventRow[]): Promise<void> {
    const roomNids = [...new Set(rows.flatMap((row) => (row.type === 'm.room.member' ? [] : [row.roomNid])))]
    if (roomNids.length === 0) return
    const publicNids = new Set<number>()
    for (const { roomNid, type, json } of await getRoomPublicity(tx, roomNids)) {
      const content = contentOf(json)
      const isPublic =
        type === 'm.room.join_rules' ? content['join_rule'] === 'public' : content['history_visibility'] === 'world_readable'
      if (isPublic) publicNids.add(roomNid)
    }
    await setPublicRooms(tx, { publicNids: [...publicNids], otherNids: roomNids.filter((roomNid) => !publicNids.has(roomNid)) })
  }

  async #applyRemoteMembers(tx: Queryable, rows: readonly DirectoryEventRow[]): Promise<void> {
    const members = rows.flatMap((row) => {
      if (
        row.type !== 'm.room.member' ||
        row.stateKey === null ||
        row.json === null ||
        serverNameOf(row.stateKey) === this.#options.serverName
      )
        return []
      const content = contentOf(row.json)
      return content['membership'] === 'join' ? [{ userId: row.stateKey, roomNid: row.roomNid, content }] : []
    })
    if (members.length === 0) return
    const publicNids = new Set(
      await getPublicRooms(
        tx,
        members.map((member) => member.roomNid),
      ),
    )
    const named = new Map<string, ReturnType<typeof makeDirectoryRow>>()
    const unnamed = new Map<string, ReturnType<typeof makeDirectoryRow>>()
    for (const { userId, roomNid, content } of members) {
      if (publicNids.has(roomNid))
        named.set(userId, makeDirectoryRow(userId, { displayName: content['displayname'], avatarUrl: content['avatar_url'] }))
      else unnamed.set(userId, makeDirectoryRow(userId, { displayName: undefined, avatarUrl: undefined }))
    }
    await upsertDirectoryUsers(tx, [...named.values()], { keepNames: false })
    await upsertDirectoryUsers(tx, [...unnamed.values()], { keepNames: true })
  }

  /** Finds users that the requester may know of: of shared rooms, of public ones, or all of them by option. */
  async search(userId: UserId, request: { term: string; limit: number | undefined }): Promise<FoundUsers> {
    const [first, ...others] = splitSearchTerm(request.term)
    if (!this.#options.enabled || first === undefined) return { results: [], limited: false }
    await this.#waitForChanges()
    const limit = Math.max(1, Math.min(request.limit ?? RESULTS_DEFAULT, RESULTS_MAX))
    const { serverName, searchAllUsers, preferLocalUsers, excludeRemoteUsers, showLockedUsers } = this.#options
    const rows = await searchDirectory(this.#database, {
      userId,
      patterns: [containsPattern(first), ...others.map(containsPattern)],
      term: first.replace(/^@/, ''),
      serverName,
      isEveryoneVisible: searchAllUsers,
      isLocalPreferred: preferLocalUsers,
      isRemoteExcluded: excludeRemoteUsers,
      areLockedShown: showLockedUsers,
      limit: limit + 1,
    })
    const results = rows.slice(0, limit).map((row) => ({
      user_id: row.userId,
      ...(row.displayName === null ? {} : { display_name: row.displayName }),
      ...(row.avatarUrl?.startsWith('mxc://') === true ? { avatar_url: row.avatarUrl } : {}),
    }))
    return { results, limited: rows.length > limit }
  }

  /** Who searches finds what was done before, unless the directory is far behind. */
  async #waitForChanges(): Promise<void> {
    const stop = new AbortController()
    const deadline = sleep(CATCH_UP_MS_MAX, undefined, { signal: stop.signal, ref: false }).catch(() => undefined)
    try {
      await Promise.race([this.#keeper?.catchUp() ?? this.catchUp(), deadline])
    } finally {
      stop.abort()
    }
  }
}

async function applyProfiles(tx: Queryable, userIds: readonly string[]): Promise<void> {
  if (userIds.length === 0) return
  const profiles = new Map(
    userIds.map((userId) => [userId, { displayName: undefined as unknown, avatarUrl: undefined as unknown }]),
  )
  for (const { userId, name, valueJson } of await getProfileFields(tx, userIds)) {
    const profile = profiles.get(userId)
    if (profile && name === 'displayname') profile.displayName = JSON.parse(valueJson)
    if (profile && name === 'avatar_url') profile.avatarUrl = JSON.parse(valueJson)
  }
  await upsertDirectoryUsers(
    tx,
    [...profiles].map(([userId, profile]) => makeDirectoryRow(userId, profile)),
    { keepNames: false },
  )
}

function contentOf(json: string): Readonly<Record<string, unknown>> {
  const event: unknown = JSON.parse(json)
  const content = isJsonObject(event) ? event['content'] : undefined
  return isJsonObject(content) ? content : {}
}
