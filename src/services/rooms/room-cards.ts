import { parseHistoryVisibility } from '../../protocol/history-visibility.ts'
import type { RoomId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getJoinedCounts } from '../../storage/tables/room-reads.ts'
import { getTypesAsOf } from '../../storage/tables/sync-state.ts'
import { stateChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { RoomStateRecord } from '../events/state-records.ts'
import { NOW } from './reading/room-slots.ts'

const CARDS_MAX = 20_000
const TYPES = [
  'm.room.create',
  'm.room.name',
  'm.room.topic',
  'm.room.canonical_alias',
  'm.room.avatar',
  'm.room.join_rules',
  'm.room.history_visibility',
  'm.room.guest_access',
  'm.room.encryption',
]
const TYPE_SET: ReadonlySet<string> = new Set(TYPES)

/** What a room says of itself, taken from its state. */
export interface RoomCard {
  readonly roomId: RoomId
  readonly roomVersion: string
  readonly name: string | undefined
  readonly topic: string | undefined
  readonly canonicalAlias: string | undefined
  readonly avatarUrl: string | undefined
  readonly roomType: string | undefined
  readonly joinRule: string
  /** Rooms whose members may join. Spec: client-server-api § Restricted rooms. */
  readonly allowedRoomIds: readonly RoomId[]
  readonly isWorldReadable: boolean
  readonly canGuestsJoin: boolean
  readonly encryption: string | undefined
  /** Users of other servers may be in it. Spec: m.room.create, `m.federate`. */
  readonly isFederated: boolean
  /** The room that this one replaced. */
  readonly predecessorId: RoomId | undefined
}

/** Reads the cards of rooms, from memory mostly. */
export class RoomCards {
  readonly #database: Database
  readonly #cache = cacheOfEntries<RoomId, Promise<RoomCard | undefined>>(CARDS_MAX)

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    deps.hub.onRow('events', (row) => {
      // A redaction may have taken any of them; which one is not worth asking.
      const isTouched = stateChangesOf(row).some(({ type, stateKey }) => stateKey === '' && TYPE_SET.has(type))
      if (row.redacts !== undefined || isTouched) this.#cache.delete(row.roomId as RoomId)
    })
    deps.hub.onReset('events', () => this.#cache.clear())
    deps.hub.onPurge(({ roomId }) => void this.#cache.delete(roomId as RoomId))
  }

  /** Gets the cards of rooms, in one query for those not in memory; unknown rooms are left out. */
  async get(roomIds: readonly RoomId[]): Promise<Map<RoomId, RoomCard>> {
    const missing = [...new Set(roomIds)].filter((roomId) => !this.#cache.has(roomId))
    if (missing.length > 0) {
      const loading = this.#load(missing)
      for (const roomId of missing) {
        const one = loading.then((cards) => cards.get(roomId))
        this.#cache.set(roomId, one)
        one.then(
          (card) => card ?? this.#cache.delete(roomId),
          () => this.#cache.delete(roomId),
        )
      }
    }
    const cards = await Promise.all(roomIds.map((roomId) => this.#cache.get(roomId)))
    return new Map(roomIds.flatMap((roomId, index) => (cards[index] ? [[roomId, cards[index]] as const] : [])))
  }

  /** How many users are joined to the rooms; unknown rooms are left out. */
  async getJoinedCounts(roomIds: readonly RoomId[]): Promise<Map<RoomId, number>> {
    const rows = await getJoinedCounts(this.#database, roomIds)
    return new Map(rows.map((row) => [row.roomId, row.joinedCount]))
  }

  async #load(roomIds: readonly RoomId[]): Promise<Map<RoomId, RoomCard>> {
    const records = await getTypesAsOf(this.#database, {
      rooms: roomIds.map((roomId) => ({ roomId, position: NOW })),
      types: TYPES,
    })
    const byRoom = Map.groupBy(records, (record) => record.roomId)
    return new Map(Array.from(byRoom, ([roomId, group]) => [roomId, makeCard(roomId, group)]))
  }
}

function makeCard(roomId: RoomId, records: readonly RoomStateRecord[]): RoomCard {
  const contents = new Map(records.map((record) => [record.type, stateRecordToEvent(record).content]))
  const read = (type: string, key: string): string | undefined => textOf(contents.get(type)?.[key])
  const avatarUrl = read('m.room.avatar', 'url')
  const alias = read('m.room.canonical_alias', 'alias')
  return {
    roomId,
    roomVersion: records[0]?.roomVersion ?? '1',
    name: read('m.room.name', 'name'),
    topic: read('m.room.topic', 'topic'),
    canonicalAlias: alias?.startsWith('#') === true ? alias : undefined,
    avatarUrl: avatarUrl?.startsWith('mxc://') === true ? avatarUrl : undefined,
    roomType: read('m.room.create', 'type'),
    joinRule: read('m.room.join_rules', 'join_rule') ?? 'invite',
    allowedRoomIds: allowedRoomIds(contents.get('m.room.join_rules')),
    isWorldReadable: parseHistoryVisibility(contents.get('m.room.history_visibility')) === 'world_readable',
    canGuestsJoin: read('m.room.guest_access', 'guest_access') === 'can_join',
    encryption: read('m.room.encryption', 'algorithm'),
    isFederated: contents.get('m.room.create')?.['m.federate'] !== false,
    predecessorId: predecessorOf(contents.get('m.room.create')),
  }
}

/** Empty texts say nothing, as if they were not there. */
function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function predecessorOf(create: JsonObject | undefined): RoomId | undefined {
  const predecessor = create?.['predecessor']
  const roomId = isJsonObject(predecessor) ? predecessor['room_id'] : undefined
  return typeof roomId === 'string' ? (roomId as RoomId) : undefined
}

function allowedRoomIds(joinRules: JsonObject | undefined): RoomId[] {
  const rule = joinRules?.['join_rule']
  const allow = joinRules?.['allow']
  if ((rule !== 'restricted' && rule !== 'knock_restricted') || !Array.isArray(allow)) return []
  return allow.flatMap((entry: JsonValue) => {
    if (!isJsonObject(entry) || entry['type'] !== 'm.room_membership') return []
    const roomId = entry['room_id']
    return typeof roomId === 'string' ? [roomId as RoomId] : []
  })
}
