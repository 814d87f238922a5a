import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables event_reports, room_reports, user_reports. Schema: migrations/0016-room-directory.sql. */

interface Report {
  readonly receivedTsMs: number
  readonly reporter: UserId
}

/** Stores the report of an event. */
export async function insertEventReport(
  tx: Queryable,
  report: Report & {
    readonly roomId: RoomId
    readonly eventId: EventId
    readonly reason: string | undefined
    readonly score: number | undefined
  },
): Promise<void> {
  await tx.query(
    'insert_event_report',
    `INSERT INTO event_reports (received_ts_ms, room_id, event_id, reporter, reason, score) VALUES ($1, $2, $3, $4, $5, $6)`,
    [report.receivedTsMs, report.roomId, report.eventId, report.reporter, report.reason ?? null, report.score ?? null],
  )
}

/** Stores the report of a room. */
export async function insertRoomReport(
  tx: Queryable,
  report: Report & { readonly roomId: RoomId; readonly reason: string },
): Promise<void> {
  await tx.query(
    'insert_room_report',
    `INSERT INTO room_reports (received_ts_ms, room_id, reporter, reason) VALUES ($1, $2, $3, $4)`,
    [report.receivedTsMs, report.roomId, report.reporter, report.reason],
  )
}

/** Stores the report of a user. */
export async function insertUserReport(
  tx: Queryable,
  report: Report & { readonly userId: UserId; readonly reason: string },
): Promise<void> {
  await tx.query(
    'insert_user_report',
    `INSERT INTO user_reports (received_ts_ms, user_id, reporter, reason) VALUES ($1, $2, $3, $4)`,
    [report.receivedTsMs, report.userId, report.reporter, report.reason],
  )
}

/** A report of an event as administrators see it. */
export interface EventReportRow {
  readonly reportId: number
  readonly receivedTsMs: number
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly reporter: UserId
  readonly reason: string | null
  readonly score: number | null
  /** Who sent the event; null where it is gone. */
  readonly sender: UserId | null
}

const EVENT_REPORT_COLUMNS = `p.report_id AS "reportId", p.received_ts_ms AS "receivedTsMs", p.room_id AS "roomId",
  p.event_id AS "eventId", p.reporter, p.reason, p.score, e.sender`
const EVENT_REPORT_FILTER = `($1::text IS NULL OR p.reporter = $1) AND ($2::text IS NULL OR p.room_id = $2)
  AND ($3::text IS NULL OR e.sender = $3)`

/** Which reports of events are asked for; what is undefined restricts nothing. */
export interface EventReportFilter {
  readonly reporter: string | undefined
  readonly roomId: string | undefined
  readonly sender: string | undefined
}

/** Lists reports of events, the newest first (`b`) or the oldest first (`f`). */
export async function getEventReports(
  tx: Queryable,
  filter: EventReportFilter,
  page: { readonly direction: 'f' | 'b'; readonly from: number; readonly limit: number },
): Promise<EventReportRow[]> {
  const order = page.direction === 'b' ? 'DESC' : 'ASC'
  return tx.query(
    `get_event_reports_${page.direction}`,
    `SELECT ${EVENT_REPORT_COLUMNS} FROM event_reports p LEFT JOIN events e USING (event_id)
      WHERE ${EVENT_REPORT_FILTER} ORDER BY p.report_id ${order} LIMIT $4 OFFSET $5`,
    [...filterValues(filter), page.limit, page.from],
  )
}

/** Counts the reports of events. */
export async function countEventReports(tx: Queryable, filter: EventReportFilter): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_event_reports',
    `SELECT count(*) AS count FROM event_reports p LEFT JOIN events e USING (event_id) WHERE ${EVENT_REPORT_FILTER}`,
    filterValues(filter),
  )
  return row?.count ?? 0
}

/** Reads a report of an event. */
export async function getEventReport(tx: Queryable, reportId: number): Promise<EventReportRow | undefined> {
  const rows = await tx.query<EventReportRow>(
    'get_event_report',
    `SELECT ${EVENT_REPORT_COLUMNS} FROM event_reports p LEFT JOIN events e USING (event_id) WHERE p.report_id = $1`,
    [reportId],
  )
  return rows[0]
}

/** Deletes a report of an event; false where there is none. */
export async function deleteEventReport(tx: Queryable, reportId: number): Promise<boolean> {
  const rows = await tx.query('delete_event_report', `DELETE FROM event_reports WHERE report_id = $1 RETURNING report_id`, [
    reportId,
  ])
  return rows.length > 0
}

function filterValues(filter: EventReportFilter): (string | null)[] {
  return [filter.reporter ?? null, filter.roomId ?? null, filter.sender ?? null]
}
