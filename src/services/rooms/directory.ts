import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { deletePublishedRoom, getIsPublished, insertPublishedRoom } from '../../storage/tables/published-rooms.ts'
import { getAliasesOfRoom } from '../../storage/tables/room-aliases.ts'
import type { Clock } from '../../util/clock.ts'
import type { Requester } from '../accounts/requester.ts'
import type { DirectoryRules } from './directory-rules.ts'
import type { Memberships } from './memberships.ts'
import type { RoomSlots } from './reading/room-slots.ts'

/** Keeps which rooms the directory lists. Spec: client-server-api § Published room directory. */
export class RoomDirectory {
  readonly #database: Database
  readonly #clock: Clock
  readonly #memberships: Memberships
  readonly #slots: RoomSlots
  readonly #rules: DirectoryRules

  constructor(deps: { database: Database; clock: Clock; memberships: Memberships; slots: RoomSlots; rules: DirectoryRules }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#memberships = deps.memberships
    this.#slots = deps.slots
    this.#rules = deps.rules
  }

  /** Checks `room_list_publication_rules`; a room that does not exist yet has no id. Throws M_FORBIDDEN. */
  assertMayPublish(request: { readonly userId: string; readonly roomId?: RoomId; readonly aliases: readonly string[] }): void {
    if (!this.#rules.isAllowed({ ...request, roomId: request.roomId ?? '' }))
      throw new MatrixError('M_FORBIDDEN', 'You may not publish this room')
  }

  /** Lists a room or takes it out, without asking who may. */
  async setVisibility(request: { readonly roomId: RoomId; readonly isPublic: boolean; readonly userId: string }): Promise<void> {
    const { roomId, isPublic, userId } = request
    if (isPublic) await insertPublishedRoom(this.#database, { roomId, publishedBy: userId, publishedTsMs: this.#clock.nowMs() })
    else await deletePublishedRoom(this.#database, roomId)
  }

  /** Tells whether the directory lists the room. Throws M_NOT_FOUND where it is not known. */
  async isPublic(roomId: RoomId): Promise<boolean> {
    const isPublished = await getIsPublished(this.#database, roomId)
    if (isPublished === undefined) throw new MatrixError('M_NOT_FOUND', 'Room not found')
    return isPublished
  }

  /** Lists a room or takes it out on a user's wish: who may change its canonical alias, and server administrators. */
  async setVisibilityFor(requester: Requester, request: { readonly roomId: RoomId; readonly isPublic: boolean }): Promise<void> {
    const { userId, isAdmin } = requester
    const { roomId, isPublic } = request
    await this.isPublic(roomId)
    if (!isAdmin) {
      const isMember = await this.#memberships.isJoined(userId, roomId)
      if (!isMember || !(await this.#slots.canSendState(roomId, userId, 'm.room.canonical_alias'))) {
        throw new MatrixError('M_FORBIDDEN', 'You must be a moderator of the room to change its entry in the directory')
      }
    }
    if (isPublic && !isAdmin) this.assertMayPublish({ userId, roomId, aliases: await getAliasesOfRoom(this.#database, roomId) })
    await this.setVisibility({ roomId, isPublic, userId })
  }
}
