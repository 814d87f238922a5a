import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../protocol/ids.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import type { Requester } from '../accounts/requester.ts'
import type { PresenceSink } from './presence-owner.ts'
import { OFFLINE, presenceContent, presenceEventJson } from './presence-state.ts'
import type { PresenceName, PresenceTimeouts } from './presence-state.ts'
import type { PresenceStates } from './presence-states.ts'

const STATUS_MSG_CHARS_MAX = 2048
const ALIVE_MS_MAX = 10_000

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
  readonly states: PresenceStates
  readonly sink: PresenceSink
  readonly clock: Clock
  readonly rateLimiter: RateLimiter
  readonly memberships: SharedRooms
  readonly options: PresenceOptions
}

/** Shows who is online, and tells the stream's owner what this process sees users do. Spec: client-server-api § Presence. */
export class Presence {
  readonly #deps: PresenceDeps
  readonly #excludedRooms: ReadonlySet<string>
  /** Syncs that wait in this process, by user and device. */
  readonly #syncing = new Map<string, { readonly userId: UserId; readonly device: string; state: PresenceName; count: number }>()
  #aliveTimer: NodeJS.Timeout | undefined

  constructor(deps: PresenceDeps) {
    this.#deps = deps
    this.#excludedRooms = new Set(deps.options.excludedRooms)
  }

  /** Begins to tell the owner, again and again, of the syncs that wait here. */
  start(): void {
    if (this.#isTracking) this.#scheduleAlive(Math.max(20, Math.min(ALIVE_MS_MAX, this.#deps.options.syncOnlineTimeoutMs / 3)))
  }

  #scheduleAlive(delayMs: number): void {
    this.#aliveTimer = setTimeout(() => {
      const waiting = [...this.#syncing.values()]
      if (waiting.length > 0)
        this.#deps.sink.signal(waiting.map(({ userId, device, state }) => ({ userId, device, state, kind: 'alive' })))
      this.#scheduleAlive(delayMs)
    }, delayMs).unref()
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
    const device = deviceId ?? ''
    const key = `${userId} ${device}`
    const waiting = this.#syncing.get(key) ?? { userId, device, state: setPresence, count: 0 }
    waiting.count++
    waiting.state = setPresence
    this.#syncing.set(key, waiting)
    this.#deps.sink.signal([{ userId, device, state: setPresence, kind: 'sync' }])
    let hasEnded = false
    return () => {
      if (hasEnded) return
      hasEnded = true
      waiting.count--
      if (waiting.count === 0) this.#syncing.delete(key)
      this.#deps.sink.signal([{ userId, device, state: waiting.state, kind: 'alive' }])
    }
  }

  /** Says that the user did something (sent, read) on the device: one that was idle is online again. Does not wait. */
  userActive(userId: UserId, deviceId: DeviceId | undefined): void {
    if (this.#isTracking) this.#deps.sink.signal([{ userId, device: deviceId ?? '', state: 'online', kind: 'active' }])
  }

  /** Sets the state and the status message (undefined takes it away) of one's own. Throws M_FORBIDDEN, M_LIMIT_EXCEEDED. */
  async set(requester: Requester, change: { userId: UserId; state: PresenceName; statusMsg: string | undefined }): Promise<void> {
    const { userId, state } = change
    if (requester.userId !== userId) throw new MatrixError('M_FORBIDDEN', 'Can only set your own presence state')
    if ((change.statusMsg?.length ?? 0) > STATUS_MSG_CHARS_MAX) {
      throw new MatrixError('M_INVALID_PARAM', `The status message may have at most ${STATUS_MSG_CHARS_MAX} characters`)
    }
    if (!this.#isTracking) return
    if (requester.isRateLimited) await this.#deps.rateLimiter.consume(`presence ${userId}`, this.#deps.options.rateLimit)
    const statusMsg = change.statusMsg === '' ? undefined : change.statusMsg
    await this.#deps.sink.set({ userId, device: requester.deviceId ?? '', state, statusMsg })
  }

  /** The content of a user's presence for one who asks. Throws M_FORBIDDEN where they share no room, M_NOT_FOUND for other servers' users. */
  async get(requester: Requester, userId: UserId): Promise<Record<string, unknown>> {
    const { clock, memberships, options, states } = this.#deps
    if (options.enabled === false) return { presence: 'offline' }
    if (!(await memberships.sharesRoom(requester.userId, userId, this.#excludedRooms))) {
      throw new MatrixError('M_FORBIDDEN', 'You are not allowed to see their presence.')
    }
    const state = (await states.getMany([userId])).get(userId)
    if (!state && serverNameOf(userId) !== options.serverName)
      throw new MatrixError('M_NOT_FOUND', 'There is no presence state for this user')
    return presenceContent(state ?? OFFLINE, clock.nowMs())
  }

  /** The newest `m.presence` events (JSON) of users in shared rooms that changed with after < position <= upTo. */
  async getChanged(range: { userId: UserId; after: StreamPosition; upTo: StreamPosition }): Promise<string[]> {
    if (this.#deps.options.enabled === false) return []
    const visible: UserId[] = []
    for (const userId of new Set(await this.#deps.states.listChanged(range))) {
      if (await this.#deps.memberships.sharesRoom(range.userId, userId, this.#excludedRooms)) visible.push(userId)
    }
    return this.getOfUsers(visible)
  }

  /** For a first sync: `m.presence` events (JSON) of everyone in shared rooms who is not offline (option: also who is). */
  async getInitial(userId: UserId): Promise<string[]> {
    if (this.#deps.options.enabled === false) return []
    const sharing = await this.#deps.memberships.getUsersSharingRooms(userId)
    if (this.#deps.options.includeOfflineUsersOnSync) return this.getOfUsers(sharing)
    return this.getOfUsers([...sharing].filter((other) => this.#deps.states.isPresent(other)))
  }

  /** The `m.presence` events (JSON) of users as they are now; nothing for users who never had a state. */
  async getOfUsers(userIds: Iterable<UserId>): Promise<string[]> {
    if (this.#deps.options.enabled === false) return []
    const nowMs = this.#deps.clock.nowMs()
    const states = await this.#deps.states.getMany(userIds)
    return [...states].map(([userId, state]) => presenceEventJson(userId, state, nowMs))
  }

  /** Stops the clockwork. */
  stop(): void {
    clearTimeout(this.#aliveTimer)
  }
}

function noop(): void {
  // Nothing was begun, so nothing ends.
}
