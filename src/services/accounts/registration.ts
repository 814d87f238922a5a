import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { localpartOf, makeUserId } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import { isUniqueViolation } from '../../storage/database.ts'
import {
  isRegistrationTokenValid,
  returnRegistrationToken,
  useRegistrationToken,
} from '../../storage/tables/registration-tokens.ts'
import { deleteThreepidSessions } from '../../storage/tables/threepid-sessions.ts'
import { finishUiAuthSession } from '../../storage/tables/ui-auth.ts'
import { getUser, getUserIdByThreepid, getUsersIgnoringCase, insertThreepids, insertUser } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Confirmation, InteractiveAuth } from './interactive-auth.ts'
import { checkPassword } from './password-policy.ts'
import type { PasswordPolicy } from './password-policy.ts'
import type { Passwords } from './passwords.ts'
import { assertAnyFlow, REGISTRATION_TOKEN_STAGE, RegistrationFlows, TERMS_STAGE } from './registration-flows.ts'
import type { CaptchaVerifier, RegistrationFlowOptions } from './registration-flows.ts'
import type { DeviceRequest, Session, Sessions } from './sessions.ts'
import { provenIn } from './threepid-validation.ts'
import type { ProvenThreepid, ThreepidValidation } from './threepid-validation.ts'
import type { UseLimits } from './use-limits.ts'

const TOKEN_CHARS_MAX = 64
const GENERATED_LOCALPART_LETTERS = 12
/** Guests have numbers for names, which nobody else may have. */
const GUEST_LOCALPART_DIGITS = 15
const NUMERIC = /^[0-9]+$/

export interface RegistrationOptions {
  readonly serverName: ServerName
  readonly isEnabled: boolean
  readonly flows: RegistrationFlowOptions
  readonly allowsGuests: boolean
  readonly inhibitsUserInUseError: boolean
  readonly allowsUnderscore: boolean
  readonly passwordPolicy: PasswordPolicy
  readonly limits: { readonly registration: RateLimit; readonly tokenValidity: RateLimit }
}

/** What becomes of a new account: profile, rooms to join … */
export interface NewAccount {
  readonly userId: UserId
  /** The name to show; undefined for guests and application services. */
  readonly displayName: string | undefined
  readonly isGuest: boolean
  /** The policy that was agreed to. */
  readonly agreedVersion: string | undefined
  /** The addresses that it has from the beginning. */
  readonly threepids: readonly { readonly medium: string; readonly address: string }[]
}
/** Runs when an account has been made, before the client is told. */
export type OnRegistered = (account: NewAccount) => Promise<void>

export interface RegisterRequest {
  readonly username: string | undefined
  readonly password: string | undefined
  readonly device: DeviceRequest
  /** No login: only the account is made. */
  readonly inhibitsLogin: boolean
  readonly auth: unknown
  /** For the binding of the session. */
  readonly method: string
  readonly path: string
  readonly remoteAddress: string
}

/** An account made without questions, by somebody who has shown the right to. */
export interface CreateAccountRequest {
  readonly localpart: string
  readonly password: string | undefined
  readonly displayName: string | undefined
  readonly isAdmin: boolean
  readonly userType: string | undefined
  readonly device: DeviceRequest | undefined
  /** The application service that makes it, and has checked the name. */
  readonly appserviceId?: string | undefined
}

/** Knows which names belong to application services. Throws M_EXCLUSIVE. */
export interface ReservedUsers {
  assertMayMakeUser(userId: string, appserviceId: string | undefined): void
}

/** What came of a registration; without a session when login was inhibited. */
export interface Registered {
  readonly userId: UserId
  readonly session: Session | undefined
}

