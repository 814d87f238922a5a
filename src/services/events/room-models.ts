import { LRUCache } from 'lru-cache'
import { MatrixError } from '../../protocol/errors.ts'
import { eventFromStoredPdu } from '../../protocol/events/parse-event.ts'
import type { Pdu } from '../../protocol/events/event.ts'
import type { RoomId } from '../../protocol/ids.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsByNid } from '../../storage/tables/events.ts'
import { getCurrentState, getRoomHead } from '../../storage/tables/room-state.ts'
import { assert } from '../../util/assert.ts'
import { loadRoomModel } from './room-model.ts'
import type { RoomModel } from './room-model.ts'

/** State entries in memory over all rooms, about 1 kB each; a room counts as some of them. */
const ENTRIES_MAX = 60_000
const ROOM_ENTRIES = 10

/** The rooms that this process holds in memory. */
export class RoomModels {
  readonly #database: Database
  readonly #models: LRUCache<RoomId, RoomModel>
  readonly #loading = new Map<RoomId, Promise<RoomModel>>()

  /** `cacheFactor` multiplies the memory it may take. */
  constructor(deps: { database: Database; cacheFactor?: number }) {
    const entriesMax = Math.ceil(ENTRIES_MAX * (deps.cacheFactor ?? 1))
    this.#models = new LRUCache({
      maxSize: entriesMax,
      // However large, the room in use must be in here.
      sizeCalculation: (model) => Math.min(ROOM_ENTRIES + model.stateSize, entriesMax),
    })
    this.#database = deps.database
  }

  /** Gets the room, from memory or in three queries. Throws M_NOT_FOUND where it is not known. */
  get(roomId: RoomId): Promise<RoomModel> {
    const model = this.#models.get(roomId)
    if (model) return Promise.resolve(model)
    const loading = this.#loading.get(roomId) ?? this.#load(roomId).finally(() => this.#loading.delete(roomId))
    this.#loading.set(roomId, loading)
    return loading
  }

  /** The model in memory now, if there is one. */
  peek(roomId: RoomId): RoomModel | undefined {
    return this.#models.get(roomId)
  }

  /** Throws a room away of which something was purged: who uses its model meanwhile finds the room's version raised. */
  forget(roomId: RoomId): void {
    const model = this.#models.peek(roomId)
    if (model) this.drop(model)
  }

  put(model: RoomModel): void {
    this.#models.set(model.roomId, model)
  }

  /** Throws a model away whose commit failed: the database knows better. */
  drop(model: RoomModel): void {
    model.isDropped = true
    if (this.#models.peek(model.roomId) === model) this.#models.delete(model.roomId)
  }

  async #load(roomId: RoomId): Promise<RoomModel> {
    const head = await getRoomHead(this.#database, roomId)
    if (!head) throw new MatrixError('M_NOT_FOUND', 'Unknown room')
    const roomVersion = getRoomVersion(head.roomVersion)
    assert(roomVersion, 'only rooms of known versions are stored')
    // A commit between these reads makes the state newer than the head; then the next commit's version check fails and reloads.
    const [state, heads] = await Promise.all([
      getCurrentState(this.#database, head.roomNid),
      getEventsByNid(this.#database, head.extremities),
    ])
    const extremities = heads.map((record) => ({
      eventNid: record.eventNid,
      event: eventFromStoredPdu(JSON.parse(record.json) as Pdu, record.eventId, roomId, roomVersion),
    }))
    const model = loadRoomModel(head, roomVersion, state, extremities)
    this.#models.set(roomId, model)
    return model
  }
}
