import { chmod, unlink } from 'node:fs/promises'
import { createConnection } from 'node:net'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import fastify from 'fastify'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MatrixError } from '../protocol/errors.ts'
import { isOutage } from '../util/outage.ts'
import { compressed } from './compression.ts'
import type { Endpoint, HttpMethod, HttpRequest, HttpResponse, ListenerResource } from './endpoint.ts'

const HEADERS_BYTES_MAX = 32 * 1024
const PARAM_CHARS_MAX = 4096
const REQUEST_ID_CHARS_MAX = 128
/** The whole request, body included: an upload of 50 MB over a slow line is well inside. */
const REQUEST_TIMEOUT_MS = 900_000
/** Spec: client-server-api § Web Browser Clients. */
const CORS_HEADERS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization, Date, If-Match, If-None-Match',
  'access-control-expose-headers': 'ETag, Location, X-Max-Bytes, Retry-After, Synapse-Trace-Id, Server',
} as const

/** Marks requests of `ganglion doctor`; the process that gets one says in the answer's PROCESS_HEADER who it is. */
export const DOCTOR_HEADER = 'x-ganglion-doctor'
export const PROCESS_HEADER = 'x-ganglion-process'

export interface HttpServerOptions {
  /** Trust X-Forwarded-For (the listener's `x_forwarded`). */
  readonly isForwarded: boolean
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer }
  /** Who this process is: told to who asks for it by the header `x-ganglion-doctor`. */
  readonly instance?: string
  /** Resources whose answers are compressed for who reads gzip. */
  readonly compressedResources?: ReadonlySet<ListenerResource>
  /** The header by which the proxy names a request, for the log (the listener's `request_id_header`). */
  readonly requestIdHeader?: string
  /** Called for each finished request, for logs and metrics. */
  onFinished?(info: RequestInfo): void
  /** Called for an error that is our bug. */
  onInternalError(error: unknown, info: { method: string; url: string; operationId: string }): void
}

export interface RequestInfo {
  readonly method: string
  readonly url: string
  readonly operationId: string
  readonly status: number
  readonly durationMs: number
  readonly remoteAddress: string
  /** What the proxy called it. */
  readonly requestId?: string
}

/** Where a server listens. Port 0 takes any free one. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string; readonly mode?: number }

/** Serves endpoints over HTTP on one address. Unknown paths answer 404 M_UNRECOGNIZED, known ones with another method 405. */
export class HttpServer<Context> {
  readonly #app: FastifyInstance
  readonly #options: HttpServerOptions
  readonly #context: Context
  readonly #methodsByPath = new Map<string, Set<string>>()
  /** Requests under way. */
  readonly #open = new Set<AbortController>()
  #isClosing = false
  #isEmptying = false

