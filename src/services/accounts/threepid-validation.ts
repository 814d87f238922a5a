import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { isJsonObject } from '../../protocol/json.ts'
import { parseClientSecret, parseEmail, parsePhoneNumber } from '../../protocol/third-party-ids.ts'
import type { Database } from '../../storage/database.ts'
import {
  getValidatedThreepid,
  insertThreepidToken,
  openThreepidSession,
  recordSendAttempt,
  validateThreepidSession,
} from '../../storage/tables/threepid-sessions.ts'
import type { ThreepidPurpose, ValidatedThreepidRow } from '../../storage/tables/threepid-sessions.ts'
import { getUserIdByThreepid } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { LinearRegExp } from '../../util/linear-regexp.ts'
import type { Random } from '../../util/random.ts'
import { MailError } from '../mail/mail-sender.ts'
import type { PhoneVerifier } from './identity-servers.ts'
import type { StageCheck } from './interactive-auth.ts'
import { hashToken } from './tokens.ts'
import type { VerificationMails } from './verification-mails.ts'

/** How long a proof may be used. */
const SESSION_MS = 24 * 3600_000
const SESSION_LETTERS = 16
const TOKEN_LETTERS = 32
const URL_CHARS_MAX = 2000
const SEND_ATTEMPT_MAX = 1e9

/** The stages of user-interactive authentication that prove an address. */
export const EMAIL_STAGE = 'm.login.email.identity'
export const MSISDN_STAGE = 'm.login.msisdn'

/** What clients send for every kind of token. */
export interface TokenRequest {
  readonly purpose: ThreepidPurpose
  readonly clientSecret: string
  readonly sendAttempt: number
  readonly nextLink: string | undefined
  readonly remoteAddress: string
}

/** A proven address, and the session that proves it. */
export interface ProvenThreepid extends ValidatedThreepidRow {
  readonly sid: string
}

export interface ThreepidValidationOptions {
  readonly tokenLifetimeMs: number
  /** Option `request_token_inhibit_3pid_errors`. */
  readonly hidesUse: boolean
  /** Option `next_link_domain_whitelist`. */
  readonly nextLinkHosts: readonly string[] | undefined
  /** Option `allowed_local_3pids`; empty: all. */
  readonly allowed: readonly { readonly medium: string; readonly pattern: LinearRegExp }[]
  readonly limit: RateLimit
}

/**
 * Has people prove that an e-mail address or a phone number is theirs: a link in a mail of ours, or a message by the server that
 * `account_threepid_delegates` names. A proof is good for the purpose that it was asked for. Spec: client-server-api § Adding
 * Account Administrative Contact Information.
 */
