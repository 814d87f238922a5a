import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { errors, Pool } from 'undici'
import type { Dispatcher } from 'undici'
import { isJsonObject } from '../protocol/json.ts'
import { MatrixError } from '../protocol/errors.ts'
import type { Errcode } from '../protocol/errors.ts'
import { parseStrictJson } from '../protocol/strict-json.ts'
import type { Clock } from '../util/clock.ts'
import type { Members } from './members.ts'
import { CallStats } from './call-stats.ts'
import { DEADLINE_HEADER, FROM_HEADER, IDEM_HEADER, RPC_PATH, RpcError, RpcRefusal } from './rpc.ts'
import type { RpcCode, RpcMethod, WireError } from './rpc.ts'
import type { RpcServer } from './rpc-server.ts'

const CONNECTIONS_MAX = 32
const CONNECT_TIMEOUT_MS = 2000
/** Below the 75 s of our listeners, so that it is never the server that closes a connection which is being used. */
const KEEP_ALIVE_MS = 30_000
/** Calls to one process under way and waiting for a connection. */
const IN_FLIGHT_MAX = 4000
const RETRY_FIRST_MS = 25
const RETRY_MAX_MS = 1000
const ERROR_BYTES_MAX = 64 * 1024
const JSON_DEPTH_MAX = 120

/** How one call is made. */
export interface CallOptions {
  /** Milliseconds; default the method's. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal | undefined
  /** Asked again before each further attempt of a method with `retry: 'other'`. Undefined: nobody at the moment. */
  readonly pickTarget?: () => string | undefined
}

/** What makes calls; parts of the program depend on this much only. */
export type RpcCaller = Pick<RpcClient, 'call'>

/** What the client asks of the members. */
export type RpcMembers = Pick<Members, 'self' | 'get' | 'isLive' | 'suspect' | 'refresh' | 'onChange'>

interface Target {
  readonly url: string
  readonly boot: string
  readonly pool: Pool
  inFlight: number
}

interface Call {
  readonly method: RpcMethod<unknown, unknown>
  readonly request: unknown
  readonly idem: string
  readonly signal: AbortSignal
  readonly endMs: number
  body: string | undefined
}

/**
 * Calls our other processes (replication design, section 5). A call ends by its deadline at the latest, by RpcError or by the
 * MatrixError that the handler threw. To this process itself it is a plain function call.
 */
export class RpcClient {
  readonly #members: RpcMembers
  readonly #server: Pick<RpcServer, 'callLocally'>
  readonly #clock: Clock
  readonly #headers: Readonly<Record<string, string>>
  readonly #tls: { readonly ca?: string; readonly rejectUnauthorized?: boolean }
  readonly #targets = new Map<string, Target>()
  #calls = 0
  readonly stats = new CallStats()

  constructor(deps: {
    members: RpcMembers
    server: Pick<RpcServer, 'callLocally'>
    clock: Clock
    secret: string | undefined
    tls?: { readonly ca?: string; readonly rejectUnauthorized?: boolean }
  }) {
    this.#members = deps.members
    this.#server = deps.server
    this.#clock = deps.clock
    this.#tls = deps.tls ?? {}
    deps.members.onChange(() => this.#dropDead())
    const { instance, boot } = deps.members.self
    this.#headers = {
      'content-type': 'application/json',
      [FROM_HEADER]: `${encodeURIComponent(instance)}/${boot}`,
      ...(deps.secret === undefined ? {} : { authorization: `Bearer ${deps.secret}` }),
    }
  }