  constructor(options: HttpServerOptions, endpoints: readonly Endpoint<Context>[], context: Context) {
    this.#options = options
    this.#context = context
    this.#app = fastify({
      logger: false as unknown as FastifyBaseLogger,
      trustProxy: options.isForwarded,
      ...(options.tls ? { https: options.tls } : {}),
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: 75_000,
      // Bounded by each endpoint while it reads; the framework must not refuse before that.
      bodyLimit: Number.MAX_SAFE_INTEGER,
      http: { maxHeaderSize: HEADERS_BYTES_MAX },
      routerOptions: { ignoreTrailingSlash: true, maxParamLength: PARAM_CHARS_MAX },
      forceCloseConnections: 'idle',
      // What still comes in while the server closes is answered like all else, and ends its connection.
      return503OnClosing: false,
      exposeHeadRoutes: true,
      // Before routing: a path whose percent signs mean nothing, or no UTF-8.
      frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
        this.#sendError(error, request, reply, 'none'),
    } as never) as unknown as FastifyInstance
    this.#app.removeAllContentTypeParsers()
    this.#app.addContentTypeParser('*', (_request: unknown, payload: unknown, done: (error: null, body: unknown) => void) =>
      done(null, payload),
    )
    this.#app.setErrorHandler((error, request, reply) => this.#sendError(error, request, reply, 'none'))
    this.#app.setNotFoundHandler((_request, reply) =>
      send(reply, errorResponse(new MatrixError('M_UNRECOGNIZED', 'Unrecognized request'))),
    )
    for (const endpoint of endpoints) this.#register(endpoint)
    this.#registerMethods()
  }

  #register(endpoint: Endpoint<Context>): void {
    for (const path of endpoint.paths) {
      this.#app.route({
        method: endpoint.method,
        url: path,
        handler: (request, reply) => this.#handle(endpoint, request, reply),
      })
      const methods = this.#methodsByPath.get(shapeOf(path)) ?? new Set()
      methods.add(endpoint.method)
      this.#methodsByPath.set(shapeOf(path), methods)
    }
  }

  /** Answers OPTIONS (CORS) and, for known paths, wrong methods with 405. */
  #registerMethods(): void {
    this.#app.options('/*', (_request, reply) => send(reply, { status: 200, contentType: 'application/json', body: '{}' }))
    for (const [path, methods] of this.#methodsByPath) {
      const others = (['GET', 'POST', 'PUT', 'DELETE', 'PATCH'] as const).filter((method) => !methods.has(method))
      if (others.length === 0) continue
      this.#app.route({
        method: others,
        url: path,
        handler: (_request, reply) =>
          send(reply, errorResponse(new MatrixError('M_UNRECOGNIZED', 'Unrecognized request', { status: 405 }))),
      })
    }
  }

  async #handle(endpoint: Endpoint<Context>, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const startMs = performance.now()
    const abort = new AbortController()
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) abort.abort(new Error('The client has gone'))
    })
    this.#open.add(abort)
    if (this.#isClosing) abort.abort(new Error('The server is stopping'))
    let response: HttpResponse
    try {
      response = await endpoint.run(new ServerRequest(endpoint.method, request, abort.signal), this.#context)
    } catch (error) {
      // What is left of a body that was read in part would stand before the connection's next request.
      request.raw.resume()
      response = this.#toErrorResponse(error, request, endpoint.operationId)
    }
    this.#open.delete(abort)
    // The client's next request must look for another connection, and find the next server.
    if (this.#isEmptying) reply.header('connection', 'close')
    this.#options.onFinished?.({
      method: request.method,
      url: request.url,
      operationId: endpoint.operationId,
      status: response.status,
      durationMs: performance.now() - startMs,
      remoteAddress: addressOf(request),
      ...this.#requestIdOf(request),
    })
    const { instance, compressedResources } = this.#options
    if (compressedResources?.has(endpoint.resource) === true) response = await compressed(response, request.headers)
    // The process that the proxy chose, also where another one has answered.
    if (instance !== undefined && request.headers[DOCTOR_HEADER] !== undefined)
      response = { ...response, headers: { ...response.headers, [PROCESS_HEADER]: instance } }
    return send(reply, response)
  }

  #requestIdOf(request: FastifyRequest): { readonly requestId?: string } {
    const { requestIdHeader } = this.#options
    const value = requestIdHeader === undefined ? undefined : request.headers[requestIdHeader.toLowerCase()]
    return value === undefined ? {} : { requestId: String(value).slice(0, REQUEST_ID_CHARS_MAX) }
  }

  #toErrorResponse(error: unknown, request: FastifyRequest, operationId: string): HttpResponse {
    if (error instanceof MatrixError) {
      if (error.status === 500 && error.errcode === 'M_UNKNOWN')
        this.#options.onInternalError(error, { method: request.method, url: request.url, operationId })
      return errorResponse(error)
    }
    // The client has gone: nobody reads this answer, and it is no fault of ours.
    if (request.raw.destroyed && request.raw.readableAborted)
      return errorResponse(new MatrixError('M_UNKNOWN', 'The client has gone', { status: 499 }))
    if (this.#isClosing && error instanceof Error && error.name === 'AbortError') {
      return errorResponse(new MatrixError('M_UNKNOWN', 'The server is stopping', { status: 503 }))
    }
    // Each process says once that its database is away; the request may be repeated, and a proxy asks another process.
    if (isOutage(error)) return errorResponse(new MatrixError('M_UNKNOWN', 'The server is not available', { status: 503 }))
    this.#options.onInternalError(error, { method: request.method, url: request.url, operationId })
    return errorResponse(new MatrixError('M_UNKNOWN', 'Internal server error'))
  }

  #sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, operationId: string): void {
    const status = (error as { statusCode?: number }).statusCode
    if (status !== undefined && status < 500) {
      send(reply, errorResponse(new MatrixError('M_UNKNOWN', 'The request is malformed', { status })))
      return
    }
    send(reply, this.#toErrorResponse(error, request, operationId))
  }

  /** How many requests are under way. */
  get openRequests(): number {
    return this.#open.size
  }

  /** Starts to listen; returns the URL. */
  async listen(address: ListenAddress): Promise<string> {
    if ('path' in address) {
      await removeLeftSocket(address.path)
      await this.#app.listen({ path: address.path })
      await chmod(address.path, address.mode ?? 0o666)
      return `unix:${address.path}`
    }
    return this.#app.listen({ host: address.host, port: address.port })
  }

  /**
   * For a moment every answer ends its connection. One that is closed while it is idle may be closed under a request that a proxy
   * has just sent, and what is no idempotent request no proxy repeats.
   */
  async #emptyConnections(): Promise<void> {
    this.#isEmptying = true
    const countConnections = promisify(this.#app.server.getConnections.bind(this.#app.server))
    for (let waitedMs = 0; waitedMs < EMPTY_MS && (await countConnections()) > 0; waitedMs += EMPTY_POLL_MS)
      await sleep(EMPTY_POLL_MS)
  }

  /** Stops to listen, ends what only waits (long polls answer with what they have), lets other open requests end, and closes. */
  async close(): Promise<void> {
    await this.#emptyConnections()
    this.#isClosing = true
    for (const abort of this.#open) abort.abort(new Error('The server is stopping'))
    await this.#app.close()
  }
}