/** Makes accounts. Spec: registration.yaml, registration_tokens.yaml. */
export class Registration {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #rateLimiter: RateLimiter
  readonly #interactiveAuth: InteractiveAuth
  readonly #passwords: Passwords
  readonly #sessions: Sessions
  readonly #options: RegistrationOptions
  readonly #onRegistered: readonly OnRegistered[]
  readonly #reserved: ReservedUsers
  readonly #validation: ThreepidValidation
  readonly #flows: RegistrationFlows
  readonly #limits: UseLimits

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    rateLimiter: RateLimiter
    interactiveAuth: InteractiveAuth
    passwords: Passwords
    sessions: Sessions
    options: RegistrationOptions
    /** Read at each registration: `assemble` may add to the list after this is made. They run one after the other. */
    onRegistered: readonly OnRegistered[]
    reserved: ReservedUsers
    validation: ThreepidValidation
    captchas: CaptchaVerifier | undefined
    limits: UseLimits
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#rateLimiter = deps.rateLimiter
    this.#interactiveAuth = deps.interactiveAuth
    this.#passwords = deps.passwords
    this.#sessions = deps.sessions
    this.#options = deps.options
    this.#onRegistered = deps.onRegistered
    this.#reserved = deps.reserved
    this.#validation = deps.validation
    this.#limits = deps.limits
    this.#flows = new RegistrationFlows({
      options: deps.options.flows,
      validation: deps.validation,
      captchas: deps.captchas,
      checkToken: (auth) => this.#checkToken(auth),
    })
  }

  /** Checks whether a name is free. Throws M_FORBIDDEN, M_INVALID_USERNAME, M_USER_IN_USE, M_LIMIT_EXCEEDED. */
  async checkAvailable(username: string, remoteAddress: string): Promise<void> {
    if (!this.#options.isEnabled) throw new MatrixError('M_FORBIDDEN', 'Registration has been disabled')
    await this.#rateLimiter.check(`registration:${remoteAddress}`, this.#options.limits.registration)
    const userId = this.#checkName(username)
    if (!this.#options.inhibitsUserInUseError) await this.#checkFree(userId)
  }

  /** Checks whether a name may be given to a new account, whoever asks. Throws M_INVALID_USERNAME, M_USER_IN_USE, M_EXCLUSIVE. */
  async assertFree(username: string): Promise<void> {
    await this.#checkFree(this.#checkName(username))
  }

  /**
   * Makes an account after user-interactive authentication. Throws InteractiveAuthRequired and the errors of
   * `checkAvailable`.
   */
  async register(request: RegisterRequest): Promise<Registered> {
    if (!this.#options.isEnabled) throw new MatrixError('M_FORBIDDEN', 'Registration has been disabled')
    assertAnyFlow(this.#flows.flows)
    await this.#rateLimiter.check(`registration:${request.remoteAddress}`, this.#options.limits.registration)
    if (request.password !== undefined) checkPassword(request.password, this.#options.passwordPolicy)
    const wanted = request.username === undefined ? undefined : this.#checkName(request.username)
    // A retry of a registration that is done must not be refused because its own account is in the way.
    if (wanted !== undefined && !hasSession(request.auth) && !this.#options.inhibitsUserInUseError) await this.#checkFree(wanted)
    const confirmation = await this.#confirm(request)
    const done = confirmation.notes['registered_user_id']
    if (typeof done === 'string') return this.#answer(done as UserId, request)
    if (request.password === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: password')
    const userId = wanted ?? makeUserId(this.#random.letters(GENERATED_LOCALPART_LETTERS).toLowerCase(), this.#options.serverName)
    await this.#checkFree(userId)
    const threepids = await this.#checkThreepids(confirmation)
    await this.#limits.checkNew(threepids)
    await this.#rateLimiter.consume(`registration:${request.remoteAddress}`, this.#options.limits.registration)
    const passwordHash = await this.#passwords.hash(request.password)
    return this.#withRegistrationToken(confirmation, () =>
      this.#create({
        userId,
        passwordHash,
        displayName: localpartOf(userId),
        isAdmin: false,
        isGuest: false,
        userType: undefined,
        device: request.inhibitsLogin ? undefined : request.device,
        confirmation,
        threepids,
      }),
    )
  }

  /** The addresses that the client has proven. Throws M_THREEPID_DENIED, M_THREEPID_IN_USE. */
  async #checkThreepids({ completed }: Confirmation): Promise<ProvenThreepid[]> {
    const threepids = provenIn(completed)
    for (const threepid of threepids) {
      this.#validation.assertAllowed(threepid)
      if ((await getUserIdByThreepid(this.#database, threepid)) !== undefined)
        throw new MatrixError('M_THREEPID_IN_USE', 'An account has this address already')
    }
    return threepids
  }

  /** Answers a retry: the account is there, only the client never learned of it. */
  async #answer(userId: UserId, request: RegisterRequest): Promise<Registered> {
    const user = await getUser(this.#database, userId)
    if (!user || user.isDeactivated) throw new MatrixError('M_USER_IN_USE', 'User ID already taken')
    return { userId, session: request.inhibitsLogin ? undefined : await this.#sessions.create(userId, request.device) }
  }

  #confirm(request: RegisterRequest): Promise<Confirmation> {
    const { flows, params, checks } = this.#flows
    return this.#interactiveAuth.confirm({
      method: request.method,
      path: request.path,
      userId: undefined,
      flows,
      params,
      checks,
      auth: request.auth,
    })
  }

  /** What pages for single stages show. */
  getPageVariables(): { readonly sitekey: string | undefined; readonly terms_url: string | undefined } {
    const { recaptchaKey, policy } = this.#options.flows
    return { sitekey: recaptchaKey, terms_url: policy?.url }
  }

  /** Completes a stage in a page instead of by the client. Throws what the stage's check throws; M_NOT_FOUND, M_UNRECOGNIZED. */
  async completeStage(sessionId: string, stage: string, auth: JsonObject, remoteAddress: string): Promise<void> {
    // Registration tokens must not be guessed here.
    await this.#rateLimiter.consume(`registration_token:${remoteAddress}`, this.#options.limits.tokenValidity)
    const check = this.#flows.flows.some((flow) => flow.includes(stage)) ? this.#flows.checks[stage] : undefined
    if (!check) throw new MatrixError('M_UNRECOGNIZED', 'Registration does not have this stage')
    await this.#interactiveAuth.completeStage(sessionId, stage, () => check(auth))
  }

  async #checkToken(auth: JsonObject): Promise<string> {
    const { token } = auth
    if (typeof token !== 'string') throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: auth.token')
    if (isTokenShape(token) && (await isRegistrationTokenValid(this.#database, token, this.#clock.nowMs()))) return token
    throw new MatrixError('M_UNAUTHORIZED', 'Invalid registration token')
  }

  /** Uses the registration token that was shown, where one was; a registration that fails gives it back. */
  async #withRegistrationToken<T>(confirmation: Confirmation, work: () => Promise<T>): Promise<T> {
    const token = confirmation.completed[REGISTRATION_TOKEN_STAGE]
    if (typeof token !== 'string') return work()
    if (!(await useRegistrationToken(this.#database, token, this.#clock.nowMs())))
      throw new MatrixError('M_UNAUTHORIZED', 'Invalid registration token')
    try {
      return await work()
    } catch (error) {
      await returnRegistrationToken(this.#database, token)
      throw error
    }
  }

  /** Makes a guest account, always with a device of its own. Throws M_GUEST_ACCESS_FORBIDDEN. */
  async registerGuest(request: { displayName: string | undefined; remoteAddress: string }): Promise<Registered> {
    if (!this.#options.allowsGuests) throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access is disabled')
    await this.#limits.checkNew([])
    await this.#rateLimiter.consume(`registration:${request.remoteAddress}`, this.#options.limits.registration)
    return this.#create({
      userId: makeUserId(this.#guestLocalpart(), this.#options.serverName),
      passwordHash: undefined,
      displayName: undefined,
      isAdmin: false,
      isGuest: true,
      userType: undefined,
      device: { deviceId: undefined, displayName: request.displayName, wantsRefreshToken: false },
    })
  }

  #guestLocalpart(): string {
    let digits = ''
    for (const byte of this.#random.bytes(GUEST_LOCALPART_DIGITS)) digits += String(byte % 10)
    return digits
  }

  /** Makes an account for somebody who may (shared secret, administrator). Throws M_INVALID_USERNAME, M_USER_IN_USE. */
  async createAccount(request: CreateAccountRequest): Promise<Registered> {
    const { appserviceId } = request
    // Bridges may use names that people may not.
    const userId =
      appserviceId === undefined ? this.#checkName(request.localpart) : makeUserId(request.localpart, this.#options.serverName)
    this.#reserved.assertMayMakeUser(userId, appserviceId)
    await this.#checkFree(userId)
    return this.#create({
      appserviceId,
      userId,
      passwordHash: request.password === undefined ? undefined : await this.#passwords.hash(request.password),
      displayName: request.displayName ?? localpartOf(userId),
      isAdmin: request.isAdmin,
      isGuest: false,
      userType: request.userType,
      device: request.device,
    })
  }

  async #create(account: {
    userId: UserId
    passwordHash: string | undefined
    displayName: string | undefined
    isAdmin: boolean
    isGuest: boolean
    userType: string | undefined
    device: DeviceRequest | undefined
    appserviceId?: string | undefined
    confirmation?: Confirmation
    threepids?: readonly ProvenThreepid[]
  }): Promise<Registered> {
    const { userId, passwordHash, isAdmin, isGuest, userType, device, appserviceId, confirmation, threepids = [] } = account
    const row = { userId, passwordHash, createdTsMs: this.#clock.nowMs(), isAdmin, isGuest, userType, appserviceId }
    const write = (tx: Queryable): Promise<unknown> =>
      Promise.all([
        insertUser(tx, row),
        finish(tx, userId, confirmation),
        insertThreepids(tx, userId, threepids, row.createdTsMs),
        deleteThreepidSessions(
          tx,
          threepids.map(({ sid }) => sid),
        ),
      ])
    let session: Session | undefined
    try {
      if (device) session = await this.#sessions.create(userId, device, write)
      else await this.#database.transaction('register', write)
    } catch (error) {
      if (isUniqueViolation(error)) throw new MatrixError('M_USER_IN_USE', 'User ID already taken', { cause: error })
      throw error
    }
    const agreed = confirmation?.completed[TERMS_STAGE]
    const agreedVersion = typeof agreed === 'string' ? agreed : undefined
    const { displayName } = account
    for (const onRegistered of this.#onRegistered) await onRegistered({ userId, displayName, isGuest, agreedVersion, threepids })
    return { userId, session }
  }

  /** Makes the id of a wished name. Capitals become small. */
  #checkName(username: string): UserId {
    const localpart = username.toLowerCase()
    if (localpart.startsWith('_') && !this.#options.allowsUnderscore)
      throw new MatrixError('M_INVALID_USERNAME', 'User ID may not begin with _')
    if (NUMERIC.test(localpart)) throw new MatrixError('M_INVALID_USERNAME', 'Numeric user IDs are reserved for guest users')
    const userId = makeUserId(localpart, this.#options.serverName)
    this.#reserved.assertMayMakeUser(userId, undefined)
    return userId
  }

  async #checkFree(userId: UserId): Promise<void> {
    const users = await getUsersIgnoringCase(this.#database, userId)
    if (users.length > 0) throw new MatrixError('M_USER_IN_USE', 'User ID already taken')
  }

  /** Tells whether a registration token may be used. Throws M_FORBIDDEN where registration is closed; M_LIMIT_EXCEEDED. */
  async isTokenValid(token: string, remoteAddress: string): Promise<boolean> {
    await this.#rateLimiter.consume(`registration_token:${remoteAddress}`, this.#options.limits.tokenValidity)
    if (!this.#options.isEnabled) throw new MatrixError('M_FORBIDDEN', 'Registration has been disabled')
    return isTokenShape(token) && isRegistrationTokenValid(this.#database, token, this.#clock.nowMs())
  }
}

async function finish(tx: Queryable, userId: UserId, confirmation: Confirmation | undefined): Promise<void> {
  if (confirmation?.sessionId === undefined) return
  await finishUiAuthSession(tx, confirmation.sessionId, {
    completed: confirmation.completed,
    notes: { registered_user_id: userId },
  })
}

function isTokenShape(token: string): boolean {
  return token.length <= TOKEN_CHARS_MAX && !token.includes('\u0000')
}

function hasSession(auth: unknown): boolean {
  return typeof auth === 'object' && auth !== null && 'session' in auth
}
