import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { insertLoginToken, takeLoginToken } from '../../storage/tables/access-tokens.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { UserRow } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Passwords } from './passwords.ts'
import type { Requester } from './requester.ts'
import type { DeviceRequest, Session, Sessions } from './sessions.ts'
import { hashToken, makeToken } from './tokens.ts'
import type { UseLimits } from './use-limits.ts'

export interface LoginOptions {
  readonly isPasswordEnabled: boolean
  /** Option `login_via_existing_session`. */
  readonly existingSession: { readonly enabled: boolean; readonly tokenTimeoutMs: number }
  readonly limits: { readonly address: RateLimit; readonly account: RateLimit }
}

/** Tells whether a cross-signing key of the user has this id: devices must not be called like one. */
export type IsCrossSigningKeyId = (userId: UserId, deviceId: DeviceId) => Promise<boolean>

/** Logs users in. Spec: login.yaml, login_token.yaml. */
export class Login {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #rateLimiter: RateLimiter
  readonly #passwords: Passwords
  readonly #sessions: Sessions
  readonly #options: LoginOptions
  readonly #isCrossSigningKeyId: IsCrossSigningKeyId
  readonly #limits: UseLimits

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    rateLimiter: RateLimiter
    passwords: Passwords
    sessions: Sessions
    options: LoginOptions
    isCrossSigningKeyId: IsCrossSigningKeyId
    limits: UseLimits
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#rateLimiter = deps.rateLimiter
    this.#passwords = deps.passwords
    this.#sessions = deps.sessions
    this.#options = deps.options
    this.#isCrossSigningKeyId = deps.isCrossSigningKeyId
    this.#limits = deps.limits
  }

  /** The ways to log in. */
  getFlows(): JsonObject[] {
    return [
      ...(this.#options.existingSession.enabled ? [{ type: 'm.login.token', get_login_token: true }] : []),
      ...(this.#options.isPasswordEnabled ? [{ type: 'm.login.password' }] : []),
      { type: 'm.login.application_service' },
    ]
  }

  /**
   * Logs in. Throws M_FORBIDDEN, M_USER_DEACTIVATED, M_USER_LOCKED, M_LIMIT_EXCEEDED; M_UNKNOWN (400) for a way that is not
   * offered.
   */
  async login(credentials: JsonObject, device: DeviceRequest, remoteAddress: string): Promise<Session> {
    await this.#rateLimiter.consume(`login_address:${remoteAddress}`, this.#options.limits.address)
    const user = await this.#authenticate(credentials)
    await this.#rateLimiter.consume(`login_account:${user.userId.toLowerCase()}`, this.#options.limits.account)
    if (user.isLocked) throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { extra: { soft_logout: true } })
    if (device.deviceId !== undefined && (await this.#isCrossSigningKeyId(user.userId, device.deviceId))) {
      throw new MatrixError('M_FORBIDDEN', 'The device ID is the ID of a cross-signing key')
    }
    await this.#limits.check(user.userId, user.appserviceId ?? undefined)
    return this.#sessions.create(user.userId, device)
  }

  async #authenticate(credentials: JsonObject): Promise<UserRow> {
    switch (credentials['type']) {
      case 'm.login.password':
        if (!this.#options.isPasswordEnabled)
          throw new MatrixError('M_UNKNOWN', 'Password login has been disabled', { status: 400 })
        return this.#passwords.verify(credentials)
      case 'm.login.token':
        if (!this.#options.existingSession.enabled) break
        return this.#takeToken(credentials['token'])
      case 'm.login.application_service':
        throw new MatrixError('M_FORBIDDEN', 'This login method is only valid for application services')
      default:
    }
    throw new MatrixError('M_UNKNOWN', 'Unknown login type', { status: 400 })
  }

  async #takeToken(token: unknown): Promise<UserRow> {
    if (typeof token !== 'string') throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: token')
    const userId = await takeLoginToken(this.#database, hashToken(token), this.#clock.nowMs())
    const user = userId === undefined ? undefined : await getUser(this.#database, userId)
    if (!user) throw new MatrixError('M_FORBIDDEN', 'Invalid login token')
    if (user.isDeactivated) throw new MatrixError('M_USER_DEACTIVATED', 'This account has been deactivated')
    return user
  }

  /** Makes a token that logs the requester in once on a further device. Throws M_UNRECOGNIZED where that is switched off. */
  async makeLoginToken(requester: Requester): Promise<{ token: string; expiresInMs: number }> {
    const token = makeToken('syl', requester.userId, this.#random)
    const nowMs = this.#clock.nowMs()
    const { tokenTimeoutMs } = this.#options.existingSession
    await insertLoginToken(this.#database, {
      tokenHash: hashToken(token),
      userId: requester.userId,
      expiresTsMs: nowMs + tokenTimeoutMs,
      nowMs,
    })
    return { token, expiresInMs: tokenTimeoutMs }
  }
}
