import type { RoomId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getNewestOfTypes, getTypesWithKeysAsOf } from '../../storage/tables/sliding-sync.ts'
import { getTypesAsOf } from '../../storage/tables/sync-state.ts'
import { stateChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { RoomStateRecord } from '../events/state-records.ts'

/** Events that bring a room to the top. Synapse: SLIDING_SYNC_DEFAULT_BUMP_EVENT_TYPES; the unstable names beside the stable ones. */
const BUMP_TYPES: readonly string[] = [
  'm.room.create',
  'm.room.message',
  'm.room.encrypted',
  'm.sticker',
  'm.call.invite',
  'm.poll.start',
  'org.matrix.msc3381.poll.start',
  'm.beacon_info',
  'org.matrix.msc3672.beacon_info',
]
const BUMP_TYPE_SET: ReadonlySet<string> = new Set(BUMP_TYPES)
/** So many events of a room are looked at for the newest that bumps. */
const BUMP_SCAN_MAX = 5000
const FACT_TYPES = ['m.room.create', 'm.room.encryption', 'm.room.name', 'm.room.avatar']
const FACT_TYPE_SET: ReadonlySet<string> = new Set(FACT_TYPES)
const ROOMS_MAX = 50_000
const SPACES_MAX = 5000
/** Rounds of reading anew what changed while it was read. */
const ROUNDS_MAX = 3
const LATEST = Number.MAX_SAFE_INTEGER

/** What lists need to know of a room, as it is now. */
export interface RoomFacts {
  /** Position of the newest event that bumps. */
  readonly bumpStamp: number
  readonly isEncrypted: boolean
  readonly roomType: string | undefined
  readonly name: string | undefined
  readonly avatarUrl: string | undefined
}

interface MutableFacts extends RoomFacts {
  bumpStamp: number
}

/** A room of which nothing is known here: an invite of another server. */
export const UNKNOWN_FACTS: RoomFacts = {
  bumpStamp: 0,
  isEncrypted: false,
  roomType: undefined,
  name: undefined,
  avatarUrl: undefined,
}

/** Holds what lists are filtered and sorted by, per room for all its members, fed by the events stream. */
export class RoomFactsCache {
  readonly #database: Database
  readonly #rooms = cacheOfEntries<RoomId, MutableFacts>(ROOMS_MAX)
  readonly #children = cacheOfEntries<string, Promise<ReadonlySet<string>>>(SPACES_MAX)
  /** For each reading under way: the rooms that changed meanwhile; undefined where that is not known. */
  readonly #readings = new Set<{ readonly stale: Set<string>; isReset: boolean }>()

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    deps.hub.onRow('events', (row, position) => this.#onEvent(row, position))
    deps.hub.onReset('events', () => {
      this.#rooms.clear()
      this.#children.clear()
      for (const reading of this.#readings) reading.isReset = true
    })
    deps.hub.onPurge(({ roomId, isGone }) => {
      if (!isGone) return
      this.#rooms.delete(roomId as RoomId)
      this.#children.delete(roomId)
      for (const reading of this.#readings) reading.stale.add(roomId)
    })
  }

  #onEvent(row: EventRow, position: StreamPosition): void {
    const roomId = row.roomId as RoomId
    let isChanged = false
    for (const change of stateChangesOf(row)) {
      if (change.stateKey === '' && FACT_TYPE_SET.has(change.type)) isChanged = true
      if (change.type === 'm.space.child') this.#children.delete(roomId)
    }
    const isBump = BUMP_TYPE_SET.has(row.type) && row.isHidden !== true
    if (!isChanged && !isBump) return
    for (const reading of this.#readings) reading.stale.add(roomId)
    const facts = this.#rooms.peek(roomId)
    if (isChanged) this.#rooms.delete(roomId)
    else if (facts) facts.bumpStamp = position
  }

  /** From memory; undefined where the room must be loaded. */
  get(roomId: RoomId): RoomFacts | undefined {
    return this.#rooms.get(roomId)
  }

  /** Brings the rooms into memory, in two queries. */
  async load(roomIds: readonly RoomId[]): Promise<void> {
    let missing = roomIds.filter((roomId) => !this.#rooms.has(roomId))
    for (let round = 0; round < ROUNDS_MAX && missing.length > 0; round++) {
      const reading = { stale: new Set<string>(), isReset: false }
      this.#readings.add(reading)
      try {
        const facts = await this.#read(missing)
        for (const [roomId, one] of facts) if (!reading.stale.has(roomId) && !reading.isReset) this.#rooms.set(roomId, one)
        missing = reading.isReset ? missing : missing.filter((roomId) => reading.stale.has(roomId))
      } finally {
        this.#readings.delete(reading)
      }
    }
  }

  async #read(roomIds: readonly RoomId[]): Promise<Map<RoomId, MutableFacts>> {
    const [records, bumps] = await Promise.all([
      getTypesAsOf(this.#database, { rooms: roomIds.map((roomId) => ({ roomId, position: LATEST })), types: FACT_TYPES }),
      getNewestOfTypes(this.#database, { roomIds, types: BUMP_TYPES, scanMax: BUMP_SCAN_MAX }),
    ])
    const byRoom = Map.groupBy(records, (record) => record.roomId)
    const bumpByRoom = new Map(bumps.map(({ roomId, position }) => [roomId, position]))
    return new Map(roomIds.map((roomId) => [roomId, factsOf(byRoom.get(roomId) ?? [], bumpByRoom.get(roomId) ?? 0)]))
  }

  /** The rooms that a space names as its children. The same set until they change. */
  getSpaceChildren(spaceId: RoomId): Promise<ReadonlySet<string>> {
    const known = this.#children.get(spaceId)
    if (known) return known
    const loading = getTypesWithKeysAsOf(this.#database, {
      rooms: [{ roomId: spaceId, position: LATEST }],
      types: ['m.space.child'],
    }).then(
      (records): ReadonlySet<string> =>
        new Set(
          records
            .map(stateRecordToEvent)
            .filter((event) => Array.isArray(event.content['via']))
            .map((event) => event.stateKey ?? ''),
        ),
    )
    this.#children.set(spaceId, loading)
    loading.catch(() => this.#children.delete(spaceId))
    return loading
  }
}

/** Reads the facts from a room's state events. */
export function factsOf(records: readonly RoomStateRecord[], bumpStamp: number): MutableFacts {
  const contents = new Map<string, JsonObject>()
  for (const record of records)
    if (record.stateKey === '' && FACT_TYPE_SET.has(record.type)) contents.set(record.type, stateRecordToEvent(record).content)
  const text = (type: string, key: string): string | undefined => {
    const value = isJsonObject(contents.get(type)) ? contents.get(type)?.[key] : undefined
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  return {
    bumpStamp,
    isEncrypted: contents.has('m.room.encryption'),
    roomType: text('m.room.create', 'type'),
    name: text('m.room.name', 'name'),
    avatarUrl: text('m.room.avatar', 'url'),
  }
}
