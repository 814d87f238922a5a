import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getRecentTimelines } from '../../storage/tables/events.ts'
import { getPublishedAmong } from '../../storage/tables/published-rooms.ts'
import { getMemberEvents, getStatesAsOf } from '../../storage/tables/sync-state.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { RoomAccess, RoomReading } from '../rooms/reading/room-access.ts'
import { writeStateRow } from '../rooms/reading/room-messages.ts'
import type { RoomMessages, RoomReader } from '../rooms/reading/room-messages.ts'
import type { RoomView, RoomViews } from '../rooms/reading/room-view.ts'
import type { AccountDataSet, SyncSources } from './sync-sources.ts'

/** Users whose presence one room's snapshot shows. */
const PRESENCES_MAX = 200

export interface RoomSnapshotsDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly events: EventReader
  readonly memberships: Memberships
  readonly access: RoomAccess
  readonly views: RoomViews
  readonly messages: RoomMessages
  readonly accountData: Pick<SyncSources['accountData'], 'getAll'>
  readonly receipts: Pick<SyncSources['receipts'], 'getForRooms'>
  readonly presence: Pick<SyncSources['presence'], 'getInitial' | 'getOfUsers'>
}

/** A user's rooms and data at one moment, as JSON texts. */
export interface UserSnapshot {
  readonly rooms: readonly string[]
  readonly presence: readonly string[]
  readonly accountData: readonly string[]
  readonly position: number
}

/** Shows rooms as they are now, for clients that do not sync. Spec: old_sync.yaml, room_initial_sync.yaml. */
export class RoomSnapshots {
  readonly #deps: RoomSnapshotsDeps

  constructor(deps: RoomSnapshotsDeps) {
    this.#deps = deps
  }

  /** One room, also for those who only look in. Throws M_FORBIDDEN. */
  async getRoom(reader: RoomReader, roomId: RoomId, limit: number): Promise<string> {
    const { userId } = reader.viewer
    const reading = await this.#deps.access.getReading(userId, roomId)
    const position = this.#deps.hub.head('events')
    const [[text], receipts, presence] = await Promise.all([
      this.#writeRooms(reader, [reading], { limit, position, accountData: await this.#deps.accountData.getAll(userId) }),
      this.#deps.receipts.getForRooms([roomId], userId, reader.ignoredUsers),
      reading.isJoined ? this.#getPresence(roomId) : [],
    ])
    const receipt = receipts.get(roomId)
    const receiptText =
      receipt === undefined ? '' : `{"type":"m.receipt","room_id":${JSON.stringify(roomId)},"content":${receipt}}`
    return `{${text ?? ''},"presence":[${presence.join(',')}],"receipts":[${receiptText}]}`
  }

