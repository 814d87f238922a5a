import { MatrixError } from '../../protocol/errors.ts'
import type { Errcode } from '../../protocol/errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getConfirmedTsMs, updateConfirmedTsMs } from '../../storage/tables/access-tokens.ts'
import { completeUiAuthStages, deleteUiAuthSession, getUiAuthSession, insertUiAuthSession } from '../../storage/tables/ui-auth.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Passwords } from './passwords.ts'
import type { Requester } from './requester.ts'

/** How long somebody may take for all stages. */
const SESSION_MS = 24 * 3600_000
const SESSION_ID_LETTERS = 24
const SESSION_ID_CHARS_MAX = 100

/** Stages in the order in which they must be completed. */
export type Flow = readonly string[]

/** Checks what a client submits for a stage; returns what it proved. Throws a MatrixError that becomes part of the 401 answer. */
export type StageCheck = (auth: JsonObject) => Promise<JsonValue>

/** An operation that needs confirmation. A session is good for one operation only. */
export interface ConfirmRequest {
  readonly method: string
  /** The path without its query, so that a session for one device can not delete another. */
  readonly path: string
  /** Whose account it touches; undefined before there is one. */
  readonly userId: UserId | undefined
  /** Offered ways; the first that is complete is enough. */
  readonly flows: readonly Flow[]
  readonly checks: Readonly<Record<string, StageCheck>>
  /** The field `auth` of the body. */
  readonly auth: unknown
  readonly params?: JsonObject
}

/** A confirmed operation. The caller ends the session, or stores its completion together with what it confirmed. */
export interface Confirmation {
  /** Undefined where everything came in one request. */
  readonly sessionId: string | undefined
  readonly completed: JsonObject
  readonly notes: JsonObject
}

/**
 * The answer that asks for (further) stages: 401 with flows and session instead of an errcode. Spec:
 * definitions/auth_response.yaml.
 */
export class InteractiveAuthRequired extends MatrixError {
  readonly #answer: JsonObject

  constructor(answer: JsonObject, failure?: MatrixError) {
    super(failure?.errcode ?? 'M_UNAUTHORIZED', failure?.message ?? 'Further authentication is needed', { status: 401 })
    this.#answer = failure ? { ...answer, errcode: failure.errcode, error: failure.message } : answer
  }

  override toJson(): Record<string, unknown> {
    return { ...this.#answer }
  }
}

/** Errors of a stage that end the request instead of asking again. */
const FATAL_ERRCODES: ReadonlySet<Errcode> = new Set(['M_LIMIT_EXCEEDED', 'M_MISSING_PARAM', 'M_INVALID_PARAM', 'M_USER_LOCKED'])

/** The path of a request without its query: what a session is bound to. */
export function operationPath(url: string): string {
  const mark = url.indexOf('?')
  return mark === -1 ? url : url.slice(0, mark)
}

/**
 * User-interactive authentication: asks for stages until a flow is complete. Sessions stand in the database, so each stage
 * may be served by another process. Spec: client-server-api § User-Interactive Authentication API.
 */
export class InteractiveAuth {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #passwords: Passwords
  readonly #isPasswordEnabled: boolean
  readonly #sessionTimeoutMs: number

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    passwords: Passwords
    isPasswordEnabled: boolean
    /** Option `ui_auth.session_timeout`: for how long a confirmation counts for further operations of the same login. */
    sessionTimeoutMs: number
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#passwords = deps.passwords
    this.#isPasswordEnabled = deps.isPasswordEnabled
    this.#sessionTimeoutMs = deps.sessionTimeoutMs
  }

