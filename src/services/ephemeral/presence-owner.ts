import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import { applyTimeouts, combineDevices, isNews, OFFLINE } from './presence-state.ts'
import type { DevicePresence, PresenceName, PresenceState, PresenceTimeouts } from './presence-state.ts'
import type { PresenceStates } from './presence-states.ts'
import { PresenceWriter } from './presence-writer.ts'

/** Users in memory, before offline ones are forgotten. */
const USERS_MAX = 100_000
const SWEEP_MS_MAX = 5_000
/** Servers repeat who is there, or the user counts as gone. Synapse's time. */
const REMOTE_TIMEOUT_MS = 30 * 60_000

/** What a process tells of a user's device. */
export interface PresenceSignal {
  readonly userId: UserId
  /** The device, or nothing. */
  readonly device: string
  /** `sync`: a sync began with this state. `alive`: it waits, or has ended. `active`: the user did something. */
  readonly kind: 'sync' | 'alive' | 'active'
  readonly state: PresenceName
}

/** A user's own change of state and status message. */
export interface PresenceChange {
  readonly userId: UserId
  readonly device: string
  readonly state: PresenceName
  readonly statusMsg: string | undefined
}

/** The state of another server's user, as that server tells it. */
export interface RemotePresence {
  readonly userId: UserId
  readonly state: PresenceState
}

/** Tells the owner of the stream `presence`: PresenceOwner here, or its twin of another process (api/replication/presence.ts). */
export interface PresenceSink {
  /** Does not wait; a signal that is lost costs nothing but time. */
  signal(signals: readonly PresenceSignal[]): void
  /** Settles when the change is stored. */
  set(change: PresenceChange): Promise<void>
  /** Sets states of other servers' users. Settles when they are stored. */
  setRemote(states: readonly RemotePresence[]): Promise<void>
}

type PresenceOwnerOptions = PresenceTimeouts & { readonly rateLimit: RateLimit; readonly serverName: ServerName }

interface TrackedUser {
  presence: PresenceState
  readonly devices: Map<string, DevicePresence>
}