export class ThreepidValidation {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #rateLimiter: RateLimiter
  readonly #mails: VerificationMails
  readonly #phones: PhoneVerifier | undefined
  readonly #options: ThreepidValidationOptions

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    rateLimiter: RateLimiter
    mails: VerificationMails
    phones: PhoneVerifier | undefined
    options: ThreepidValidationOptions
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#rateLimiter = deps.rateLimiter
    this.#mails = deps.mails
    this.#phones = deps.phones
    this.#options = deps.options
  }

  /** Which media can be verified. */
  get verifies(): { readonly email: boolean; readonly msisdn: boolean } {
    return { email: this.#mails.isEnabled, msisdn: this.#phones !== undefined }
  }

  /** Refuses addresses that accounts may not have (option `allowed_local_3pids`). Throws M_THREEPID_DENIED. */
  assertAllowed({ medium, address }: { medium: string; address: string }): void {
    const { allowed } = this.#options
    if (allowed.length === 0) return
    if (!allowed.some((rule) => rule.medium === medium && rule.pattern.matchesStart(address)))
      throw new MatrixError('M_THREEPID_DENIED', 'Addresses like this are not allowed on this server')
  }

  /**
   * Sends a mail with a link that proves the address. Asking again with the same attempt sends nothing. Throws M_THREEPID_IN_USE,
   * M_THREEPID_NOT_FOUND (password reset), M_THREEPID_DENIED, M_THREEPID_MEDIUM_NOT_SUPPORTED, M_LIMIT_EXCEEDED, M_INVALID_PARAM.
   */
  async requestEmailToken(request: TokenRequest & { readonly email: string }): Promise<JsonObject> {
    if (!this.#mails.isEnabled) throw notSupported('E-mail addresses')
    const address = parseEmail(request.email)
    const { isFree, hidden } = await this.#check(request, { medium: 'email', address })
    if (hidden) {
      if (!isFree && request.purpose === 'registration') await this.#mail(() => this.#mails.sendAlreadyInUse(address))
      return hidden
    }
    const nowMs = this.#clock.nowMs()
    const { clientSecret, purpose, sendAttempt } = request
    const { sessionId, lastSendAttempt } = await openThreepidSession(this.#database, {
      sessionId: this.#random.letters(SESSION_LETTERS),
      medium: 'email',
      address,
      clientSecret,
      purpose,
      nowMs,
      expiresTsMs: nowMs + SESSION_MS,
    })
    if (sendAttempt <= lastSendAttempt) return { sid: sessionId }
    const token = this.#random.letters(TOKEN_LETTERS)
    await insertThreepidToken(this.#database, {
      tokenHash: hashToken(token),
      sessionId,
      nextLink: request.nextLink === undefined ? undefined : withSession(request.nextLink, sessionId),
      expiresTsMs: nowMs + this.#options.tokenLifetimeMs,
    })
    await this.#mail(() => this.#mails.sendLink(purpose, address, { token, client_secret: clientSecret, sid: sessionId }))
    await recordSendAttempt(this.#database, sessionId, sendAttempt)
    return { sid: sessionId }
  }

  async #mail(send: () => Promise<void>): Promise<void> {
    try {
      await send()
    } catch (cause) {
      if (!(cause instanceof MailError)) throw cause
      throw new MatrixError('M_UNKNOWN', 'The e-mail could not be sent', { status: 502, cause })
    }
  }

  /** Has a message sent to a phone. Returns what the server that does it answers. Throws like `requestEmailToken`. */
  async requestPhoneToken(request: TokenRequest & { readonly country: string; readonly number: string }): Promise<JsonObject> {
    if (!this.#phones) throw notSupported('Phone numbers')
    const address = parsePhoneNumber(request.country, request.number)
    const { hidden } = await this.#check(request, { medium: 'msisdn', address })
    if (hidden) return hidden
    return this.#phones.requestToken({
      country: request.country,
      phone_number: request.number,
      client_secret: request.clientSecret,
      send_attempt: request.sendAttempt,
      ...(request.nextLink === undefined ? {} : { next_link: request.nextLink }),
    })
  }

  /** Hands on what stood in a message to a phone. Throws M_THREEPID_MEDIUM_NOT_SUPPORTED, and what the other server says. */
  submitPhoneToken(submitted: { sid: string; clientSecret: string; token: string }): Promise<JsonObject> {
    if (!this.#phones) throw notSupported('Phone numbers')
    const { sid, clientSecret, token } = submitted
    return this.#phones.submitToken({ sid, client_secret: parseClientSecret(clientSecret), token })
  }

  /** What must hold of every request. `hidden` is the answer where the client must not learn whether the address is in use. */
  async #check(
    request: TokenRequest,
    threepid: { medium: string; address: string },
  ): Promise<{ isFree: boolean; hidden: JsonObject | undefined }> {
    parseClientSecret(request.clientSecret)
    const { sendAttempt } = request
    if (!Number.isSafeInteger(sendAttempt) || sendAttempt < 0 || sendAttempt > SEND_ATTEMPT_MAX)
      throw invalidParam("'send_attempt' must be a whole number")
    this.#checkNextLink(request.nextLink)
    const { medium, address } = threepid
    if (request.purpose !== 'password_reset') this.assertAllowed(threepid)
    const { limit, hidesUse } = this.#options
    await this.#rateLimiter.consume(`3pid_validation:${medium}:ip:${request.remoteAddress}`, limit)
    await this.#rateLimiter.consume(`3pid_validation:${medium}:${address}`, limit)
    const isFree = (await getUserIdByThreepid(this.#database, threepid)) === undefined
    if (isFree !== (request.purpose === 'password_reset')) return { isFree, hidden: undefined }
    if (hidesUse) return { isFree, hidden: { sid: this.#random.letters(SESSION_LETTERS) } }
    throw isFree
      ? new MatrixError('M_THREEPID_NOT_FOUND', 'No account has this address')
      : new MatrixError('M_THREEPID_IN_USE', 'An account has this address already')
  }

  #checkNextLink(nextLink: string | undefined): void {
    if (nextLink === undefined) return
    const url = nextLink.length > URL_CHARS_MAX ? null : URL.parse(nextLink)
    const hosts = this.#options.nextLinkHosts
    const isFine = url && (url.protocol === 'https:' || url.protocol === 'http:')
    if (!isFine || (hosts && !hosts.includes(url.hostname)))
      throw invalidParam("'next_link' must be an HTTP URL of a host that is allowed")
  }

  /**
   * Takes the token of a link: the address is proven. Returns where to send the browser then; undefined where link and session do not
   * fit, or the link is too old.
   */
  async submitEmailToken(
    purpose: ThreepidPurpose,
    proof: { sid: string; clientSecret: string; token: string },
  ): Promise<{ nextLink: string | null } | undefined> {
    const tokenHash = hashToken(proof.token)
    const { sid: sessionId, clientSecret } = proof
    return validateThreepidSession(this.#database, {
      sessionId,
      clientSecret,
      purpose,
      tokenHash,
      nowMs: this.#clock.nowMs(),
    })
  }

  /** What a session has proven. Throws M_THREEPID_AUTH_FAILED, M_INVALID_PARAM. */
  async getProven(
    purpose: ThreepidPurpose,
    session: { sid: string; clientSecret: string },
    media: readonly string[] = ['email', 'msisdn'],
  ): Promise<ProvenThreepid> {
    const { sid } = session
    const clientSecret = parseClientSecret(session.clientSecret)
    const mailed = media.includes('email')
      ? await getValidatedThreepid(this.#database, { sessionId: sid, clientSecret, purpose, nowMs: this.#clock.nowMs() })
      : undefined
    const proven = mailed ?? (media.includes('msisdn') ? await this.#phones?.getValidated({ sid, clientSecret }) : undefined)
    if (!proven || !media.includes(proven.medium))
      throw new MatrixError('M_THREEPID_AUTH_FAILED', 'No address has been confirmed in this session')
    return { ...proven, sid }
  }

  /** The stages that prove an address for a purpose. Each result is a ProvenThreepid. */
  stages(purpose: ThreepidPurpose): Readonly<Record<string, StageCheck>> {
    const stage =
      (medium: string): StageCheck =>
      async (auth) => {
        const { medium: found, address, validatedTsMs, sid } = await this.getProven(purpose, credentialsIn(auth), [medium])
        return { medium: found, address, validatedTsMs, sid }
      }
    return { [EMAIL_STAGE]: stage('email'), [MSISDN_STAGE]: stage('msisdn') }
  }
}

/** The addresses that the stages of an authentication have proven. */
export function provenIn(completed: JsonObject): ProvenThreepid[] {
  return [completed[EMAIL_STAGE], completed[MSISDN_STAGE]].flatMap((value) => {
    if (!isJsonObject(value)) return []
    const { medium, address, validatedTsMs, sid } = value
    const isWhole = typeof medium === 'string' && typeof address === 'string' && typeof sid === 'string'
    return isWhole && typeof validatedTsMs === 'number' ? [{ medium, address, validatedTsMs, sid }] : []
  })
}

/** Spec: client-server-api § Email-based (identity / homeserver). Old clients write `threepidCreds`. */
function credentialsIn(auth: JsonObject): { sid: string; clientSecret: string } {
  const credentials = auth['threepid_creds'] ?? auth['threepidCreds']
  const { sid, client_secret: clientSecret } = isJsonObject(credentials) ? credentials : {}
  if (typeof sid !== 'string' || typeof clientSecret !== 'string' || sid.includes('\u0000'))
    throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: threepid_creds')
  return { sid, clientSecret }
}

function withSession(nextLink: string, sid: string): string {
  const url = new URL(nextLink)
  url.searchParams.append('sid', sid)
  return url.href
}

function notSupported(what: string): MatrixError {
  return new MatrixError('M_THREEPID_MEDIUM_NOT_SUPPORTED', `${what} can not be verified on this server`)
}
