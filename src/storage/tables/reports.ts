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
