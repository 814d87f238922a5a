import type { OutgoingAnswer, OutgoingClient } from '../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { Clock } from '../../util/clock.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Appservice } from './appservice.ts'

const TRANSACTION_TIMEOUT_MS = 60_000
const QUERY_TIMEOUT_MS = 15_000
const ANSWER_BYTES_MAX = 10 * 1024 * 1024
/** Where bodies of failed pings are cut. */
const PING_BODY_CHARS_MAX = 2000

/** The application service answered with a status that says no. */
export class AppserviceError extends Error {
  override readonly name = 'AppserviceError'
}

/** Asks application services. Spec: application-service-api § Homeserver -> Application Service API. */
export class AppserviceClient {
  readonly #outgoing: Pick<OutgoingClient, 'request'>
  readonly #clock: Clock
  readonly #sendsTokenInQuery: boolean

  /** `sendsTokenInQuery`: option `use_appservice_legacy_authorization`. */
  constructor(deps: { outgoing: Pick<OutgoingClient, 'request'>; clock: Clock; sendsTokenInQuery: boolean }) {
    this.#outgoing = deps.outgoing
    this.#clock = deps.clock
    this.#sendsTokenInQuery = deps.sendsTokenInQuery
  }

  /** Hands a transaction over. Throws AppserviceError, OutgoingRequestError: then it is to be repeated as it is. */
  async sendTransaction(
    appservice: Appservice,
    transaction: { readonly txnId: number; readonly body: string },
    signal: AbortSignal,
  ): Promise<void> {
    const path = `/transactions/${transaction.txnId}`
    const request = { method: 'PUT', body: transaction.body, timeoutMs: TRANSACTION_TIMEOUT_MS, signal } as const
    const answer = await this.#request(appservice, { ...request, path: `/_matrix/app/v1${path}`, legacyPath: path })
    if (!isSuccess(answer))
      throw new AppserviceError(`The application service ${appservice.id} answered with status ${answer.status}`)
  }

  /** Tells whether the service knows the user or alias, after it has made it. What can not be asked is not known. */
  async knows(appservice: Appservice, kind: 'users' | 'rooms', id: string): Promise<boolean> {
    if (appservice.registration.url === undefined) return false
    const path = `/${kind}/${encodeURIComponent(id)}`
    try {
      return isSuccess(
        await this.#request(appservice, {
          method: 'GET',
          path: `/_matrix/app/v1${path}`,
          legacyPath: path,
          timeoutMs: QUERY_TIMEOUT_MS,
        }),
      )
    } catch (error) {
      if (error instanceof OutgoingRequestError) return false
      throw error
    }
  }

  /** Asks about a third-party network; undefined where there is no answer. `path` is without a slash before it. */
  async askThirdParty(appservice: Appservice, path: string, query: readonly (readonly [string, string])[]): Promise<unknown> {
    if (appservice.registration.url === undefined) return undefined
    const suffix = `thirdparty/${path}`
    try {
      const answer = await this.#request(appservice, {
        method: 'GET',
        path: `/_matrix/app/v1/${suffix}`,
        legacyPath: `/_matrix/app/unstable/${suffix}`,
        query,
        timeoutMs: QUERY_TIMEOUT_MS,
      })
      return isSuccess(answer) ? (JSON.parse(answer.bytes.toString('utf8')) as unknown) : undefined
    } catch (error) {
      if (error instanceof OutgoingRequestError || error instanceof SyntaxError) return undefined
      throw error
    }
  }

  /** Returns how long it took. Throws M_URL_NOT_SET, M_BAD_STATUS, M_CONNECTION_FAILED, M_CONNECTION_TIMEOUT. */
  async ping(appservice: Appservice, transactionId: string | undefined): Promise<number> {
    if (appservice.registration.url === undefined)
      throw new MatrixError('M_URL_NOT_SET', "The application service doesn't have a URL configured")
    const startMs = this.#clock.monotonicMs()
    const body: JsonObject = transactionId === undefined ? {} : { transaction_id: transactionId }
    let answer: OutgoingAnswer
    try {
      answer = await this.#request(appservice, {
        method: 'POST',
        path: '/_matrix/app/v1/ping',
        legacyPath: undefined,
        body: JSON.stringify(body),
        timeoutMs: QUERY_TIMEOUT_MS,
      })
    } catch (error) {
      if (!(error instanceof OutgoingRequestError)) throw error
      const errcode = error.failure === 'timeout' ? 'M_CONNECTION_TIMEOUT' : 'M_CONNECTION_FAILED'
      throw new MatrixError(errcode, error.message, { cause: error })
    }
    if (!isSuccess(answer)) {
      const text = answer.bytes.toString('utf8').slice(0, PING_BODY_CHARS_MAX)
      throw new MatrixError('M_BAD_STATUS', `The application service answered with status ${answer.status}`, {
        extra: { status: answer.status, body: text },
      })
    }
    return Math.round(this.#clock.monotonicMs() - startMs)
  }

  /** Asks at the path of today and, where that is not known, at the one of old. */
  async #request(appservice: Appservice, request: AppserviceRequest): Promise<OutgoingAnswer> {
    const answer = await this.#requestAt(appservice, request, request.path)
    const isUnknownPath = answer.status === 405 || (answer.status === 404 && !answer.bytes.includes('M_NOT_FOUND'))
    return isUnknownPath && request.legacyPath !== undefined ? this.#requestAt(appservice, request, request.legacyPath) : answer
  }

  #requestAt(appservice: Appservice, request: AppserviceRequest, path: string): Promise<OutgoingAnswer> {
    const { url = '', hsToken } = appservice.registration
    const query = new URLSearchParams()
    for (const [name, value] of request.query ?? []) query.append(name, value)
    if (this.#sendsTokenInQuery) query.append('access_token', hsToken)
    const { method, body, timeoutMs, signal } = request
    return this.#outgoing.request({
      url: `${url}${path}${query.size === 0 ? '' : `?${query.toString()}`}`,
      method,
      headers: { authorization: `Bearer ${hsToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body }),
      isPlainHttpAllowed: true,
      timeoutMs,
      bytesMax: ANSWER_BYTES_MAX,
      signal,
    })
  }
}

interface AppserviceRequest {
  readonly method: 'GET' | 'PUT' | 'POST'
  readonly path: string
  /** Spec: application-service-api § Legacy routes. */
  readonly legacyPath: string | undefined
  readonly query?: readonly (readonly [string, string])[]
  readonly body?: string
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

function isSuccess({ status }: OutgoingAnswer): boolean {
  return status >= 200 && status < 300
}
