import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough } from 'node:stream'
import type { Readable } from 'node:stream'
import type { Endpoint, HttpMethod, HttpRequest, HttpResponse } from '../../http/endpoint.ts'
import { MatrixError } from '../../protocol/errors.ts'

/** Where a replication listener takes requests that other processes got by mistake: this, followed by the path as it came. */
const PREFIX = '/_synapse/replication/r1/http.forward'
const SECRET_HEADER = 'x-ganglion-secret'
const ADDRESS_HEADER = 'x-ganglion-client'
/** Longer than any long poll that clients ask for; a process that is gone ends the connection at once. */
const ANSWER_TIMEOUT_MS = 900_000
/** What belongs to one connection, or is made anew by the process that answers. */
const HOP_HEADERS = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'host',
  'expect',
  'te',
  'trailer',
  'proxy-authorization',
  'date',
  SECRET_HEADER,
  ADDRESS_HEADER,
])

/** Sends one HTTP request to another process's replication listener. */
export interface ProcessRequester {
  request(
    instance: string,
    options: {
      readonly method: HttpMethod
      readonly path: string
      readonly headers: Record<string, string | string[]>
      readonly body: Readable | null
      readonly signal: AbortSignal
      readonly timeoutMs: number
    },
  ): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Readable }>
}

/**
 * Hands requests that this process does not serve to one that does (design: replication, section 7): a proxy that routes
 * wrongly costs a hop, never an error. One hop only, since the target serves the endpoint itself.
 */
export class HttpForwarder {
  readonly #requester: ProcessRequester
  readonly #secret: string
  /** The processes that serve a resource, live ones only, best first. */
  readonly #targetsOf: (endpoint: Endpoint<unknown>) => readonly string[]
  /** How many requests were forwarded, by operation: the metric http_forwarded_total. */
  readonly forwarded = new Map<string, number>()

  constructor(deps: { requester: ProcessRequester; secret: string; targetsOf(endpoint: Endpoint<unknown>): readonly string[] }) {
    this.#requester = deps.requester
    this.#secret = deps.secret
    this.#targetsOf = deps.targetsOf
  }

  /** The endpoint as this process offers it: the same paths, answered by another process. */
  wrap<Context>(endpoint: Endpoint<Context>): Endpoint<Context> {
    return { ...endpoint, run: (request) => this.#forward(endpoint as Endpoint<unknown>, request) }
  }

  async #forward(endpoint: Endpoint<unknown>, request: HttpRequest): Promise<HttpResponse> {
    this.forwarded.set(endpoint.operationId, (this.forwarded.get(endpoint.operationId) ?? 0) + 1)
    const [target] = this.#targetsOf(endpoint)
    if (target === undefined)
      throw new MatrixError('M_UNKNOWN', 'No process that serves this is running', {
        status: 503,
        extra: { retry_after_ms: 1000 },
      })
    const answer = await this.#requester
      .request(target, {
        method: request.method,
        path: PREFIX + request.url,
        headers: {
          ...copyHeaders(request.headers),
          [SECRET_HEADER]: this.#secret,
          [ADDRESS_HEADER]: request.remoteAddress,
        },
        body: request.method === 'GET' ? null : passOn(request.bodyStream),
        signal: request.signal,
        timeoutMs: ANSWER_TIMEOUT_MS,
      })
      .catch((error: unknown) => {
        if (request.signal.aborted) throw error
        throw new MatrixError('M_UNKNOWN', 'The process that serves this cannot be reached', {
          status: 503,
          extra: { retry_after_ms: 1000 },
        })
      })
    const contentType = answer.headers['content-type']
    const headers = copyHeaders(answer.headers)
    delete headers['content-type']
    return {
      status: answer.status,
      ...(contentType === undefined ? {} : { contentType }),
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
      body: answer.body,
    }
  }
}

/**
 * The body, apart from its connection: the HTTP client destroys what it has sent, or what nobody wants any more, and the client
 * still waits for an answer there.
 */
function passOn(body: Readable): Readable {
  const copy = new PassThrough()
  const gone = (): void => {
    if (!body.readableEnded) copy.destroy(new Error('The client has gone'))
  }
  body.once('error', gone)
  body.once('close', gone)
  copy.once('close', () => {
    body.unpipe(copy)
    // The rest must be read, or the connection could carry no further request.
    body.resume()
  })
  // The request to the other process fails with it.
  copy.on('error', () => undefined)
  return body.pipe(copy)
}

function copyHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const copy: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || HOP_HEADERS.has(name) || name.startsWith('access-control-')) continue
    copy[name] = value
  }
  return copy
}

/** The endpoints that this process serves, as its replication listener offers them to other processes. */
export function forwardedEndpoints<Context>(endpoints: readonly Endpoint<Context>[], secret: string): Endpoint<Context>[] {
  const wanted = digest(secret)
  return endpoints.map((endpoint) => ({
    ...endpoint,
    resource: 'replication',
    paths: endpoint.paths.map((path) => PREFIX + path),
    run(request, context) {
      const given = request.headers[SECRET_HEADER]
      if (typeof given !== 'string' || !timingSafeEqual(digest(given), wanted))
        throw new MatrixError('M_FORBIDDEN', 'Only for processes of this server')
      return endpoint.run(new ForwardedRequest(request), context)
    },
  }))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The request as the client sent it to the other process. */
class ForwardedRequest implements HttpRequest {
  readonly #request: HttpRequest
  readonly url: string
  readonly remoteAddress: string

  constructor(request: HttpRequest) {
    this.#request = request
    this.url = request.url.slice(PREFIX.length)
    const address = request.headers[ADDRESS_HEADER]
    this.remoteAddress = typeof address === 'string' ? address : request.remoteAddress
  }

  get method(): HttpMethod {
    return this.#request.method
  }

  get params(): Readonly<Record<string, string>> {
    return this.#request.params
  }

  get query(): ReadonlyMap<string, readonly string[]> {
    return this.#request.query
  }

  get headers(): IncomingHttpHeaders {
    return this.#request.headers
  }

  get authorizations(): readonly string[] {
    return this.#request.authorizations
  }

  get signal(): AbortSignal {
    return this.#request.signal
  }

  get bodyStream(): Readable {
    return this.#request.bodyStream
  }

  readBody(bytesMax: number): Promise<Buffer> {
    return this.#request.readBody(bytesMax)
  }
}
