import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getGuests } from '../../storage/tables/users.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Background } from '../../util/background.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { MembershipChanges } from './membership-changes.ts'
import type { Memberships } from './memberships.ts'
import type { RoomSlots } from './reading/room-slots.ts'

const SLOT = { type: 'm.room.guest_access', stateKey: '' }

/**
 * Takes our guests out of a room as soon as it is closed to guests. Running in several processes is harmless: who has left
 * already stays so. Spec: client-server-api § Guest access, server behaviour.
 */
export class GuestEviction {
  readonly #database: Database
  readonly #memberships: Memberships
  readonly #slots: RoomSlots
  readonly #changes: Pick<MembershipChanges, 'leave'>
  readonly #serverName: ServerName

  constructor(deps: {
    database: Database
    memberships: Memberships
    slots: RoomSlots
    changes: Pick<MembershipChanges, 'leave'>
    serverName: ServerName
  }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
    this.#slots = deps.slots
    this.#changes = deps.changes
    this.#serverName = deps.serverName
  }

  /** Looks at every change of a room's guest access from now on. */
  watch(hub: StreamHub, background: Background): void {
    hub.onRow('events', ({ type, stateKey, roomId }) => {
      if (type === SLOT.type && stateKey === SLOT.stateKey) background.run('evict_guests', () => this.#check(roomId as RoomId))
    })
  }

  async #check(roomId: RoomId): Promise<void> {
    const members = await this.#memberships.getOfRoom(roomId)
    const ours = [...members].flatMap(([userId, membership]) =>
      (membership === 'join' || membership === 'invite') && serverNameOf(userId) === this.#serverName ? [userId] : [],
    )
    const guests = ours.length === 0 ? [] : await getGuests(this.#database, ours)
    if (guests.length === 0) return
    const state = await this.#slots.get(roomId, [SLOT])
    if (state(SLOT.type, SLOT.stateKey)?.content['guest_access'] === 'can_join') return
    for (const userId of guests) {
      try {
        await this.#changes.leave(internalRequester(userId), roomId)
      } catch (error) {
        // They left by themselves meanwhile, or another process was quicker.
        if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error
      }
    }
  }
}