  /**
   * Makes sure that the requester is the owner of the account: returns when that is proved, throws InteractiveAuthRequired
   * (401) until then. With `mayReuse` a recent proof by the same access token counts (option `ui_auth.session_timeout`).
   */
  async requireOwner(
    requester: Requester,
    request: { method: string; url: string; auth: unknown; mayReuse?: boolean },
  ): Promise<void> {
    if (requester.managesDevices === true) return
    if (request.mayReuse && this.#sessionTimeoutMs > 0) {
      const confirmedTsMs = await getConfirmedTsMs(this.#database, requester.accessTokenId)
      if (confirmedTsMs !== undefined && this.#clock.nowMs() - confirmedTsMs < this.#sessionTimeoutMs) return
    }
    const user = await getUser(this.#database, requester.userId)
    if (!this.#isPasswordEnabled || user?.passwordHash == null) {
      throw new MatrixError('M_FORBIDDEN', 'This account has no way to confirm the request')
    }
    const confirmation = await this.confirm({
      method: request.method,
      path: operationPath(request.url),
      userId: requester.userId,
      flows: [['m.login.password']],
      checks: { 'm.login.password': (auth) => this.#checkPassword(auth, requester.userId) },
      auth: request.auth,
    })
    if (confirmation.sessionId !== undefined) await this.end(confirmation.sessionId)
    if (this.#sessionTimeoutMs > 0) await updateConfirmedTsMs(this.#database, requester.accessTokenId, this.#clock.nowMs())
  }

  async #checkPassword(auth: JsonObject, userId: UserId): Promise<JsonValue> {
    const isAnonymous = auth['identifier'] === undefined && auth['user'] === undefined && auth['medium'] === undefined
    const user = await this.#passwords.verify(isAnonymous ? { ...auth, user: userId } : auth)
    // Thrown past the 401: the password is right, but it is somebody else's.
    if (user.userId !== userId) throw new ForeignOwner()
    return user.userId
  }

  /** Runs one step of any operation's authentication. Throws InteractiveAuthRequired until a flow is complete. */
  async confirm(request: ConfirmRequest): Promise<Confirmation> {
    const { auth } = request
    if (auth !== undefined && auth !== null && !isJsonObject(auth)) throw new MatrixError('M_BAD_JSON', 'auth must be an object')
    const given = isJsonObject(auth) ? auth : {}
    const session = await this.#resume(request, given['session'])
    const before: JsonObject = session?.completed ?? {}
    const stage = given['type']
    if (stage !== undefined && typeof stage !== 'string') throw new MatrixError('M_BAD_JSON', 'auth.type must be a string')
    const outcome =
      stage === undefined || Object.hasOwn(before, stage) ? {} : await this.#tryStage(request, { stage, auth: given, before })
    const completed: JsonObject = { ...before, ...outcome.proved }
    if (request.flows.some((flow) => flow.every((one) => Object.hasOwn(completed, one)))) {
      return { sessionId: session?.sessionId, completed, notes: session?.notes ?? {} }
    }
    const sessionId = session?.sessionId ?? this.#random.letters(SESSION_ID_LETTERS)
    if (!session) await this.#begin(request, sessionId, completed)
    else if (outcome.proved) await completeUiAuthStages(this.#database, sessionId, outcome.proved)
    const names = Object.keys(completed)
    throw new InteractiveAuthRequired(
      {
        session: sessionId,
        flows: request.flows.map((stages) => ({ stages })),
        params: request.params ?? {},
        ...(names.length > 0 ? { completed: names } : {}),
      },
      outcome.failure,
    )
  }

  /**
   * The session that the client goes on with. One that is unknown or has expired counts as none: the client is then asked
   * anew, or what it brings is enough by itself.
   */
  async #resume(request: ConfirmRequest, sessionId: JsonValue | undefined): ReturnType<typeof getUiAuthSession> {
    if (sessionId === undefined || sessionId === null) return undefined
    if (typeof sessionId !== 'string') throw new MatrixError('M_BAD_JSON', 'auth.session must be a string')
    if (sessionId.length > SESSION_ID_CHARS_MAX || sessionId.includes('\u0000')) return undefined
    const session = await getUiAuthSession(this.#database, sessionId, this.#clock.nowMs())
    if (!session) return undefined
    if (session.method !== request.method || session.path !== request.path || (session.userId ?? undefined) !== request.userId) {
      throw new MatrixError('M_FORBIDDEN', 'Requested operation has changed during the UI authentication session')
    }
    return session
  }

  async #begin(request: ConfirmRequest, sessionId: string, completed: JsonObject): Promise<void> {
    const nowMs = this.#clock.nowMs()
    await insertUiAuthSession(this.#database, {
      sessionId,
      createdTsMs: nowMs,
      expiresTsMs: nowMs + SESSION_MS,
      method: request.method,
      path: request.path,
      userId: request.userId,
      completed,
    })
  }

  async #tryStage(
    request: ConfirmRequest,
    attempt: { stage: string; auth: JsonObject; before: JsonObject },
  ): Promise<{ proved?: JsonObject; failure?: MatrixError }> {
    const { stage, auth, before } = attempt
    // Stages must be completed in the order of a flow.
    const isNext = request.flows.some((flow) => flow.find((one) => !Object.hasOwn(before, one)) === stage)
    const check = Object.hasOwn(request.checks, stage) ? request.checks[stage] : undefined
    if (!isNext || !check) return { failure: new MatrixError('M_FORBIDDEN', 'This stage is not among the next ones') }
    try {
      return { proved: { [stage]: await check(auth) } }
    } catch (error) {
      if (!(error instanceof MatrixError) || error instanceof ForeignOwner || FATAL_ERRCODES.has(error.errcode)) throw error
      return { failure: error }
    }
  }

  /** Completes a stage of a session from elsewhere than the client: a page. Throws M_NOT_FOUND, and what the check throws. */
  async completeStage(sessionId: string, stage: string, check: () => Promise<JsonValue>): Promise<void> {
    const isShape = sessionId.length <= SESSION_ID_CHARS_MAX && !sessionId.includes('\u0000')
    const session = isShape ? await getUiAuthSession(this.#database, sessionId, this.#clock.nowMs()) : undefined
    if (!session) throw new MatrixError('M_NOT_FOUND', 'This session has ended; begin anew in your app')
    if (!Object.hasOwn(session.completed, stage))
      await completeUiAuthStages(this.#database, sessionId, { [stage]: await check() })
  }

  /** Ends a session: it confirmed what it was for. */
  async end(sessionId: string): Promise<void> {
    await deleteUiAuthSession(this.#database, sessionId)
  }
}

/** The right password of the wrong account: 403 instead of another round. */
class ForeignOwner extends MatrixError {
  constructor() {
    super('M_FORBIDDEN', 'User not allowed to do this operation on behalf of another user')
  }
}