/** Derives users' states from their devices and from time, while this process holds the role; stores them in batches. */
export class PresenceOwner implements PresenceSink {
  readonly #deps: {
    readonly states: PresenceStates
    readonly background: Background
    readonly clock: Clock
    readonly rateLimiter: RateLimiter
    readonly options: PresenceOwnerOptions
  }
  readonly #writer: PresenceWriter
  readonly #users = new Map<UserId, TrackedUser>()
  /** Other servers' users who are present, with the time when their server said so last. */
  readonly #remote = new Map<UserId, { presence: PresenceState; heardTsMs: number }>()
  /** Loads under way of users that are not in memory. */
  readonly #loading = new Map<UserId, Promise<TrackedUser>>()
  #sweepTimer: NodeJS.Timeout | undefined
  #isHolder = false

  constructor(deps: {
    states: PresenceStates
    committer: LaneCommitter<'presence'>
    background: Background
    clock: Clock
    rateLimiter: RateLimiter
    options: PresenceOwnerOptions
  }) {
    this.#deps = deps
    this.#writer = new PresenceWriter({ committer: deps.committer, background: deps.background })
  }

  get isHolder(): boolean {
    return this.#isHolder
  }

  /** Takes the role over: who is present stays so, and goes offline soon unless a device tells of itself. */
  start(): void {
    this.#isHolder = true
    const nowMs = this.#deps.clock.nowMs()
    this.#users.clear()
    this.#remote.clear()
    for (const [userId, presence] of this.#deps.states.present()) {
      if (serverNameOf(userId) !== this.#deps.options.serverName) {
        this.#remote.set(userId, { presence, heardTsMs: nowMs })
        continue
      }
      const device: DevicePresence = {
        state: presence.state,
        lastActiveTsMs: presence.lastActiveTsMs,
        lastSyncTsMs: nowMs,
      }
      this.#users.set(userId, { presence, devices: new Map([['', device]]) })
    }
    this.#scheduleSweep()
  }

  /** Stores what is left and gives the role back. */
  async stop(): Promise<void> {
    this.#isHolder = false
    clearTimeout(this.#sweepTimer)
    await this.#writer.close()
  }

  signal(signals: readonly PresenceSignal[]): void {
    const unknown: PresenceSignal[] = []
    for (const signal of signals) {
      const user = this.#users.get(signal.userId)
      if (user) this.#apply(user, signal)
      else unknown.push(signal)
    }
    if (unknown.length === 0) return
    this.#deps.background.run('presence: load for a sync', async () => {
      await this.#loadMany(unknown.map(({ userId }) => userId))
      for (const signal of unknown) {
        const user = this.#users.get(signal.userId)
        if (user) this.#apply(user, signal)
      }
    })
  }

  #apply(user: TrackedUser, signal: PresenceSignal): void {
    const nowMs = this.#deps.clock.nowMs()
    const known = user.devices.get(signal.device)
    // Who only sends does not come online by that.
    if (!known && signal.kind === 'active') return
    const device = known ?? { state: 'offline' as PresenceName, lastActiveTsMs: 0, lastSyncTsMs: nowMs }
    user.devices.set(signal.device, device)
    if (signal.kind === 'active') {
      device.lastActiveTsMs = nowMs
      if (device.state === 'unavailable') device.state = 'online'
    } else {
      device.lastSyncTsMs = nowMs
      // A device that waits and is new here was known to the owner before.
      const isSaying = signal.kind === 'sync' || !known
      if (isSaying && device.state !== signal.state && this.#mayChange(signal.userId)) device.state = signal.state
      if (signal.kind === 'sync' && device.state === 'online') device.lastActiveTsMs = nowMs
    }
    this.#update(signal.userId, user, user.presence.statusMsg)
  }

  #mayChange(userId: UserId): boolean {
    return this.#deps.rateLimiter.consumeHere(`presence ${userId}`, this.#deps.options.rateLimit)
  }

  async set(change: PresenceChange): Promise<void> {
    const [user] = await this.#loadMany([change.userId])
    if (!user) return
    const nowMs = this.#deps.clock.nowMs()
    const device = user.devices.get(change.device) ?? { state: change.state, lastActiveTsMs: nowMs, lastSyncTsMs: nowMs }
    device.state = change.state
    device.lastActiveTsMs = nowMs
    user.devices.set(change.device, device)
    this.#update(change.userId, user, change.statusMsg)
    await this.#writer.flush()
  }

  async setRemote(states: readonly RemotePresence[]): Promise<void> {
    const known = await this.#deps.states.getMany(states.map(({ userId }) => userId))
    const heardTsMs = this.#deps.clock.nowMs()
    for (const { userId, state } of states) {
      const before = this.#remote.get(userId)?.presence ?? known.get(userId) ?? OFFLINE
      if (state.state === 'offline') this.#remote.delete(userId)
      else this.#remote.set(userId, { presence: isNews(before, state, this.#deps.options) ? state : before, heardTsMs })
      if (isNews(before, state, this.#deps.options)) this.#writer.enqueue(userId, state)
    }
    await this.#writer.flush()
  }

  /** Derives the user's state from the devices and tells about it, if it is news. */
  #update(userId: UserId, user: TrackedUser, statusMsg: string | undefined): void {
    const { clock, options } = this.#deps
    const before = user.presence
    const state = combineDevices(user.devices.values())
    const lastActiveTsMs = lastActiveOf(user)
    const isCurrentlyActive = state === 'online' && clock.nowMs() - lastActiveTsMs < options.lastActiveGranularityMs
    const after: PresenceState = { state, statusMsg, lastActiveTsMs, isCurrentlyActive }
    // What is no news keeps the old time, so that small steps add up to news.
    if (!isNews(before, after, options)) return
    user.presence = after
    this.#writer.enqueue(userId, after)
  }

  async #loadMany(userIds: readonly UserId[]): Promise<TrackedUser[]> {
    const missing = userIds.filter((userId) => !this.#users.has(userId) && !this.#loading.has(userId))
    if (missing.length > 0) {
      const loading = this.#deps.states.getMany(missing)
      for (const userId of missing) {
        const one = loading
          .then((states) => {
            const user: TrackedUser = { presence: states.get(userId) ?? OFFLINE, devices: new Map() }
            this.#users.set(userId, user)
            return user
          })
          .finally(() => this.#loading.delete(userId))
        this.#loading.set(userId, one)
      }
    }
    const users = await Promise.all(userIds.map((userId) => this.#users.get(userId) ?? this.#loading.get(userId)))
    return users.filter((user) => user !== undefined)
  }

  #scheduleSweep(): void {
    const { syncOnlineTimeoutMs, idleTimeoutMs } = this.#deps.options
    const delayMs = Math.max(50, Math.min(SWEEP_MS_MAX, syncOnlineTimeoutMs / 4, idleTimeoutMs / 4))
    clearTimeout(this.#sweepTimer)
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
    for (const [userId, { presence, heardTsMs }] of this.#remote) {
      if (nowMs - heardTsMs < REMOTE_TIMEOUT_MS) continue
      this.#remote.delete(userId)
      this.#writer.enqueue(userId, { ...presence, state: 'offline', isCurrentlyActive: false })
    }
  }
}

/** When the user was active last, also where that was no news. */
function lastActiveOf(user: TrackedUser): number {
  let lastActiveTsMs = user.presence.lastActiveTsMs
  for (const device of user.devices.values()) lastActiveTsMs = Math.max(lastActiveTsMs, device.lastActiveTsMs)
  return lastActiveTsMs
}