  /** Calls a method in a process, by its instance name. */
  async call<Request, Response>(
    method: RpcMethod<Request, Response>,
    target: string | undefined,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    const deadlineMs = options.deadlineMs ?? method.deadlineMs
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), Math.max(0, deadlineMs))
    const call: Call = {
      method: method as RpcMethod<unknown, unknown>,
      request,
      idem: `${this.#members.self.boot}-${++this.#calls}`,
      signal: options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal,
      endMs: this.#clock.monotonicMs() + deadlineMs,
      body: undefined,
    }
    let code = 'ok'
    try {
      return (await this.#attempts(call, target, options)) as Response
    } catch (error) {
      code = error instanceof RpcError ? error.code : error instanceof MatrixError ? 'matrix' : 'internal'
      throw error
    } finally {
      clearTimeout(timer)
      this.stats.count(method.name, code, (this.#clock.monotonicMs() - call.endMs + deadlineMs) / 1000)
    }
  }

  /** Calls to other processes under way. */
  get inFlight(): number {
    let sum = 0
    for (const target of this.#targets.values()) sum += target.inFlight
    return sum
  }

  async #attempts(call: Call, first: string | undefined, options: CallOptions): Promise<unknown> {
    let target = first
    for (let attempt = 0; ; attempt++) {
      let failure: RpcError
      try {
        return await this.#attempt(call, target)
      } catch (error) {
        if (!(error instanceof RpcError)) throw error
        failure = error
      }
      const delayMs = Math.max(Math.min(RETRY_FIRST_MS * 2 ** attempt, RETRY_MAX_MS), failure.afterMs ?? 0)
      if (options.signal?.aborted) throw this.#error('aborted', call, target, failure)
      if (!mayRetry(call.method, failure) || this.#clock.monotonicMs() + delayMs >= call.endMs) throw failure
      await sleep(delayMs, undefined, { signal: call.signal }).catch(() => undefined)
      if (call.signal.aborted) throw failure
      if (call.method.retry === 'other') target = this.#nextTarget(failure, target, options)
    }
  }

  #nextTarget(failure: RpcError, last: string | undefined, options: CallOptions): string | undefined {
    if (failure.owner !== undefined && failure.owner !== last && this.#members.isLive(failure.owner)) return failure.owner
    return options.pickTarget ? options.pickTarget() : last
  }

  async #attempt(call: Call, instance: string | undefined): Promise<unknown> {
    if (instance === undefined) throw this.#error('unreachable', call, instance)
    if (call.signal.aborted) throw this.#error('timeout', call, instance)
    if (instance === this.#members.self.instance) return this.#callSelf(call)
    const target = this.#target(instance)
    if (!target) {
      // Perhaps it has just come, and the announcement is late.
      await this.#members.refresh().catch(() => undefined)
      throw this.#error('unreachable', call, instance)
    }
    if (target.inFlight >= IN_FLIGHT_MAX) throw this.#error('busy', call, instance)
    target.inFlight += 1
    try {
      return await this.#send(call, instance, target.pool)
    } finally {
      target.inFlight -= 1
    }
  }

  async #callSelf(call: Call): Promise<unknown> {
    const { instance, boot } = this.#members.self
    const context = { from: { instance, boot }, idem: call.idem, signal: call.signal }
    const running = this.#server.callLocally(call.method, call.request, context).catch((error: unknown) => {
      if (error instanceof RpcRefusal) {
        const { owner, afterMs } = error
        throw new RpcError(error.code, { method: call.method.name, target: instance, owner, afterMs, cause: error })
      }
      // A call that the handler made has failed. That is its answer, as it would be from another process.
      if (error instanceof RpcError)
        throw new MatrixError(error.errcode, error.message, {
          status: error.status,
          ...(error.extra ? { extra: { ...error.extra } } : {}),
          cause: error,
        })
      throw error
    })
    const over = abortion(call.signal).then(() => {
      throw this.#error('timeout', call, instance)
    })
    return Promise.race([running, over])
  }

  async #send(call: Call, instance: string, pool: Pool): Promise<unknown> {
    call.body ??= JSON.stringify(call.request ?? null)
    if (Buffer.byteLength(call.body) > call.method.requestBytesMax) throw this.#error('too_large', call, instance)
    let response: Dispatcher.ResponseData
    let bytes: Buffer
    try {
      response = await pool.request({
        method: 'POST',
        path: `${RPC_PATH}${call.method.name}`,
        headers: {
          ...this.#headers,
          [DEADLINE_HEADER]: String(Math.max(1, Math.ceil(call.endMs - this.#clock.monotonicMs()))),
          [IDEM_HEADER]: call.idem,
        },
        body: call.body,
        signal: call.signal,
      })
      bytes = await readBody(response, response.statusCode === 200 ? call.method.responseBytesMax : ERROR_BYTES_MAX)
    } catch (error) {
      throw await this.#connectionError(call, instance, error)
    }
    if (response.statusCode === 200) return this.#parse(bytes, call, instance)
    throw this.#toError(bytes, response.statusCode, call, instance)
  }

  async #connectionError(call: Call, instance: string, error: unknown): Promise<RpcError> {
    if (error instanceof BodyTooLarge) return this.#error('too_large', call, instance, error)
    if (call.signal.aborted) return this.#error('timeout', call, instance, error)
    // Whether it has died decides whom the next attempt goes to.
    await Promise.race([this.#members.suspect(instance), abortion(call.signal)])
    return this.#error(isNotSent(error) ? 'unreachable' : 'no_answer', call, instance, error)
  }

  #parse(bytes: Buffer, call: Call, instance: string): unknown {
    try {
      return parseStrictJson(bytes, { depthMax: JSON_DEPTH_MAX })
    } catch (error) {
      throw this.#error('internal', call, instance, error)
    }
  }

  #toError(bytes: Buffer, status: number, call: Call, instance: string): MatrixError {
    const wire = parseWireError(bytes)
    if (wire?.matrix) {
      const { errcode, error, status: matrixStatus, extra } = wire.matrix
      return new MatrixError(errcode as Errcode, error, { status: matrixStatus, ...(extra ? { extra: { ...extra } } : {}) })
    }
    const code = wire === undefined || wire.code === 'matrix' ? codeOfStatus(status) : wire.code
    // We still wait: it is the other process that stops.
    if (code === 'aborted') return this.#error('no_answer', call, instance)
    const options = { method: call.method.name, target: instance, detail: wire?.message ?? `status ${status}` }
    return new RpcError(code, { ...options, owner: wire?.owner, afterMs: wire?.after_ms })
  }

  #error(code: RpcCode, call: Call, target: string | undefined, cause?: unknown): RpcError {
    return new RpcError(code, { method: call.method.name, target, cause })
  }

  /**
   * Sends an HTTP request of another kind to a process's replication listener, and gives its answer as it comes. Throws RpcError
   * `unreachable` when nobody of that name is known, and the connection's errors.
   */
  async request(
    instance: string,
    options: {
      readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
      readonly path: string
      readonly headers: Record<string, string | string[]>
      readonly body: Readable | null
      readonly signal: AbortSignal
      readonly timeoutMs: number
    },
  ): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Readable }> {
    const target = this.#target(instance)
    if (!target) throw new RpcError('unreachable', { method: 'http.forward', target: instance })
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)])
    try {
      const { statusCode, headers, body } = await target.pool.request({ ...options, signal })
      return { status: statusCode, headers, body }
    } catch (error) {
      if (!signal.aborted) void this.#members.suspect(instance)
      throw error
    }
  }

  /** The pool to a process; a new one when it has moved. */
  #target(instance: string): Target | undefined {
    const member = this.#members.get(instance)
    const known = this.#targets.get(instance)
    if (known && known.url === member?.url && known.boot === member.boot) return known
    if (known) this.#drop(instance, known)
    if (member?.url === undefined) return undefined
    const target = { url: member.url, boot: member.boot, pool: this.#openPool(member.url), inFlight: 0 }
    this.#targets.set(instance, target)
    return target
  }

  /** Calls to a process that is dead, or that hangs and was given up, must not wait for their deadline. */
  #dropDead(): void {
    for (const [instance, target] of this.#targets)
      if (!this.#members.isLive(instance) || this.#members.get(instance)?.boot !== target.boot) this.#drop(instance, target)
  }

  #drop(instance: string, target: Target): void {
    this.#targets.delete(instance)
    void target.pool.destroy().catch(() => undefined)
  }

  #openPool(url: string): Pool {
    const isUnix = url.startsWith('unix:')
    return new Pool(isUnix ? 'http://localhost' : url, {
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      // The call's own signal ends it.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...this.#tls, ...(isUnix ? { socketPath: url.slice('unix:'.length) } : {}) },
    })
  }

  /** Ends all connections; calls under way fail. */
  async close(): Promise<void> {
    const targets = [...this.#targets.values()]
    this.#targets.clear()
    await Promise.all(targets.map((target) => target.pool.destroy()))
  }
}

