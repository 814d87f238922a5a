import { MatrixError } from '../../protocol/errors.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  countDevicesInRoom,
  getAdminRoomPage,
  getAdminRooms,
  getForwardExtremities,
  trimForwardExtremities,
} from '../../storage/tables/admin-rooms.ts'
import type { AdminRoomFilter, AdminRoomRow, ForwardExtremity, RoomOrder } from '../../storage/tables/admin-rooms.ts'
import { getEventsById } from '../../storage/tables/events.ts'
import { isForgottenByAll } from '../../storage/tables/memberships.ts'
import { getIsRoomKnown, getRoomStateAsOf } from '../../storage/tables/room-reads.ts'
import { getTypesAsOf } from '../../storage/tables/sync-state.ts'
import type { RoomPurges } from '../../streams/room-purges.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { Memberships } from './memberships.ts'
import { NOW } from './reading/room-slots.ts'
import { writeStateRow } from './reading/room-messages.ts'

const TYPES = [
  'm.room.create',
  'm.room.name',
  'm.room.topic',
  'm.room.avatar',
  'm.room.canonical_alias',
  'm.room.encryption',
  'm.room.join_rules',
  'm.room.guest_access',
  'm.room.history_visibility',
  'm.room.tombstone',
] as const
type StateOf = (type: (typeof TYPES)[number]) => JsonObject | undefined

/** Reads rooms for administrators, whoever is in them. As Synapse's docs/admin_api/rooms.md. */
export class AdminRooms {
  readonly #database: Database
  readonly #memberships: Memberships
  readonly #purges: RoomPurges
  readonly #serverName: ServerName

  constructor(deps: { database: Database; memberships: Memberships; purges: RoomPurges; serverName: ServerName }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
    this.#purges = deps.purges
    this.#serverName = deps.serverName
  }

  /** Lists rooms in the documented form, and counts all that fit. */
  async list(
    filter: AdminRoomFilter,
    page: { readonly orderBy: RoomOrder; readonly isReversed: boolean; readonly offset: number; readonly limit: number },
  ): Promise<{ readonly rooms: readonly JsonObject[]; readonly total: number }> {
    const { roomIds, total } = await getAdminRoomPage(this.#database, filter, { ...page, serverName: this.#serverName })
    const described = await this.#describe(roomIds)
    const rooms = roomIds.map((roomId) => described.get(roomId)?.json).filter((room) => room !== undefined)
    return { rooms, total }
  }

  /** Describes one room. Throws M_NOT_FOUND. */
  async get(roomId: RoomId): Promise<JsonObject> {
    const room = (await this.#describe([roomId])).get(roomId)
    if (!room) throw notFound()
    const [devices, isForgotten] = await Promise.all([
      countDevicesInRoom(this.#database, roomId),
      isForgottenByAll(this.#database, roomId, this.#serverName),
    ])
    const tombstone = room.state('m.room.tombstone')
    return {
      ...room.json,
      avatar: textOf(room.state('m.room.avatar')?.['url']),
      topic: textOf(room.state('m.room.topic')?.['topic']),
      joined_local_devices: devices,
      forgotten: isForgotten,
      tombstoned: tombstone !== undefined,
      replacement_room: textOf(tombstone?.['replacement_room']),
    }
  }

  /** Who is joined. Throws M_NOT_FOUND. */
  async getMembers(roomId: RoomId): Promise<UserId[]> {
    await this.#assertKnown(roomId)
    return this.#memberships.getJoinedUsers(roomId)
  }

  /** The current state, or its events of one type, as JSON texts. Throws M_NOT_FOUND. */
  async getState(roomId: RoomId, type: string | undefined): Promise<string[]> {
    await this.#assertKnown(roomId)
    const rows = await getRoomStateAsOf(this.#database, { roomId, position: NOW })
    return rows.filter((row) => type === undefined || row.type === type).map(writeStateRow)
  }

  /** The heads of the room's event graph. Throws M_NOT_FOUND. */
  async getExtremities(roomId: RoomId): Promise<ForwardExtremity[]> {
    await this.#assertKnown(roomId)
    return getForwardExtremities(this.#database, roomId)
  }

  /** Leaves the room only the newest head; returns how many went. Throws M_NOT_FOUND. */
  async trimExtremities(roomId: RoomId): Promise<number> {
    await this.#assertKnown(roomId)
    const count = await trimForwardExtremities(this.#database, roomId)
    if (count > 0) await this.#purges.tell({ roomId, isGone: false })
    return count
  }

  /** An event as it is stored, whoever may see it, unredacted as long as that is kept. Throws M_NOT_FOUND. */
  async getEvent(eventId: EventId): Promise<JsonObject> {
    const [record] = await getEventsById(this.#database, [eventId])
    if (!record) throw new MatrixError('M_NOT_FOUND', 'Event not found')
    return { ...(JSON.parse(record.json) as JsonObject), room_id: record.roomId, event_id: record.eventId }
  }

  async #assertKnown(roomId: RoomId): Promise<void> {
    if (!(await getIsRoomKnown(this.#database, roomId))) throw notFound()
  }

  async #describe(roomIds: readonly RoomId[]): Promise<Map<RoomId, { readonly json: JsonObject; readonly state: StateOf }>> {
    if (roomIds.length === 0) return new Map()
    const [rows, records] = await Promise.all([
      getAdminRooms(this.#database, roomIds, this.#serverName),
      getTypesAsOf(this.#database, { rooms: roomIds.map((roomId) => ({ roomId, position: NOW })), types: TYPES }),
    ])
    const contents = new Map(records.map((record) => [`${record.roomId} ${record.type}`, stateRecordToEvent(record).content]))
    return new Map(
      rows.map((row) => {
        const state: StateOf = (type) => contents.get(`${row.roomId} ${type}`)
        return [row.roomId, { json: toJson(row, state), state }]
      }),
    )
  }
}

function toJson(row: AdminRoomRow, state: StateOf): JsonObject {
  return {
    room_id: row.roomId,
    name: textOf(state('m.room.name')?.['name']),
    canonical_alias: textOf(state('m.room.canonical_alias')?.['alias']),
    joined_members: row.joinedCount,
    joined_local_members: row.joinedLocally,
    version: row.roomVersion,
    creator: row.creator,
    encryption: textOf(state('m.room.encryption')?.['algorithm']),
    federatable: state('m.room.create')?.['m.federate'] !== false,
    public: row.isPublic,
    join_rules: textOf(state('m.room.join_rules')?.['join_rule']),
    guest_access: textOf(state('m.room.guest_access')?.['guest_access']),
    history_visibility: textOf(state('m.room.history_visibility')?.['history_visibility']),
    state_events: row.stateEvents,
    room_type: textOf(state('m.room.create')?.['type']),
  }
}

function textOf(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value : null
}

function notFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'Room not found')
}
