import { MatrixError } from '../../../protocol/errors.ts'
import type { EventId, RoomId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getEventsNearTime } from '../../../storage/tables/events.ts'
import type { EventReader, StoredEvent } from '../../events/event-reader.ts'
import { filterHistory } from './history-view.ts'
import type { RoomAccess } from './room-access.ts'
import type { RoomReader } from './room-messages.ts'
import { RoomView } from './room-view.ts'
import type { RoomViews } from './room-view.ts'

const PAGE_EVENTS = 50
/** How many events the user may not see we step over before we give up. */
const PAGES_MAX = 20

/** Who finds events that other servers have. */
interface MissingTimes {
  /** An event nearer to the time than the one that is here, which is here afterwards; undefined where there is none. */
  findNearer(
    query: { readonly roomId: RoomId; readonly timestampMs: number; readonly direction: 'b' | 'f' },
    ownTimestampMs: number | undefined,
  ): Promise<EventId | undefined>
}

/** Finds events by time. */
export class RoomTimes {
  readonly #database: Database
  readonly #events: EventReader
  readonly #access: RoomAccess
  readonly #views: RoomViews
  #missing: MissingTimes | undefined

  constructor(deps: { database: Database; events: EventReader; access: RoomAccess; views: RoomViews }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#access = deps.access
    this.#views = deps.views
  }

  /** Says who looks for events that are missing here. */
  setMissing(missing: MissingTimes): void {
    this.#missing = missing
  }

  /** Finds the visible event closest to a time, in one direction. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: room_event_by_timestamp.yaml. */
  async findNearest(
    reader: RoomReader,
    request: { readonly roomId: RoomId; readonly timestampMs: number; readonly direction: 'b' | 'f' },
  ): Promise<{ readonly eventId: EventId; readonly timestampMs: number }> {
    const { userId } = reader.viewer
    const { roomId } = request
    const view = reader.isAdmin === true ? new RoomView(userId, [], { seesAll: true }) : await this.#views.get(userId, roomId)
    if (reader.isAdmin !== true) await this.#access.getReading(userId, roomId)
    const own = await this.#findHere(request, view)
    const nearerId = await this.#missing?.findNearer(request, own?.event.originServerTs)
    const nearer = nearerId === undefined ? undefined : await this.#events.getEvent(nearerId)
    const [found] = nearer ? await filterHistory(this.#database, view, [nearer]) : []
    const best = found ?? own
    if (best) return { eventId: best.event.eventId, timestampMs: best.event.originServerTs }
    throw new MatrixError(
      'M_NOT_FOUND',
      `Unable to find event from ${request.timestampMs} in ${request.direction === 'f' ? 'forward' : 'backward'} direction`,
    )
  }

  async #findHere(
    request: { readonly roomId: RoomId; readonly timestampMs: number; readonly direction: 'b' | 'f' },
    view: RoomView,
  ): Promise<StoredEvent | undefined> {
    for (let page = 0; page < PAGES_MAX; page++) {
      const records = await getEventsNearTime(this.#database, { ...request, limit: PAGE_EVENTS, offset: page * PAGE_EVENTS })
      const stored = records.map((record) => this.#events.remember(record))
      const [found] = await filterHistory(this.#database, view, stored)
      if (found) return found
      if (records.length < PAGE_EVENTS) break
    }
    return undefined
  }
}
