import { hash, timingSafeEqual } from 'node:crypto'
import { Ajv } from 'ajv'
import { jsonResponse } from '../http/endpoint.ts'
import type { Endpoint, HttpRequest, HttpResponse } from '../http/endpoint.ts'
import { MatrixError } from '../protocol/errors.ts'
import { parseStrictJson } from '../protocol/strict-json.ts'
import type { Logger } from '../util/logger.ts'
import { isOutage } from '../util/outage.ts'
import { DEADLINE_HEADER, FROM_HEADER, IDEM_HEADER, RPC_PATH, RpcRefusal } from './rpc.ts'
import type { RpcCode, RpcMethod, WireError } from './rpc.ts'

/** Calls of one method under way at the most; beyond, `busy`. */
const IN_FLIGHT_MAX = 500
const BUSY_AFTER_MS = 100
const DEADLINE_MAX_MS = 600_000
/** Events may nest 100 deep, and stand inside of requests. */
const JSON_DEPTH_MAX = 120

/** What a handler learns beside its request. */
export interface RpcContext {
  /** The caller; undefined where it did not say. */
  readonly from: { readonly instance: string; readonly boot: string } | undefined
  /** The same in each attempt of one call. */
  readonly idem: string | undefined
  /** Aborted at the deadline, when the caller has gone, and when the server stops. */
  readonly signal: AbortSignal
}

export type RpcHandler<Request, Response> = (request: Request, context: RpcContext) => Promise<Response>

interface Served {
  readonly method: RpcMethod<never, unknown>
  readonly handler: RpcHandler<never, unknown>
  readonly isValid: (value: unknown) => boolean
  readonly inFlightMax: number
  inFlight: number
}

const STATUS: Readonly<Record<RpcCode, number>> = {
  unreachable: 503,
  no_answer: 502,
  timeout: 504,
  aborted: 499,
  busy: 503,
  not_owner: 421,
  unauthorized: 401,
  unknown_method: 404,
  bad_request: 400,
  too_large: 413,
  internal: 500,
}

/** Serves calls of our other processes on the listener resource `replication` (replication design, section 5). */
export class RpcServer {
  readonly #secretHash: Buffer | undefined
  readonly #logger: Logger
  readonly #methods = new Map<string, Served>()
  readonly #ajv = new Ajv({ strict: false })
  /** To be served on the replication listener; they need no context. */
  readonly endpoints: readonly Endpoint<unknown>[]

  /** Without a secret everybody is served: the caller sees to it that then only this machine can connect. */
  constructor(deps: { secret: string | undefined; logger: Logger }) {
    this.#secretHash = deps.secret === undefined ? undefined : digest(`Bearer ${deps.secret}`)
    this.#logger = deps.logger
    this.endpoints = [
      {
        operationId: 'replicationRpc',
        method: 'POST',
        paths: [`${RPC_PATH}:method`],
        resource: 'replication',
        group: 'replication',
        run: (request) => this.#serve(request),
      },
    ]
  }

