import { MatrixError } from '../../protocol/errors.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { Database } from '../../storage/database.ts'
import { countEventReports, deleteEventReport, getEventReport, getEventReports } from '../../storage/tables/reports.ts'
import type { EventReportFilter, EventReportRow } from '../../storage/tables/reports.ts'
import type { EventReader } from '../events/event-reader.ts'
import type { RoomCard, RoomCards } from './room-cards.ts'

/** A report of an event, and the room in which it happened. */
export interface EventReport extends EventReportRow {
  readonly room: RoomCard | undefined
}

/** Shows administrators what users reported. As Synapse's docs/admin_api/event_reports.md. */
export class EventReports {
  readonly #database: Database
  readonly #events: EventReader
  readonly #cards: RoomCards

  constructor(deps: { database: Database; events: EventReader; cards: RoomCards }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#cards = deps.cards
  }

  /** Lists reports and counts all that match. */
  async list(
    filter: EventReportFilter,
    page: { readonly direction: 'f' | 'b'; readonly from: number; readonly limit: number },
  ): Promise<{ reports: EventReport[]; total: number }> {
    const [rows, total] = await Promise.all([
      getEventReports(this.#database, filter, page),
      countEventReports(this.#database, filter),
    ])
    return { reports: await this.#withRooms(rows), total }
  }

  /** Gets a report and its event, redacted where it was redacted. Throws M_NOT_FOUND. */
  async get(reportId: number): Promise<{ report: EventReport; event: MatrixEvent | undefined }> {
    const row = await getEventReport(this.#database, reportId)
    const [report] = row ? await this.#withRooms([row]) : []
    if (!report) throw notFound()
    const stored = await this.#events.getEvent(report.eventId)
    return { report, event: stored?.event }
  }

  /** Deletes a report. Throws M_NOT_FOUND. */
  async delete(reportId: number): Promise<void> {
    if (!(await deleteEventReport(this.#database, reportId))) throw notFound()
  }

  async #withRooms(rows: readonly EventReportRow[]): Promise<EventReport[]> {
    const cards = await this.#cards.get([...new Set(rows.map((row) => row.roomId))])
    return rows.map((row) => ({ ...row, room: cards.get(row.roomId) }))
  }
}

function notFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'Event report not found')
}