/** How long connections are given to end with an answer. */
const EMPTY_MS = 300
const EMPTY_POLL_MS = 20

/** Over a Unix socket whoever sets no X-Forwarded-For has no address: it is somebody on this machine. */
function addressOf(request: FastifyRequest): string {
  return (request.ip as string | undefined) ?? '127.0.0.1'
}

/** Removes the socket of a process that was killed. Throws EADDRINUSE when somebody listens there, whose place we must not take. */
async function removeLeftSocket(path: string): Promise<void> {
  const isInUse = await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
  if (isInUse) throw Object.assign(new Error(`listen EADDRINUSE: address already in use ${path}`), { code: 'EADDRINUSE' })
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/** The path with its parameter names taken away, so that two endpoints on one path share an entry. */
function shapeOf(path: string): string {
  let index = 0
  return path.replace(/:[A-Za-z]+/g, () => `:p${index++}`)
}

function errorResponse(error: MatrixError): HttpResponse {
  const retryAfterMs = error.extra?.['retry_after_ms']
  return {
    status: error.status,
    contentType: 'application/json',
    body: JSON.stringify(error.toJson()),
    ...(typeof retryAfterMs === 'number' ? { headers: { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) } } : {}),
  }
}

function send(reply: FastifyReply, response: HttpResponse): FastifyReply {
  if (reply.sent || reply.raw.destroyed) {
    // Nobody will read it, so nobody else would close what it reads from.
    if (response.body instanceof Readable) response.body.destroy()
    return reply
  }
  reply.code(response.status)
  reply.headers(CORS_HEADERS)
  if (response.contentType !== undefined) reply.header('content-type', response.contentType)
  if (response.headers) reply.headers(response.headers)
  // As a string, the framework would add a charset to application/json, which has none (RFC 8259) and which clients compare.
  return reply.send(typeof response.body === 'string' ? Buffer.from(response.body) : (response.body ?? ''))
}

class ServerRequest implements HttpRequest {
  readonly method: HttpMethod
  readonly url: string
  readonly params: Readonly<Record<string, string>>
  readonly headers: IncomingMessage['headers']
  readonly remoteAddress: string
  readonly signal: AbortSignal
  readonly #request: FastifyRequest
  #query: ReadonlyMap<string, readonly string[]> | undefined

  constructor(method: HttpMethod, request: FastifyRequest, signal: AbortSignal) {
    this.method = method
    this.url = request.url
    this.params = request.params as Record<string, string>
    this.headers = request.headers
    this.remoteAddress = addressOf(request)
    this.signal = signal
    this.#request = request
  }

  get query(): ReadonlyMap<string, readonly string[]> {
    return (this.#query ??= parseQuery(this.url))
  }

  get authorizations(): readonly string[] {
    return this.#request.raw.headersDistinct['authorization'] ?? []
  }

  get bodyStream(): Readable {
    return this.#request.raw
  }

  async readBody(bytesMax: number): Promise<Buffer> {
    const raw = this.#request.raw
    const declared = Number(raw.headers['content-length'] ?? 0)
    if (declared > bytesMax) throw new MatrixError('M_TOO_LARGE', 'The request body is too large')
    const chunks: Buffer[] = []
    let size = 0
    // Destroying the request would cut the connection before the client has read the error.
    for await (const chunk of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > bytesMax) throw new MatrixError('M_TOO_LARGE', 'The request body is too large')
      chunks.push(chunk)
    }
    return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
  }
}

function parseQuery(url: string): ReadonlyMap<string, readonly string[]> {
  const mark = url.indexOf('?')
  const query = new Map<string, string[]>()
  if (mark === -1) return query
  for (const [name, value] of new URLSearchParams(url.slice(mark + 1))) {
    const values = query.get(name)
    if (values) values.push(value)
    else query.set(name, [value])
  }
  return query
}
