import type { UserId } from '../../protocol/ids.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { UnreadCounts } from './unread-counts.ts'
import type { RoomUnreadCounts } from './unread-query.ts'

/** Counts what the badge of an app shows: invites, and rooms or messages that were not read. */
export class Badges {
  readonly #memberships: Memberships
  readonly #unreadCounts: UnreadCounts
  readonly #groupsByRoom: boolean

  /** `groupsByRoom`: option `push.group_unread_count_by_room`. */
  constructor(deps: { memberships: Memberships; unreadCounts: UnreadCounts; groupsByRoom: boolean }) {
    this.#memberships = deps.memberships
    this.#unreadCounts = deps.unreadCounts
    this.#groupsByRoom = deps.groupsByRoom
  }

  async count(userId: UserId): Promise<number> {
    const places = await this.#memberships.getOfUser(userId)
    let badge = 0
    const joined = []
    for (const [roomId, { membership }] of places) {
      if (membership === 'invite') badge += 1
      if (membership === 'join') joined.push(roomId)
    }
    for (const counts of (await this.#unreadCounts.getForRooms({ userId, roomIds: joined })).values()) {
      const unread = unreadOf(counts)
      badge += this.#groupsByRoom ? Math.min(1, unread) : unread
    }
    return badge
  }
}

function unreadOf(counts: RoomUnreadCounts): number {
  let unread = Math.max(0, counts.notificationCount)
  for (const thread of counts.threads.values()) unread += Math.max(0, thread.notificationCount)
  return unread
}
