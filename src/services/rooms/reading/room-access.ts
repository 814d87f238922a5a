import { MatrixError } from '../../../protocol/errors.ts'
import type { RoomId, UserId } from '../../../protocol/ids.ts'
import type { Memberships } from '../memberships.ts'
import type { RoomViews } from './room-view.ts'
import { NOW } from './room-slots.ts'

/** How a user may read a room. */
export interface RoomReading {
  readonly roomId: RoomId
  readonly userId: UserId
  readonly isJoined: boolean
  /** The room's state is shown as of this position: NOW, or where the user left. */
  readonly statePosition: number
  /** No event above this is worth looking for. */
  readonly eventsUpTo: number
}

/**
 * Decides who may read a room, and as of when: members now, those who left as of their leave, anybody where it is
 * world-readable. Spec: client-server-api § Room History Visibility, rooms.yaml.
 */
export class RoomAccess {
  readonly #memberships: Memberships
  readonly #views: RoomViews

  constructor(deps: { memberships: Memberships; views: RoomViews }) {
    this.#memberships = deps.memberships
    this.#views = deps.views
  }

  /** Throws M_FORBIDDEN where the user may not read the room, or we do not know it. */
  async getReading(userId: UserId, roomId: RoomId): Promise<RoomReading> {
    const reading = await this.findReading(userId, roomId)
    if (!reading) throw new MatrixError('M_FORBIDDEN', `You are not in room ${roomId}, and it is not world-readable`)
    return reading
  }

  /** As `getReading`, with undefined where the user may not. Costs no query for members. */
  async findReading(userId: UserId, roomId: RoomId): Promise<RoomReading | undefined> {
    const own = (await this.#memberships.getOfUser(userId)).get(roomId)
    if (own?.membership === 'join') return { roomId, userId, isJoined: true, statePosition: NOW, eventsUpTo: NOW }
    const view = await this.#views.get(userId, roomId)
    const leftAt = own === undefined || own.isForgotten ? undefined : view.lastLeftPosition
    if (leftAt !== undefined)
      return { roomId, userId, isJoined: false, statePosition: leftAt, eventsUpTo: view.isWorldReadableNow ? NOW : leftAt }
    return view.isWorldReadableNow ? { roomId, userId, isJoined: false, statePosition: NOW, eventsUpTo: NOW } : undefined
  }

  /** Throws M_FORBIDDEN unless the user is joined now. */
  async assertJoined(userId: UserId, roomId: RoomId): Promise<void> {
    if (!(await this.#memberships.isJoined(userId, roomId))) throw new MatrixError('M_FORBIDDEN', `You are not in room ${roomId}`)
  }
}
