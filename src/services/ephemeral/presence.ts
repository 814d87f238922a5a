import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getActivePresences, getPresences, getPresencesSince } from '../../storage/tables/presence.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import type { Requester } from '../accounts/requester.ts'
import {
  applyTimeouts,
  combineDevices,
  isNews,
  OFFLINE,
  presenceContent,
  presenceEventJson,
  stateOfRow,
} from './presence-state.ts'
import type { DevicePresence, PresenceName, PresenceState, PresenceTimeouts } from './presence-state.ts'
import { PresenceWriter } from './presence-writer.ts'

const STATUS_MSG_CHARS_MAX = 2048
/** Changes that are remembered in order; readers further behind ask the database. */
const CHANGES_MAX = 20_000
/** Users in memory, before offline ones are forgotten. */
const USERS_MAX = 100_000
const SWEEP_MS_MAX = 5_000

interface TrackedUser {
  presence: PresenceState
  readonly devices: Map<string, DevicePresence>
}

export interface PresenceOptions extends PresenceTimeouts {
  readonly serverName: ServerName
  /** `untracked`: what our users do is ignored. */
  readonly enabled: boolean | 'untracked'
  readonly includeOfflineUsersOnSync: boolean
  readonly excludedRooms: readonly string[]
  readonly rateLimit: RateLimit
}

interface SharedRooms {
  sharesRoom(userId: UserId, otherId: UserId, excludedRooms?: ReadonlySet<string>): Promise<boolean>
  getUsersSharingRooms(userId: UserId): Promise<Set<UserId>>
}

interface PresenceDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly committer: LaneCommitter<'presence'>
  readonly background: Background
  readonly clock: Clock
  readonly rateLimiter: RateLimiter
  readonly memberships: SharedRooms
  readonly options: PresenceOptions
}

/** Knows who is online: states in memory, changes stored in batches. Spec: client-server-api § Presence. */
export class Presence {
  readonly #deps: PresenceDeps
  readonly #writer: PresenceWriter
  readonly #excludedRooms: ReadonlySet<string>
  readonly #users = new Map<UserId, TrackedUser>()
  /** Loads under way of users that are not in memory. */
  readonly #loading = new Map<UserId, Promise<TrackedUser>>()
  /** The newest changes, oldest first. Before `#changesFloor` nothing is remembered. */
  #changes: { readonly position: StreamPosition; readonly userId: UserId }[] = []
  #changesFloor = 0 as StreamPosition
  #sweepTimer: NodeJS.Timeout | undefined

