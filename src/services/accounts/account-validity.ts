import type { EmailConfig } from '../../config/email.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import {
  getExpiringAccounts,
  getRenewal,
  insertMissingValidities,
  recordRenewalMail,
  updateRenewalToken,
  upsertAccountValidity,
} from '../../storage/tables/admission.ts'
import { getThreepids } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { Random } from '../../util/random.ts'
import { MailError } from '../mail/mail-sender.ts'
import type { MailSender } from '../mail/mail-sender.ts'
import type { Standings } from './standings.ts'

const LOOK_INTERVAL_MS = 30 * 60_000
const MAILS_PER_LOOK = 1000
const TOKEN_LETTERS = 32
/** Accounts from before this was switched on end within the last tenth of the period. Source: Synapse, config/account_validity.py. */
const SPREAD = 0.1

/** Accounts that end unless they are renewed (option `account_validity`), and the mails that say so. */
export class AccountValidity {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #standings: Standings
  readonly #sender: MailSender
  readonly #options: EmailConfig
  readonly #publicBaseUrl: string
  readonly #getDisplayName: (userId: UserId) => Promise<string | undefined>
  #looking: { readonly controller: AbortController; readonly done: Promise<void> } | undefined

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    logger: Logger
    standings: Standings
    sender: MailSender
    options: EmailConfig
    publicBaseUrl: string
    getDisplayName: (userId: UserId) => Promise<string | undefined>
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#logger = deps.logger
    this.#standings = deps.standings
    this.#sender = deps.sender
    this.#options = deps.options
    this.#publicBaseUrl = deps.publicBaseUrl
    this.#getDisplayName = deps.getDisplayName
  }

  /** How long an account is valid; undefined where accounts do not end. */
  get #periodMs(): number | undefined {
    const { enabled, periodMs } = this.#options.accountValidity
    return enabled ? periodMs : undefined
  }

  get isEnabled(): boolean {
    return this.#periodMs !== undefined
  }

  /** Throws ORG_MATRIX_EXPIRED_ACCOUNT. */
  async assertValid(userId: UserId): Promise<void> {
    const standing = await this.#standings.get(userId)
    if (standing?.expiresTsMs != null && standing.expiresTsMs <= this.#clock.nowMs())
      throw new MatrixError('ORG_MATRIX_EXPIRED_ACCOUNT', 'This account has expired')
  }

  /** Gives accounts from before an end, and asks owners for renewal: the work of one process for all. */
  start(): Promise<void> {
    const controller = new AbortController()
    this.#looking = { controller, done: this.#look(controller.signal) }
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#looking?.controller.abort()
    await this.#looking?.done
    this.#looking = undefined
  }

  async #look(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#sendMails(signal)
      } catch (error) {
        this.#logger.error('Looking for accounts that end failed', { error })
      }
      await pause(LOOK_INTERVAL_MS, signal)
    }
  }

  async #sendMails(signal: AbortSignal): Promise<void> {
    const { renewAtMs } = this.#options.accountValidity
    const periodMs = this.#periodMs
    if (periodMs === undefined) return
    const nowMs = this.#clock.nowMs()
    await insertMissingValidities(this.#database, { fromTsMs: nowMs + periodMs * (1 - SPREAD), untilTsMs: nowMs + periodMs })
    if (renewAtMs === undefined) return
    for (const { userId } of await getExpiringAccounts(this.#database, nowMs + renewAtMs, MAILS_PER_LOOK)) {
      if (signal.aborted) return
      await this.#tellOrLog(userId)
    }
  }

  async #tellOrLog(userId: UserId): Promise<void> {
    try {
      await this.sendRenewalMail(userId)
    } catch (error) {
      if (!(error instanceof MailError)) throw error
      this.#logger.warn('A mail about the end of an account could not be sent', { userId, error })
    }
  }

  /** Sends the mail by which the owner renews the account, to all addresses of it. Throws MailError; M_FORBIDDEN where there are no such mails. */
  async sendRenewalMail(userId: UserId): Promise<void> {
    const { accountValidity, email } = this.#options
    if (!this.isEnabled || accountValidity.renewAtMs === undefined)
      throw new MatrixError('M_FORBIDDEN', 'Accounts are not renewed by mail on this server')
    const token = this.#random.letters(TOKEN_LETTERS)
    const expiresTsMs = await updateRenewalToken(this.#database, userId, token)
    if (expiresTsMs === undefined) return
    const addresses = (await getThreepids(this.#database, userId)).filter(({ medium }) => medium === 'email')
    const url = `${this.#publicBaseUrl}_matrix/client/unstable/account_validity/renew?token=${token}`
    const displayName = (await this.#getDisplayName(userId)) ?? userId
    for (const { address } of addresses)
      await this.#sender.send({
        to: address,
        subject: accountValidity.renewEmailSubject,
        htmlTemplate: email.expiryTemplateHtml,
        textTemplate: email.expiryTemplateText,
        variables: { display_name: displayName, expiration_ts: expiresTsMs, url },
      })
    await recordRenewalMail(this.#database, userId)
  }

  /** Renews the account that the token of a mail belongs to; a second time says only until when. Undefined for unknown tokens. */
  async renewByToken(token: string): Promise<{ expiresTsMs: number; isRenewed: boolean } | undefined> {
    const renewal = this.isEnabled ? await getRenewal(this.#database, token) : undefined
    if (!renewal) return undefined
    if (renewal.isUsed) return { expiresTsMs: renewal.expiresTsMs, isRenewed: false }
    return { expiresTsMs: await this.renew(renewal.userId), isRenewed: true }
  }

  /** Makes an account valid for another period, or until the given time. Returns until when. Throws M_FORBIDDEN where accounts do not end. */
  async renew(
    userId: UserId,
    options: { expiresTsMs?: number | undefined; wantsMails?: boolean | undefined } = {},
  ): Promise<number> {
    const periodMs = this.#periodMs
    if (periodMs === undefined) throw new MatrixError('M_FORBIDDEN', 'Accounts do not end on this server')
    const nowMs = this.#clock.nowMs()
    const expiresTsMs = options.expiresTsMs ?? nowMs + periodMs
    await upsertAccountValidity(this.#database, { userId, expiresTsMs, isMailSent: options.wantsMails === false, nowMs })
    await this.#standings.changed(userId)
    return expiresTsMs
  }
}
