import { MatrixError } from '../../../protocol/errors.ts'
import type { EventId, RoomId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getEventsNearTime } from '../../../storage/tables/events.ts'
import type { EventReader } from '../../events/event-reader.ts'
import type { RoomAccess } from './room-access.ts'
import type { RoomReader } from './room-messages.ts'
import type { RoomViews } from './room-view.ts'

const PAGE_EVENTS = 50
/** How many events the user may not see we step over before we give up. */
const PAGES_MAX = 20

/** Finds events by time. */
export class RoomTimes {
  readonly #database: Database
  readonly #events: EventReader
  readonly #access: RoomAccess
  readonly #views: RoomViews

  constructor(deps: { database: Database; events: EventReader; access: RoomAccess; views: RoomViews }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#access = deps.access
    this.#views = deps.views
  }

  /** Finds the visible event closest to a time, in one direction. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: room_event_by_timestamp.yaml. */
  async findNearest(
    reader: RoomReader,
    request: { readonly roomId: RoomId; readonly timestampMs: number; readonly direction: 'b' | 'f' },
  ): Promise<{ readonly eventId: EventId; readonly timestampMs: number }> {
    const { userId } = reader.viewer
    const [, view] = await Promise.all([this.#access.getReading(userId, request.roomId), this.#views.get(userId, request.roomId)])
    for (let page = 0; page < PAGES_MAX; page++) {
      const records = await getEventsNearTime(this.#database, { ...request, limit: PAGE_EVENTS, offset: page * PAGE_EVENTS })
      const [found] = view.filter(records.map((record) => this.#events.remember(record)))
      if (found) return { eventId: found.event.eventId, timestampMs: found.event.originServerTs }
      if (records.length < PAGE_EVENTS) break
    }
    throw new MatrixError(
      'M_NOT_FOUND',
      `Unable to find event from ${request.timestampMs} in ${request.direction === 'f' ? 'forward' : 'backward'} direction`,
    )
  }
}
