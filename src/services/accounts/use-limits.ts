import type { LimitsConfig } from '../../config/limits.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { countMonthlyActiveUsers, touchMonthlyActiveUser } from '../../storage/tables/admission.ts'
import { getThreepids } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Standings } from './standings.ts'

const DAY_MS = 24 * 3600_000
const MONTH_MS = 30 * DAY_MS
/** So often an active user is counted anew. */
const TOUCH_MS = 3600_000
const KNOWN_MAX = 100_000

interface Threepid {
  readonly medium: string
  readonly address: string
}

export interface UseLimitOptions {
  readonly limits: LimitsConfig
  /** Option `hs_disabled`, with `hs_disabled_message`. */
  readonly closed: { readonly message: string } | undefined
  readonly adminContact: string | undefined
  /** Option `track_appservice_user_ips`: users of application services count too. */
  readonly countsAppserviceUsers: boolean
}

/** Keeps people out where the server is closed, or enough others use it this month. Source: Synapse docs/admin monthly_active_users.md. */
export class UseLimits {
  readonly #database: Database
  readonly #clock: Clock
  readonly #standings: Standings
  readonly #options: UseLimitOptions
  /** When who was counted last. */
  readonly #counted = cacheOfEntries<UserId, number>(KNOWN_MAX)

  constructor(deps: { database: Database; clock: Clock; standings: Standings; options: UseLimitOptions }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#standings = deps.standings
    this.#options = deps.options
  }

  /** Whether anything is to be checked. */
  get isActive(): boolean {
    const { limits, closed } = this.#options
    return closed !== undefined || limits.limitUsageByMau || limits.mauStatsOnly
  }

  /** Counts a user as active. Throws M_RESOURCE_LIMIT_EXCEEDED. */
  async check(userId: UserId, appserviceId: string | undefined): Promise<void> {
    this.#assertOpen()
    const { limits, countsAppserviceUsers } = this.#options
    if (!limits.limitUsageByMau && !limits.mauStatsOnly) return
    if (appserviceId !== undefined && !countsAppserviceUsers) return
    const nowMs = this.#clock.nowMs()
    if (nowMs - (this.#counted.get(userId) ?? -Infinity) < TOUCH_MS) return
    const standing = await this.#standings.get(userId)
    if (!standing || standing.userType === 'support' || nowMs < standing.createdTsMs + this.#trialMs(standing.appserviceId))
      return
    const touch = { userId, nowMs, sinceTsMs: nowMs - MONTH_MS }
    const max = limits.limitUsageByMau ? limits.maxMauValue : undefined
    if (!(await touchMonthlyActiveUser(this.#database, { ...touch, max }))) {
      if (!this.#isReserved(await getThreepids(this.#database, userId))) throw this.#full()
      await touchMonthlyActiveUser(this.#database, { ...touch, max: undefined })
    }
    this.#counted.set(userId, nowMs)
  }

  /** Whether there is room for a new account with these addresses. Throws M_RESOURCE_LIMIT_EXCEEDED. */
  async checkNew(threepids: readonly Threepid[]): Promise<void> {
    this.#assertOpen()
    const { limits } = this.#options
    if (!limits.limitUsageByMau || this.#isReserved(threepids)) return
    if ((await countMonthlyActiveUsers(this.#database, this.#clock.nowMs() - MONTH_MS)) >= limits.maxMauValue) throw this.#full()
  }

  #trialMs(appserviceId: string | null): number {
    const { mauTrialDays, mauAppserviceTrialDays } = this.#options.limits
    const own = appserviceId === null ? undefined : mauAppserviceTrialDays[appserviceId]
    return (typeof own === 'number' ? own : mauTrialDays) * DAY_MS
  }

  #isReserved(threepids: readonly Threepid[]): boolean {
    return this.#options.limits.mauLimitReservedThreepids.some(({ medium, address }) =>
      threepids.some((own) => own.medium === medium && own.address === address.toLowerCase()),
    )
  }

  #assertOpen(): void {
    const { closed } = this.#options
    if (closed) throw this.#refusal(closed.message === '' ? 'This server is closed' : closed.message, 'hs_disabled')
  }

  #full(): MatrixError {
    return this.#refusal('This server has reached its limit of monthly active users', 'monthly_active_user')
  }

  #refusal(message: string, limitType: string): MatrixError {
    const { adminContact } = this.#options
    const extra = { limit_type: limitType, ...(adminContact === undefined ? {} : { admin_contact: adminContact }) }
    return new MatrixError('M_RESOURCE_LIMIT_EXCEEDED', message, { extra })
  }
}
