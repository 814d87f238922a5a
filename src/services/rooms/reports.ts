import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { insertEventReport, insertRoomReport, insertUserReport } from '../../storage/tables/reports.ts'
import { getIsRoomKnown } from '../../storage/tables/room-reads.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventReader } from '../events/event-reader.ts'
import type { Memberships } from './memberships.ts'

const REASON_CHARACTERS_MAX = 10_000

export interface ReportsDeps {
  readonly database: Database
  readonly clock: Clock
  readonly rateLimiter: RateLimiter
  readonly memberships: Memberships
  readonly events: EventReader
  readonly serverName: ServerName
  /** Option rc_reports. */
  readonly limit: RateLimit
}

/** Keeps what users report to the administrators. Spec: client-server-api § Reporting content. */
export class Reports {
  readonly #deps: ReportsDeps

  constructor(deps: ReportsDeps) {
    this.#deps = deps
  }

  /** Reports an event of a room that the user is joined to. Throws M_NOT_FOUND, M_LIMIT_EXCEEDED. */
  async reportEvent(
    requester: Requester,
    report: {
      readonly roomId: RoomId
      readonly eventId: EventId
      readonly reason: string | undefined
      readonly score: number | undefined
    },
  ): Promise<void> {
    await this.#limit(requester)
    const { database, clock, events, memberships } = this.#deps
    const [isJoined, stored] = await Promise.all([
      memberships.isJoined(requester.userId, report.roomId),
      events.getEvent(report.eventId),
    ])
    if (!isJoined || stored?.event.roomId !== report.roomId) {
      throw new MatrixError('M_NOT_FOUND', 'The event was not found or you are not joined to the room')
    }
    const reason = report.reason === undefined ? undefined : clean(report.reason)
    await insertEventReport(database, { ...report, reason, reporter: requester.userId, receivedTsMs: clock.nowMs() })
  }

  /** Reports a room; the user need not be in it. Throws M_NOT_FOUND, M_LIMIT_EXCEEDED. */
  async reportRoom(requester: Requester, report: { readonly roomId: RoomId; readonly reason: string }): Promise<void> {
    await this.#limit(requester)
    const { database, clock } = this.#deps
    if (!(await getIsRoomKnown(database, report.roomId))) throw new MatrixError('M_NOT_FOUND', 'The room was not found')
    await insertRoomReport(database, {
      ...report,
      reason: clean(report.reason),
      reporter: requester.userId,
      receivedTsMs: clock.nowMs(),
    })
  }

  /** Reports a user. Who does not exist here can not be reported, which is not told. Throws M_LIMIT_EXCEEDED. */
  async reportUser(requester: Requester, report: { readonly userId: UserId; readonly reason: string }): Promise<void> {
    await this.#limit(requester)
    const { database, clock, serverName } = this.#deps
    if (serverNameOf(report.userId) === serverName && !(await getUser(database, report.userId))) return
    await insertUserReport(database, {
      ...report,
      reason: clean(report.reason),
      reporter: requester.userId,
      receivedTsMs: clock.nowMs(),
    })
  }

  async #limit(requester: Requester): Promise<void> {
    if (requester.isRateLimited) await this.#deps.rateLimiter.consume(`report ${requester.userId}`, this.#deps.limit)
  }
}

/** The database knows no U+0000 in texts. */
function clean(reason: string): string {
  return reason.slice(0, REASON_CHARACTERS_MAX).toWellFormed().replaceAll('\u0000', '\uFFFD')
}