function mayRetry(method: RpcMethod<unknown, unknown>, failure: RpcError): boolean {
  if (method.retry === 'none') return false
  if (failure.code === 'no_answer') return method.isIdempotent
  return failure.code === 'unreachable' || failure.code === 'busy' || failure.code === 'not_owner'
}

const NOT_SENT_CODES = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
])

/** Tells whether no connection was made, so that the request cannot have been served. */
function isNotSent(error: unknown): boolean {
  if (error instanceof errors.ConnectTimeoutError) return true
  // Several addresses were tried.
  if (error instanceof AggregateError) return error.errors.every(isNotSent)
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  return syscall === 'connect' || (typeof code === 'string' && NOT_SENT_CODES.has(code))
}

class BodyTooLarge extends Error {}

async function readBody(response: Dispatcher.ResponseData, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length
    // Leaving the loop destroys the body, and the connection with it.
    if (size > bytesMax) throw new BodyTooLarge(`The answer is larger than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function parseWireError(bytes: Buffer): WireError | undefined {
  try {
    const value = parseStrictJson(bytes)
    return isJsonObject(value) && typeof value['code'] === 'string' ? (value as unknown as WireError) : undefined
  } catch {
    // Not from our server: a proxy's page, say. The status tells enough.
    return undefined
  }
}

function codeOfStatus(status: number): RpcCode {
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 404) return 'unknown_method'
  if (status === 413) return 'too_large'
  // Something between us that has nobody to pass it on to, or that stopped waiting.
  if (status === 502 || status === 503 || status === 504) return 'no_answer'
  return status < 500 ? 'bad_request' : 'internal'
}

function abortion(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
