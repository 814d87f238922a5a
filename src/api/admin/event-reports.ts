import { invalidParam } from '../../protocol/errors.ts'
import type { EventReport } from '../../services/rooms/event-reports.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const LIST_PATH = '/_synapse/admin/v1/event_reports'
const REPORT_PATH = '/_synapse/admin/v1/event_reports/:reportId'
const LIMIT_MAX = 1000
const params = Type.Object({ reportId: Type.String() })

/** Lists what users reported. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/event_reports.md. */
export const listEventReports = clientEndpoint({
  operationId: 'admin.listEventReports',
  method: 'GET',
  path: LIST_PATH,
  group: 'admin',
  auth: 'admin',
  query: Type.Object({
    from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
    limit: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 100 }),
    dir: Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'b' }),
    user_id: Type.Optional(Type.String()),
    room_id: Type.Optional(Type.String()),
    event_sender_user_id: Type.Optional(Type.String()),
  }),
  async handler({ query }, context) {
    const limit = Math.min(query.limit, LIMIT_MAX)
    const { reports, total } = await context.eventReports.list(
      { reporter: query.user_id, roomId: query.room_id, sender: query.event_sender_user_id },
      { direction: query.dir, from: query.from, limit },
    )
    const next = query.from + reports.length
    return { event_reports: reports.map(reportJson), total, ...(next < total && reports.length > 0 ? { next_token: next } : {}) }
  },
})

/** Shows one report and its event. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const showEventReport = clientEndpoint({
  operationId: 'admin.getEventReport',
  method: 'GET',
  path: REPORT_PATH,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { reportId } }, context) {
    const { report, event } = await context.eventReports.get(parseReportId(reportId))
    return { ...reportJson(report), event_json: event ? { ...event.pdu, room_id: report.roomId } : null }
  },
})

/** Deletes a report. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const removeEventReport = clientEndpoint({
  operationId: 'admin.deleteEventReport',
  method: 'DELETE',
  path: REPORT_PATH,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { reportId } }, context) {
    await context.eventReports.delete(parseReportId(reportId))
    return {}
  },
})

function parseReportId(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw invalidParam('The report_id parameter must be a string representing a positive integer.')
  return Number(text)
}

function reportJson(report: EventReport): Record<string, unknown> {
  return {
    id: report.reportId,
    received_ts: report.receivedTsMs,
    room_id: report.roomId,
    event_id: report.eventId,
    user_id: report.reporter,
    reason: report.reason,
    score: report.score,
    sender: report.sender,
    canonical_alias: report.room?.canonicalAlias ?? null,
    name: report.room?.name ?? null,
  }
}
