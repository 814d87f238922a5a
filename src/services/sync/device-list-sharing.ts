import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getSharingChanges } from '../../storage/tables/device-lists.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { RoomSummaries } from './room-summaries.ts'
import type { RoomTimelines } from './room-timelines.ts'
import type { RoomPlan } from './sync-rooms.ts'

/** Users whom a user began or may have ceased to share rooms with. */
export interface SharingChanges {
  readonly newlySharedUsers: ReadonlySet<UserId>
  readonly noLongerSharedUsers: ReadonlySet<UserId>
}

const NOBODY: SharingChanges = { newlySharedUsers: new Set(), noLongerSharedUsers: new Set() }

/** Works out who came into the user's sight since a token, from the member events in memory; from one query where they are gone. */
export class DeviceListSharing {
  readonly #database: Database
  readonly #memberships: Memberships
  readonly #summaries: RoomSummaries
  readonly #timelines: RoomTimelines

  constructor(deps: { database: Database; memberships: Memberships; summaries: RoomSummaries; timelines: RoomTimelines }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
    this.#summaries = deps.summaries
    this.#timelines = deps.timelines
  }

  async getChanges(userId: UserId, plan: RoomPlan, since: SyncToken, now: SyncToken): Promise<SharingChanges> {
    const changed = plan.joined.filter((roomId) => this.#summaries.hasChanged(roomId, since.events))
    if (changed.length + plan.newlyJoined.length + plan.left.length === 0) return NOBODY
    const come = new Set<UserId>()
    const gone = new Set<UserId>()
    for (const roomId of changed) {
      const recent = this.#timelines.getSince(roomId, since.events, now.events)
      if (!recent) return this.#fromDatabase(userId, since)
      for (const { stateKey, membership, membershipBefore } of recent.flatMap(({ row }) => memberChangesOf(row))) {
        if (stateKey === userId) continue
        if (membership === 'join' && membershipBefore !== 'join') come.add(stateKey as UserId)
        else if (membership !== 'join' && membershipBefore === 'join') gone.add(stateKey as UserId)
      }
    }
    const [newRooms, leftRooms] = await Promise.all([
      Promise.all(plan.newlyJoined.map((roomId) => this.#memberships.getJoinedUsers(roomId))),
      Promise.all(plan.left.map(({ roomId }) => this.#memberships.getJoinedUsers(roomId))),
    ])
    // Among them is the user: their other devices learn that there is somebody new to share keys with.
    for (const other of newRooms.flat()) come.add(other)
    for (const other of leftRooms.flat()) if (other !== userId) gone.add(other)
    return { newlySharedUsers: come, noLongerSharedUsers: gone }
  }

  async #fromDatabase(userId: UserId, since: SyncToken): Promise<SharingChanges> {
    const changes = await getSharingChanges(this.#database, userId, since.events)
    return {
      newlySharedUsers: new Set(changes.filter((change) => change.hasCome).map((change) => change.userId)),
      noLongerSharedUsers: new Set(changes.filter((change) => !change.hasCome).map((change) => change.userId)),
    }
  }
}
