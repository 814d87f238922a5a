import type { LRUCache } from 'lru-cache'
import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import {
  advanceConnection,
  beginConnection,
  deleteConnectionsBefore,
  getConnectionPosition,
  touchConnection,
} from '../../storage/tables/sliding-sync.ts'
import type { ConnectionKey } from '../../storage/tables/sliding-sync.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import { cacheOfBytes, cacheOfEntries } from '../../util/lru-cache.ts'
import { ConnectionState, decodeTold, encodeTold } from './connection-state.ts'
import type { RoomTold } from './connection-state.ts'
import type { RequiredStates } from './required-state.ts'
import { unknownPosition } from './sliding-request.ts'

/** A device's connections (Element X has two or three); above it the one that rested longest goes. */
const CONNECTIONS_PER_DEVICE_MAX = 10
/** Different `required_state`s in one connection. A client that comes further begins anew. */
const REQUIRED_STATES_MAX = 100
const UNUSED_DAYS_MAX = 30
const DAY_MS = 86_400_000
/** How exactly the database knows when a connection was last used. */
const TOUCH_MS = DAY_MS
const CACHE_BYTES_MAX = 48 * 1024 * 1024
const ROOM_BYTES = 120
const TOUCHED_MAX = 50_000

/**
 * Keeps what clients were told. A position's content never changes, so a process that made it or has read it needs no query for
 * it; and as a message in a room that is in sight changes nothing of it, the usual answer neither reads nor writes.
 */
export class ConnectionStore {
  readonly #database: Database
  readonly #clock: Clock
  readonly #background: Background
  readonly #requiredStates: RequiredStates
  readonly #positions: LRUCache<string, ConnectionState>
  readonly #touched = cacheOfEntries<string, number>(TOUCHED_MAX)

  constructor(deps: {
    database: Database
    clock: Clock
    background: Background
    requiredStates: RequiredStates
    cacheFactor?: number
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#background = deps.background
    this.#requiredStates = deps.requiredStates
    this.#positions = cacheOfBytes(CACHE_BYTES_MAX * (deps.cacheFactor ?? 1), (state) => state.rooms.size * ROOM_BYTES)
  }

  /** What was told with the position. Throws M_UNKNOWN_POS where there is no such one. */
  async load(key: ConnectionKey, position: number): Promise<ConnectionState> {
    if (position === 0) return ConnectionState.empty
    this.#touch(key)
    const known = this.#positions.get(cacheKey(key, position))
    if (known) return known
    const stored = await getConnectionPosition(this.#database, key, position)
    if (!stored) throw unknownPosition()
    const byDigest = new Map(stored.requiredStates.map(([digest, json]) => [digest, this.#requiredStates.parse(json)]))
    const nothing = this.#requiredStates.get([])
    const state = new ConnectionState(
      new Map(
        stored.rooms.map(([roomId, text]) => [roomId as RoomId, decodeTold(text, (digest) => byDigest.get(digest) ?? nothing)]),
      ),
    )
    this.#positions.set(cacheKey(key, position), state)
    return state
  }

  /**
   * Stores what an answer changes against the position that the client came with, and returns the position of the answer: the
   * same one where nothing changes. Throws M_UNKNOWN_POS where the connection began anew meanwhile.
   */
  async save(
    key: ConnectionKey,
    parent: { readonly position: number; readonly state: ConnectionState },
    changes: ReadonlyMap<RoomId, RoomTold>,
  ): Promise<number> {
    if (changes.size === 0) return parent.position
    const state = parent.state.with(changes)
    const known = new Set([...parent.state.rooms.values()].map((told) => told.required.digest))
    const added = new Map<string, string>()
    for (const { required } of changes.values()) if (!known.has(required.digest)) added.set(required.digest, required.json)
    if (known.size + added.size > REQUIRED_STATES_MAX) throw unknownPosition()
    const change = {
      rooms: [...changes].map(([roomId, told]) => [roomId, encodeTold(told)] as const),
      requiredStates: [...added],
      nowMs: this.#clock.nowMs(),
    }
    const position =
      parent.position === 0
        ? await beginConnection(this.#database, key, { ...change, connectionsMax: CONNECTIONS_PER_DEVICE_MAX })
        : await advanceConnection(this.#database, key, { ...change, parent: parent.position })
    if (position === undefined) throw unknownPosition()
    this.#positions.set(cacheKey(key, position), state)
    this.#touched.set(connectionKey(key), change.nowMs)
    return position
  }

  /** Drops the connections of clients that have not come back for a long time. */
  async dropUnused(): Promise<void> {
    await deleteConnectionsBefore(this.#database, this.#clock.nowMs() - UNUSED_DAYS_MAX * DAY_MS)
  }

  #touch(key: ConnectionKey): void {
    const nowMs = this.#clock.nowMs()
    const before = this.#touched.get(connectionKey(key))
    if (before !== undefined && nowMs - before < TOUCH_MS) return
    this.#touched.set(connectionKey(key), nowMs)
    this.#background.run('note the use of a sliding sync connection', () => touchConnection(this.#database, key, nowMs))
  }
}

/** Ids hold no U+0000. */
function connectionKey(key: ConnectionKey): string {
  return `${key.userId}\u0000${key.deviceId}\u0000${key.connId}`
}

function cacheKey(key: ConnectionKey, position: number): string {
  return `${position}\u0000${connectionKey(key)}`
}