  constructor(deps: PresenceDeps) {
    this.#deps = deps
    this.#writer = new PresenceWriter({ committer: deps.committer, background: deps.background })
    this.#excludedRooms = new Set(deps.options.excludedRooms)
    deps.hub.onRow('presence', ({ userId }, position) => this.#noteChange(userId as UserId, position))
    deps.hub.setReadSince('presence', async (_lane, after, upTo) =>
      (await getPresencesSince(deps.database, { after, upTo })).map(({ position, userId }) => ({ position, row: { userId } })),
    )
  }

  #noteChange(userId: UserId, position: StreamPosition): void {
    this.#changes.push({ position, userId })
    if (this.#changes.length < 2 * CHANGES_MAX) return
    this.#changes = this.#changes.slice(-CHANGES_MAX)
    const oldest = this.#changes[0]
    if (oldest) this.#changesFloor = (oldest.position - 1) as StreamPosition
  }

  /** Loads who was online when the server stopped; they go offline soon unless they come back. After the heads were set. */
  async start(): Promise<void> {
    const { database, hub, clock, options } = this.#deps
    this.#changesFloor = hub.head('presence')
    if (options.enabled === false) return
    const nowMs = clock.nowMs()
    for (const row of await getActivePresences(database)) {
      const presence = stateOfRow(row)
      const device: DevicePresence = {
        state: presence.state,
        lastActiveTsMs: presence.lastActiveTsMs,
        lastSyncTsMs: nowMs,
        syncCount: 0,
      }
      this.#users.set(row.userId as UserId, { presence, devices: new Map([['', device]]) })
    }
    if (this.#isTracking) this.#scheduleSweep()
  }

  get #isTracking(): boolean {
    return this.#deps.options.enabled === true
  }

  /**
   * Says that a /sync of the user begins, with its `set_presence`. Returns what must be called when it ends. Costs no query
   * and does not wait. A changed state counts for the rate limit; beyond, it is ignored.
   */
  userSyncing(userId: UserId, setPresence: PresenceName = 'online', deviceId?: DeviceId): () => void {
    if (!this.#isTracking || setPresence === 'offline') return noop
    let hasEnded = false
    let device: DevicePresence | undefined
    const begin = (user: TrackedUser): void => {
      device = this.#touchDevice(user, deviceId, setPresence, userId)
      device.lastSyncTsMs = this.#deps.clock.nowMs()
      if (!hasEnded) device.syncCount++
      this.#update(userId, user, user.presence.statusMsg)
    }
    const known = this.#users.get(userId)
    if (known) begin(known)
    else this.#deps.background.run('presence: load for a sync', async () => begin(await this.#load(userId)))
    return () => {
      if (hasEnded) return
      hasEnded = true
      if (!device) return
      device.syncCount--
      device.lastSyncTsMs = this.#deps.clock.nowMs()
    }
  }

  #touchDevice(user: TrackedUser, deviceId: DeviceId | undefined, state: PresenceName, userId: UserId): DevicePresence {
    const nowMs = this.#deps.clock.nowMs()
    const key = deviceId ?? ''
    const device = user.devices.get(key) ?? { state: 'offline', lastActiveTsMs: 0, lastSyncTsMs: nowMs, syncCount: 0 }
    user.devices.set(key, device)
    if (device.state !== state && this.#mayChange(userId)) device.state = state
    if (device.state === 'online') device.lastActiveTsMs = nowMs
    return device
  }

  #mayChange(userId: UserId): boolean {
    try {
      this.#deps.rateLimiter.consume(`presence ${userId}`, this.#deps.options.rateLimit)
      return true
    } catch (error) {
      if (error instanceof MatrixError) return false
      throw error
    }
  }

  /** Says that the user did something (sent, read) on the device: one that was idle is online again. Does not wait. */
  userActive(userId: UserId, deviceId: DeviceId | undefined): void {
    const user = this.#isTracking ? this.#users.get(userId) : undefined
    const device = user?.devices.get(deviceId ?? '')
    if (!user || !device) return
    device.lastActiveTsMs = this.#deps.clock.nowMs()
    if (device.state === 'unavailable') device.state = 'online'
    this.#update(userId, user, user.presence.statusMsg)
  }

  /** Sets the state and the status message (undefined takes it away) of one's own. Throws M_FORBIDDEN, M_LIMIT_EXCEEDED. */
  async set(requester: Requester, change: { userId: UserId; state: PresenceName; statusMsg: string | undefined }): Promise<void> {
    const { userId } = change
    if (requester.userId !== userId) throw new MatrixError('M_FORBIDDEN', 'Can only set your own presence state')
    if ((change.statusMsg?.length ?? 0) > STATUS_MSG_CHARS_MAX) {
      throw new MatrixError('M_INVALID_PARAM', `The status message may have at most ${STATUS_MSG_CHARS_MAX} characters`)
    }
    if (!this.#isTracking) return
    if (requester.isRateLimited) this.#deps.rateLimiter.consume(`presence ${userId}`, this.#deps.options.rateLimit)
    const user = await this.#load(userId)
    const nowMs = this.#deps.clock.nowMs()
    const key = requester.deviceId ?? ''
    const device = user.devices.get(key) ?? { state: change.state, lastActiveTsMs: nowMs, lastSyncTsMs: nowMs, syncCount: 0 }
    device.state = change.state
    device.lastActiveTsMs = nowMs
    user.devices.set(key, device)
    this.#update(userId, user, change.statusMsg === '' ? undefined : change.statusMsg)
    await this.#writer.flush()
  }

  /** Derives the user's state from the devices and tells about it, if it is news. */
  #update(userId: UserId, user: TrackedUser, statusMsg: string | undefined): void {
    const before = user.presence
    const state = combineDevices(user.devices.values())
    const lastActiveTsMs = lastActiveOf(user)
    const isCurrentlyActive =
      state === 'online' && this.#deps.clock.nowMs() - lastActiveTsMs < this.#deps.options.lastActiveGranularityMs
    const after: PresenceState = { state, statusMsg, lastActiveTsMs, isCurrentlyActive }
    // What is no news keeps the old time, so that small steps add up to news.
    if (!isNews(before, after, this.#deps.options)) return
    user.presence = after
    this.#writer.enqueue(userId, after)
  }

  async #load(userId: UserId): Promise<TrackedUser> {
    const known = this.#users.get(userId)
    if (known) return known
    const underWay = this.#loading.get(userId)
    if (underWay) return underWay
    const loading = getPresences(this.#deps.database, [userId]).then(([row]) => {
      const user: TrackedUser = { presence: row ? stateOfRow(row) : OFFLINE, devices: new Map() }
      this.#users.set(userId, user)
      return user
    })
    this.#loading.set(userId, loading)
    try {
      return await loading
    } finally {
      this.#loading.delete(userId)
    }
  }

  #scheduleSweep(): void {
    const { syncOnlineTimeoutMs, idleTimeoutMs } = this.#deps.options
    const delayMs = Math.max(50, Math.min(SWEEP_MS_MAX, syncOnlineTimeoutMs / 4, idleTimeoutMs / 4))
    this.#sweepTimer = setTimeout(() => {
      this.#sweep()
      this.#scheduleSweep()
    }, delayMs).unref()
  }

  /** Lets time pass for everyone: one cheap look at each user who is not offline. */
  #sweep(): void {
    const { clock, options } = this.#deps
    const nowMs = clock.nowMs()
    const canForget = this.#users.size > USERS_MAX
    for (const [userId, user] of this.#users) {
      const isTimedOut = applyTimeouts(user.devices, nowMs, options)
      const isPausing = user.presence.isCurrentlyActive && nowMs - user.presence.lastActiveTsMs >= options.lastActiveGranularityMs
      if (isTimedOut || isPausing) this.#update(userId, user, user.presence.statusMsg)
      else if (canForget && user.presence.state === 'offline') this.#users.delete(userId)
    }
  }

  /** The content of a user's presence for one who asks. Throws M_FORBIDDEN where they share no room, M_NOT_FOUND for other servers' users. */
  async get(requester: Requester, userId: UserId): Promise<Record<string, unknown>> {
    const { clock, memberships, options } = this.#deps
    if (options.enabled === false) return { presence: 'offline' }
    if (!(await memberships.sharesRoom(requester.userId, userId, this.#excludedRooms))) {
      throw new MatrixError('M_FORBIDDEN', 'You are not allowed to see their presence.')
    }
    if (serverNameOf(userId) !== options.serverName)
      throw new MatrixError('M_NOT_FOUND', 'There is no presence state for this user')
    const user = await this.#load(userId)
    return presenceContent({ ...user.presence, lastActiveTsMs: lastActiveOf(user) }, clock.nowMs())
  }

  /** The newest `m.presence` events (JSON) of users in shared rooms that changed with after < position <= upTo. */
  async getChanged(range: { userId: UserId; after: StreamPosition; upTo: StreamPosition }): Promise<string[]> {
    if (this.#deps.options.enabled === false || this.#deps.hub.head('presence') <= range.after) return []
    const changed =
      range.after < this.#changesFloor
        ? (await getPresencesSince(this.#deps.database, range)).map((row) => row.userId as UserId)
        : this.#changedSince(range.after, range.upTo)
    const visible: UserId[] = []
    for (const userId of new Set(changed)) {
      if (await this.#deps.memberships.sharesRoom(range.userId, userId, this.#excludedRooms)) visible.push(userId)
    }
    return this.getOfUsers(visible)
  }

  #changedSince(after: StreamPosition, upTo: StreamPosition): UserId[] {
    const userIds: UserId[] = []
    for (let index = this.#changes.length - 1; index >= 0; index--) {
      const change = this.#changes[index]
      if (!change || change.position <= after) break
      if (change.position <= upTo) userIds.push(change.userId)
    }
    return userIds
  }

  /** For a first sync: `m.presence` events (JSON) of everyone in shared rooms who is not offline (option: also who is). */
  async getInitial(userId: UserId): Promise<string[]> {
    if (this.#deps.options.enabled === false) return []
    const sharing = await this.#deps.memberships.getUsersSharingRooms(userId)
    const online = [...sharing].filter((other) => (this.#users.get(other)?.presence.state ?? 'offline') !== 'offline')
    return this.getOfUsers(this.#deps.options.includeOfflineUsersOnSync ? [...sharing] : online)
  }

  /** The `m.presence` events (JSON) of users as they are now; nothing for users who never had a state. */
  async getOfUsers(userIds: Iterable<UserId>): Promise<string[]> {
    if (this.#deps.options.enabled === false) return []
    const nowMs = this.#deps.clock.nowMs()
    const events: string[] = []
    const missing: UserId[] = []
    for (const userId of userIds) {
      const user = this.#users.get(userId)
      if (!user) missing.push(userId)
      else if (user.presence !== OFFLINE) events.push(presenceEventJson(userId, user.presence, nowMs))
    }
    if (missing.length === 0) return events
    for (const row of await getPresences(this.#deps.database, missing))
      events.push(presenceEventJson(row.userId, stateOfRow(row), nowMs))
    return events
  }

  /** Stops the clockwork and stores what is left. */
  async close(): Promise<void> {
    clearTimeout(this.#sweepTimer)
    await this.#writer.close()
  }
}

/** When the user was active last, also where that was no news. */
function lastActiveOf(user: TrackedUser): number {
  let lastActiveTsMs = user.presence.lastActiveTsMs
  for (const device of user.devices.values()) lastActiveTsMs = Math.max(lastActiveTsMs, device.lastActiveTsMs)
  return lastActiveTsMs
}

function noop(): void {
  // Nothing was begun, so nothing ends.
}