  /** All rooms of a user; those that they left only if asked for. A handful of queries for any number of rooms. */
  async getUser(reader: RoomReader, options: { readonly limit: number; readonly includesLeft: boolean }): Promise<UserSnapshot> {
    const { userId } = reader.viewer
    const position = this.#deps.hub.head('events')
    const memberships = [...(await this.#deps.memberships.getOfUser(userId))]
    const invites = memberships.flatMap(([roomId, { membership }]) => (membership === 'invite' ? [roomId] : []))
    const readable = memberships.flatMap(([roomId, { membership, isForgotten }]) =>
      membership === 'join' || (options.includesLeft && !isForgotten && (membership === 'leave' || membership === 'ban'))
        ? [roomId]
        : [],
    )
    const [readings, accountData, presence] = await Promise.all([
      Promise.all(readable.map((roomId) => this.#deps.access.findReading(userId, roomId))),
      this.#deps.accountData.getAll(userId),
      this.#deps.presence.getInitial(userId),
    ])
    const [rooms, invited] = await Promise.all([
      this.#writeRooms(
        reader,
        readings.flatMap((reading) => reading ?? []),
        { limit: options.limit, position, accountData },
      ),
      this.#writeInvites(userId, invites),
    ])
    return {
      rooms: [...rooms.map((text) => `{${text}}`), ...invited],
      presence,
      accountData: accountData.global.map(writeAccountData),
      position,
    }
  }

  /** Writes rooms as members of an object that is still open. */
  async #writeRooms(
    reader: RoomReader,
    readings: readonly RoomReading[],
    wish: { readonly limit: number; readonly position: number; readonly accountData: AccountDataSet },
  ): Promise<string[]> {
    if (readings.length === 0) return []
    const { database, views } = this.#deps
    const { userId } = reader.viewer
    const roomIds = readings.map((reading) => reading.roomId)
    const [states, timelines, viewByRoom, published, memberships] = await Promise.all([
      getStatesAsOf(database, {
        rooms: readings.map((reading) => ({ roomId: reading.roomId, position: reading.statePosition })),
        members: undefined,
      }),
      getRecentTimelines(database, { roomIds, high: wish.position, limit: wish.limit }),
      views.getOfRooms(userId, roomIds),
      getPublishedAmong(database, roomIds),
      this.#deps.memberships.getOfUser(userId),
    ])
    const stateByRoom = Map.groupBy(states, (row) => row.roomId)
    const timelineByRoom = Map.groupBy(timelines, (record) => record.roomId)
    const visible = roomIds
      .flatMap((roomId) => {
        const events = (timelineByRoom.get(roomId) ?? []).map((record) => this.#deps.events.remember(record))
        return viewByRoom.get(roomId)?.filter(events).reverse() ?? []
      })
      .filter((stored) => stored.event.stateKey !== undefined || !reader.ignoredUsers.has(stored.event.sender))
    const texts = await this.#deps.messages.writeWith(reader.viewer, visible, membershipsAt(visible, viewByRoom))
    const chunkByRoom = Map.groupBy(
      visible.map((stored, index) => ({ roomId: stored.event.roomId, text: texts[index] ?? '' })),
      ({ roomId }) => roomId,
    )
    return roomIds.map((roomId) => {
      const chunk = (chunkByRoom.get(roomId) ?? []).map(({ text }) => text)
      const membership = memberships.get(roomId)?.membership
      const start = (timelineByRoom.get(roomId)?.at(-1)?.position ?? 1) - 1
      const ownData = wish.accountData.rooms.get(roomId)?.map(writeAccountData) ?? []
      return (
        `"room_id":${JSON.stringify(roomId)}${membership === undefined || membership === 'knock' ? '' : `,"membership":"${membership}"`}` +
        `,"messages":{"start":"s${start}","end":"s${wish.position}","chunk":[${chunk.join(',')}]}` +
        `,"state":[${(stateByRoom.get(roomId) ?? []).map(writeStateRow).join(',')}]` +
        `,"visibility":"${published.has(roomId) ? 'public' : 'private'}","account_data":[${ownData.join(',')}]`
      )
    })
  }

  async #writeInvites(userId: UserId, roomIds: readonly RoomId[]): Promise<string[]> {
    if (roomIds.length === 0) return []
    const records = await getMemberEvents(
      this.#deps.database,
      roomIds.map((roomId) => ({ roomId, userId })),
    )
    return records.map(
      (record) => `{"room_id":${JSON.stringify(record.roomId)},"membership":"invite","invite":${writeStateRow(record)}}`,
    )
  }

  async #getPresence(roomId: RoomId): Promise<readonly string[]> {
    const users = await this.#deps.memberships.getJoinedUsers(roomId)
    return this.#deps.presence.getOfUsers(users.slice(0, PRESENCES_MAX))
  }
}

function membershipsAt(events: readonly StoredEvent[], views: ReadonlyMap<RoomId, RoomView>): ReadonlyMap<EventId, string> {
  return new Map(
    events.map(({ event, position }) => [event.eventId, views.get(event.roomId)?.membershipAt(position ?? 0) ?? 'leave']),
  )
}

function writeAccountData(item: { readonly type: string; readonly contentJson: string }): string {
  return `{"type":${JSON.stringify(item.type)},"content":${item.contentJson}}`
}
