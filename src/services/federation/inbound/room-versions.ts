import { cacheOfEntries } from '../../../util/lru-cache.ts'
import type { RoomId } from '../../../protocol/ids.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import type { Database } from '../../../storage/database.ts'
import { getRoomVersionId } from '../../../storage/tables/outside-rooms.ts'

const ROOMS_MAX = 50_000

/** The versions of rooms that this server knows; a room's version never changes. */
export class RoomVersions {
  readonly #database: Database
  readonly #versions = cacheOfEntries<RoomId, RoomVersion>(ROOMS_MAX)

  constructor(database: Database) {
    this.#database = database
  }

  /** The version of a room; undefined where the room or its version is not known. */
  async get(roomId: RoomId): Promise<RoomVersion | undefined> {
    const known = this.#versions.get(roomId)
    if (known) return known
    const versionId = await getRoomVersionId(this.#database, roomId)
    const roomVersion = versionId === undefined ? undefined : getRoomVersion(versionId)
    if (roomVersion) this.#versions.set(roomId, roomVersion)
    return roomVersion
  }
}
