import type { RoomId } from '../../protocol/ids.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { Appservice } from './appservice.ts'

const ROOMS_MAX = 20_000

/** Tells which rooms concern an application service: by their id, an alias, or a member of its namespace. */
export class RoomInterest {
  readonly #appservice: Appservice
  readonly #memberships: Memberships
  readonly #getAliases: (roomId: RoomId) => Promise<readonly string[]>
  readonly #rooms = cacheOfEntries<string, Promise<boolean>>(ROOMS_MAX)

  constructor(deps: {
    appservice: Appservice
    hub: StreamHub
    memberships: Memberships
    getAliases: (roomId: RoomId) => Promise<readonly string[]>
  }) {
    this.#appservice = deps.appservice
    this.#memberships = deps.memberships
    this.#getAliases = deps.getAliases
    deps.hub.onRow('events', (row) => {
      if (memberChangesOf(row).some(({ stateKey }) => this.#appservice.ownsUser(stateKey))) this.#rooms.delete(row.roomId)
    })
    deps.hub.onReset('events', () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => void this.#rooms.delete(roomId))
  }

  /** Tells whether the room concerns the service now. */
  async has(roomId: string): Promise<boolean> {
    return (await this.#hasMember(roomId)) || this.watches(roomId)
  }

  /** Tells whether the room concerns the service whoever is in it: by its id or an alias. */
  async watches(roomId: string): Promise<boolean> {
    if (this.#appservice.watchesRoom(roomId)) return true
    if (!this.#appservice.watchesAliases) return false
    // Aliases have no stream to follow: who watches them asks each time.
    return (await this.#getAliases(roomId as RoomId)).some((alias) => this.#appservice.ownsAlias(alias))
  }

  #hasMember(roomId: string): Promise<boolean> {
    const known = this.#rooms.get(roomId)
    if (known) return known
    const loading = this.#memberships.getOfRoom(roomId as RoomId).then((members) => {
      for (const [userId, membership] of members) if (membership === 'join' && this.#appservice.ownsUser(userId)) return true
      return false
    })
    this.#rooms.set(roomId, loading)
    loading.catch(() => {
      if (this.#rooms.peek(roomId) === loading) this.#rooms.delete(roomId)
    })
    return loading
  }
}
