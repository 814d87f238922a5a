import type { Database } from '../../storage/database.ts'
import { getMembersAsOf } from '../../storage/tables/appservices.ts'
import { getEventsByNid } from '../../storage/tables/events.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { parseEventRecord } from '../events/event-reader.ts'
import type { Appservice } from './appservice.ts'

const ROOMS_MAX = 20_000

/**
 * Knows which users of an application service were in a room before an event, for a reader who goes through the stream in order. What
 * is true now does not tell: the reader may be hours behind.
 */
export class OwnedMembers {
  readonly #database: Database
  readonly #appservice: Appservice
  readonly #rooms = cacheOfEntries<string, Set<string>>(ROOMS_MAX)

  constructor(deps: { database: Database; hub: StreamHub; appservice: Appservice }) {
    this.#database = deps.database
    this.#appservice = deps.appservice
    // Where histories were merged, members change otherwise than by the event that says so.
    deps.hub.onRow('events', (row) => {
      if (row.stateDelta && memberChangesOf(row).some(({ stateKey }) => this.#appservice.ownsUser(stateKey)))
        this.#rooms.delete(row.roomId)
    })
    deps.hub.onReset('events', () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => void this.#rooms.delete(roomId))
  }

  /** Forgets all: the reader goes on from another place. */
  clear(): void {
    this.#rooms.clear()
  }

  /** Tells whether any of them was joined before the event at the position. */
  async hadAny(roomId: string, position: number): Promise<boolean> {
    return (await this.#get(roomId, position)).size > 0
  }

  /** Takes in the membership that the event at the position sets. */
  note(change: { readonly roomId: string; readonly userId: string; readonly membership: unknown }): void {
    const members = this.#rooms.peek(change.roomId)
    if (change.membership === 'join') members?.add(change.userId)
    else members?.delete(change.userId)
  }

  async #get(roomId: string, position: number): Promise<Set<string>> {
    const known = this.#rooms.get(roomId)
    if (known) return known
    const slots = await getMembersAsOf(this.#database, { roomId, position: position - 1 })
    const owned = slots.filter((slot) => this.#appservice.ownsUser(slot.userId))
    const records =
      owned.length === 0
        ? []
        : await getEventsByNid(
            this.#database,
            owned.map((slot) => slot.eventNid),
          )
    const members = new Set<string>()
    for (const record of records) {
      const { stateKey, content } = parseEventRecord(record).event
      if (stateKey !== undefined && content['membership'] === 'join') members.add(stateKey)
    }
    this.#rooms.set(roomId, members)
    return members
  }
}
