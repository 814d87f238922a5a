import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { deleteBlockedRoom, getBlockedBy, getIsRoomClosed, insertBlockedRoom } from '../../storage/tables/blocked-rooms.ts'

/** Tasks that take a room away: nobody enters it meanwhile. As Synapse names them. */
export const DELETE_ACTIONS = ['shutdown_and_purge_room', 'purge_room'] as const

/** Rooms that nobody of ours may enter: blocked by an administrator, or just being deleted. */
export class BlockedRooms {
  readonly #database: Database

  constructor(deps: { database: Database }) {
    this.#database = deps.database
  }

  /** Throws M_FORBIDDEN where the room is blocked, or being deleted. */
  async assertOpen(roomId: RoomId): Promise<void> {
    if (await getIsRoomClosed(this.#database, roomId, DELETE_ACTIONS))
      throw new MatrixError('M_FORBIDDEN', 'This room has been blocked on this server')
  }

  /** Who blocked the room. */
  getBlockedBy(roomId: RoomId): Promise<string | undefined> {
    return getBlockedBy(this.#database, roomId)
  }

  /** Blocks a room or lets people in again. Idempotent; the room need not be known. */
  async set(roomId: RoomId, change: { readonly isBlocked: boolean; readonly userId: UserId }): Promise<void> {
    if (change.isBlocked) await insertBlockedRoom(this.#database, { roomId, userId: change.userId })
    else await deleteBlockedRoom(this.#database, roomId)
  }
}
