import { LRUCache } from 'lru-cache'
import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getActivePresences, getPresences, getPresencesSince } from '../../storage/tables/presence.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { stateOfRow } from './presence-state.ts'
import type { PresenceState } from './presence-state.ts'

/** Changes that are remembered in order; readers further behind ask the database. */
const CHANGES_MAX = 20_000
/** Offline users in memory; others are asked for. */
const OFFLINE_USERS_MAX = 20_000

/** Everybody's presence, as the rows of the stream tell it: the same in every process. */
export class PresenceStates {
  readonly #database: Database
  readonly #hub: StreamHub
  /** Everybody who is not offline. */
  readonly #present = new Map<UserId, PresenceState>()
  readonly #offline = new LRUCache<UserId, PresenceState>({ max: OFFLINE_USERS_MAX })
  /** The newest changes, oldest first. Before `#changesFloor` nothing is remembered. */
  #changes: { readonly position: StreamPosition; readonly userId: UserId }[] = []
  #changesFloor = 0 as StreamPosition

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    this.#hub = deps.hub
    deps.hub.onRow('presence', (row, position) => {
      const { userId, ...state } = row
      this.#keep(userId as UserId, state)
      this.#noteChange(userId as UserId, position)
    })
    deps.hub.onReset('presence', (head) => this.#load(head))
    deps.hub.setReadSince('presence', async (_lane, after, upTo) =>
      (await getPresencesSince(deps.database, { after, upTo })).map((row) => ({
        position: row.position,
        row: { userId: row.userId, ...stateOfRow(row) },
      })),
    )
  }

  #keep(userId: UserId, state: PresenceState): void {
    if (state.state === 'offline') {
      this.#present.delete(userId)
      this.#offline.set(userId, state)
    } else {
      this.#offline.delete(userId)
      this.#present.set(userId, state)
    }
  }

  #noteChange(userId: UserId, position: StreamPosition): void {
    this.#changes.push({ position, userId })
    if (this.#changes.length < 2 * CHANGES_MAX) return
    this.#changes = this.#changes.slice(-CHANGES_MAX)
    const oldest = this.#changes[0]
    if (oldest) this.#changesFloor = (oldest.position - 1) as StreamPosition
  }

  /** Loads who is present. After the heads were set. */
  start(): Promise<void> {
    return this.#load(this.#hub.head('presence'))
  }

  async #load(head: StreamPosition): Promise<void> {
    this.#changes = []
    this.#changesFloor = head
    this.#present.clear()
    this.#offline.clear()
    const rows = await getActivePresences(this.#database)
    // What a row of the stream brought meanwhile is newer.
    for (const row of rows) {
      const userId = row.userId as UserId
      if (!this.#present.has(userId) && !this.#offline.has(userId)) this.#keep(userId, stateOfRow(row))
    }
  }

  /** Everybody who is not offline. */
  present(): Iterable<readonly [UserId, PresenceState]> {
    return this.#present
  }

  isPresent(userId: UserId): boolean {
    return this.#present.has(userId)
  }

  /** Who changed with after < position <= upTo; the newest first, perhaps more than once. */
  async listChanged(range: { after: StreamPosition; upTo: StreamPosition }): Promise<UserId[]> {
    if (this.#hub.head('presence') <= range.after) return []
    if (range.after < this.#changesFloor)
      return (await getPresencesSince(this.#database, range)).map((row) => row.userId as UserId)
    const userIds: UserId[] = []
    for (let index = this.#changes.length - 1; index >= 0; index--) {
      const change = this.#changes[index]
      if (!change || change.position <= range.after) break
      if (change.position <= range.upTo) userIds.push(change.userId)
    }
    return userIds
  }

  /** The states of users; without those who never had one. One query for all that are not in memory. */
  async getMany(userIds: Iterable<UserId>): Promise<Map<UserId, PresenceState>> {
    const states = new Map<UserId, PresenceState>()
    const missing: UserId[] = []
    for (const userId of userIds) {
      const state = this.#present.get(userId) ?? this.#offline.get(userId)
      if (state) states.set(userId, state)
      else missing.push(userId)
    }
    if (missing.length === 0) return states
    for (const row of await getPresences(this.#database, missing)) states.set(row.userId as UserId, stateOfRow(row))
    return states
  }
}
