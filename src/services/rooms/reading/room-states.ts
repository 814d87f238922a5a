import { MatrixError } from '../../../protocol/errors.ts'
import { parseMembership } from '../../../protocol/history-visibility.ts'
import type { MatrixEvent } from '../../../protocol/events/event.ts'
import { toClientEventJson } from '../../../protocol/events/client-event.ts'
import type { RoomId, UserId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getTimeline } from '../../../storage/tables/events.ts'
import { getMembersAsOf, getRoomSlots, getRoomStateAsOf } from '../../../storage/tables/room-reads.ts'
import type { RoomStateRow } from '../../../storage/tables/room-reads.ts'
import { stateRecordToEvent } from '../../events/state-records.ts'
import type { RoomAccess } from './room-access.ts'
import { writeStateRow } from './room-messages.ts'
import { NOW } from './room-slots.ts'

const MXC = /^mxc:\/\//
/** The create event and its creator's membership. */
const FOUNDING_EVENTS = 2

export interface MembersRequest {
  readonly roomId: RoomId
  /** As of this position, where it is earlier than what the user may see. */
  readonly at: number | undefined
  readonly membership: string | undefined
  readonly notMembership: string | undefined
}

export interface JoinedMember {
  readonly display_name?: string
  readonly avatar_url?: string
}

/** Reads the state of rooms for those who may. All answers are for members as of now, for those who left as of then. */
export class RoomStates {
  readonly #database: Database
  readonly #access: RoomAccess

  constructor(deps: { database: Database; access: RoomAccess }) {
    this.#database = deps.database
    this.#access = deps.access
  }

  /** The whole state as JSON texts. Throws M_FORBIDDEN. Spec: rooms.yaml, getRoomState. */
  async getAll(userId: UserId, roomId: RoomId): Promise<string[]> {
    const { statePosition } = await this.#access.getReading(userId, roomId)
    return (await getRoomStateAsOf(this.#database, { roomId, position: statePosition })).map(writeStateRow)
  }

  /** One slot. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: rooms.yaml, getRoomStateWithKey. */
  async getOne(
    userId: UserId,
    slot: { readonly roomId: RoomId; readonly type: string; readonly stateKey: string },
  ): Promise<MatrixEvent> {
    const { roomId, type, stateKey } = slot
    const { statePosition } = await this.#access.getReading(userId, roomId)
    const [row] = await getRoomSlots(this.#database, { roomId, position: statePosition, slots: [{ type, stateKey }] })
    if (!row) throw new MatrixError('M_NOT_FOUND', 'The room has no such state')
    return stateRecordToEvent(row)
  }

  /** The member events as JSON texts. Throws M_FORBIDDEN. Spec: rooms.yaml, getMembersByRoom. */
  async getMembers(userId: UserId, request: MembersRequest): Promise<string[]> {
    const { roomId, membership: wanted, notMembership: unwanted } = request
    const { statePosition } = await this.#access.getReading(userId, roomId)
    const rows = await this.#getMemberRows(roomId, Math.min(request.at ?? NOW, statePosition))
    const texts: string[] = []
    for (const row of rows) {
      const event = stateRecordToEvent(row)
      const membership = parseMembership(event.content)
      // Both parameters together mean "or". Spec: rooms.yaml.
      const isKept =
        (wanted === undefined && unwanted === undefined) ||
        membership === wanted ||
        (unwanted !== undefined && membership !== unwanted)
      if (isKept) texts.push(toClientEventJson(event))
    }
    return texts
  }

  /** A timeline that reaches back to the room's beginning has a token before everything: there the first member counts. */
  async #getMemberRows(roomId: RoomId, position: number): Promise<RoomStateRow[]> {
    const rows = await getMembersAsOf(this.#database, { roomId, position })
    if (rows.length > 0) return rows
    const beginning = await getTimeline(this.#database, { roomId, low: 1, high: NOW, direction: 'f', limit: FOUNDING_EVENTS })
    return getMembersAsOf(this.#database, { roomId, position: beginning.at(-1)?.position ?? 0 })
  }

  /** Who is joined, with name and avatar. Throws M_FORBIDDEN unless the user is joined. Spec: rooms.yaml, getJoinedMembersByRoom. */
  async getJoinedMembers(userId: UserId, roomId: RoomId): Promise<Record<string, JoinedMember>> {
    await this.#access.assertJoined(userId, roomId)
    const entries: [string, JoinedMember][] = []
    for (const row of await getMembersAsOf(this.#database, { roomId, position: NOW })) {
      const { content, stateKey } = stateRecordToEvent(row)
      if (parseMembership(content) !== 'join' || stateKey === undefined) continue
      const { displayname: displayName, avatar_url: avatarUrl } = content
      entries.push([
        stateKey,
        {
          ...(typeof displayName === 'string' ? { display_name: displayName } : {}),
          ...(typeof avatarUrl === 'string' && MXC.test(avatarUrl) ? { avatar_url: avatarUrl } : {}),
        },
      ])
    }
    return Object.fromEntries(entries)
  }
}