  /** Names who serves a method. `inFlightMax`: how many calls at once before callers are told that this process is busy. */
  handle<Request, Response>(
    method: RpcMethod<Request, Response>,
    handler: RpcHandler<Request, Response>,
    options?: { readonly inFlightMax?: number },
  ): void {
    if (this.#methods.has(method.name)) throw new Error(`The method ${method.name} has a handler already`)
    this.#methods.set(method.name, {
      method: method as RpcMethod<never, unknown>,
      handler: handler as RpcHandler<never, unknown>,
      isValid: method.schema === undefined ? () => true : this.#ajv.compile(method.schema as object),
      inFlightMax: options?.inFlightMax ?? IN_FLIGHT_MAX,
      inFlight: 0,
    })
  }

  /** Runs a handler in this process. Throws what it throws; RpcRefusal `busy` when it has too much to do. */
  async callLocally<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    context: RpcContext,
  ): Promise<Response> {
    const served = this.#methods.get(method.name)
    if (!served) throw new Error(`Nobody serves ${method.name} in this process`)
    return (await run(served, request, context)) as Response
  }

  async #serve(request: HttpRequest): Promise<HttpResponse> {
    if (!this.#isAuthorized(request.headers.authorization)) return refuse('unauthorized')
    const served = this.#methods.get(request.params['method'] ?? '')
    if (!served) return refuse('unknown_method')
    const deadlineMs = parseDeadline(request.headers[DEADLINE_HEADER], served.method.deadlineMs)
    if (deadlineMs === undefined) return refuse('bad_request')
    let body: unknown
    try {
      body = parseStrictJson(await request.readBody(served.method.requestBytesMax), { depthMax: JSON_DEPTH_MAX })
    } catch (error) {
      if (error instanceof MatrixError) return refuse(error.errcode === 'M_TOO_LARGE' ? 'too_large' : 'bad_request')
      throw error
    }
    if (!served.isValid(body)) return refuse('bad_request')
    return this.#answer(served, body, request, deadlineMs)
  }

  /** Compares digests, whose length and content tell nothing about where a guess is wrong. */
  #isAuthorized(header: string | undefined): boolean {
    return this.#secretHash === undefined || timingSafeEqual(digest(header ?? ''), this.#secretHash)
  }

  async #answer(served: Served, body: unknown, request: HttpRequest, deadlineMs: number): Promise<HttpResponse> {
    const over = new AbortController()
    const signal = AbortSignal.any([request.signal, over.signal])
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<'timeout'>((resolve) => {
      timer = setTimeout(() => {
        over.abort(new Error('The deadline of the call has passed'))
        resolve('timeout')
      }, deadlineMs)
    })
    const running = run(served, body, {
      from: parseFrom(request.headers[FROM_HEADER]),
      idem: typeof request.headers[IDEM_HEADER] === 'string' ? request.headers[IDEM_HEADER] : undefined,
      signal,
    }).then(
      (result) => this.#succeed(served, result),
      (error: unknown) => this.#fail(served, error, signal),
    )
    try {
      const answer = await Promise.race([running, deadline])
      return answer === 'timeout' ? errorAnswer({ code: 'timeout', retry: 'no' }) : answer
    } finally {
      clearTimeout(timer)
    }
  }

  #succeed(served: Served, result: unknown): HttpResponse {
    const text = JSON.stringify(result ?? null)
    if (Buffer.byteLength(text) <= served.method.responseBytesMax)
      return { status: 200, contentType: 'application/json', body: text }
    this.#logger.error(`An answer of ${served.method.name} is too large`, { bytes: Buffer.byteLength(text) })
    return errorAnswer({ code: 'internal', retry: 'no', message: 'The answer is too large' })
  }

  #fail(served: Served, error: unknown, signal: AbortSignal): HttpResponse {
    if (error instanceof RpcRefusal)
      return errorAnswer({
        code: error.code,
        retry: error.code === 'busy' ? 'same' : 'other',
        ...(error.owner === undefined ? {} : { owner: error.owner }),
        ...(error.afterMs === undefined ? {} : { after_ms: error.afterMs }),
      })
    if (error instanceof MatrixError) {
      const { errcode, message, status, extra } = error
      const matrix = { errcode, error: message, status, ...(extra ? { extra } : {}) }
      return errorAnswer({ code: 'matrix', retry: 'no', matrix }, status)
    }
    if (signal.aborted) return errorAnswer({ code: 'aborted', retry: 'no' })
    if (isOutage(error)) {
      const matrix = { errcode: 'M_UNKNOWN', error: 'The server is not available', status: 503 }
      return errorAnswer({ code: 'matrix', retry: 'no', matrix }, 503)
    }
    this.#logger.error(`The call ${served.method.name} failed`, { error })
    return errorAnswer({ code: 'internal', retry: 'no' })
  }
}

/** Counts a call until it has really ended, also when nobody waits for it any more: the work still weighs on this process. */
async function run(served: Served, request: unknown, context: RpcContext): Promise<unknown> {
  if (served.inFlight >= served.inFlightMax) throw new RpcRefusal('busy', { afterMs: BUSY_AFTER_MS })
  served.inFlight += 1
  try {
    return await served.handler(request as never, context)
  } finally {
    served.inFlight -= 1
  }
}

function errorAnswer(error: WireError, status?: number): HttpResponse {
  return jsonResponse(error, status ?? (error.code === 'matrix' ? 500 : STATUS[error.code]))
}

/** Refuses a request whose body was not read, or not in full: what is left of it must not be read either. */
function refuse(code: 'unauthorized' | 'unknown_method' | 'bad_request' | 'too_large'): HttpResponse {
  return jsonResponse({ code, retry: 'no' } satisfies WireError, STATUS[code], { connection: 'close' })
}

function parseDeadline(header: string | readonly string[] | undefined, defaultMs: number): number | undefined {
  if (header === undefined) return defaultMs
  if (typeof header !== 'string' || !/^[0-9]{1,9}$/.test(header)) return undefined
  return Math.min(Number(header), DEADLINE_MAX_MS)
}

function parseFrom(header: string | readonly string[] | undefined): RpcContext['from'] {
  const match = typeof header === 'string' ? /^([^/]{1,1000})\/([^/]{1,100})$/.exec(header) : null
  return match?.[1] && match[2] ? { instance: unescape(match[1]), boot: match[2] } : undefined
}

/** Undoes encodeURIComponent; what it would not have written becomes replacement characters, never an error. */
function unescape(text: string): string {
  const bytes = text.replace(/%([0-9A-F]{2})/g, (_all, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}
