import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { LRUCache } from 'lru-cache'
import { Pool } from 'undici'
import { capped, readAll } from './capped-body.ts'
import type { IpRanges } from './ip-ranges.ts'
import { makeConnector, resolveAddresses } from './outgoing-connector.ts'
import type { MakeSecureContext, ResolveAddresses, Route } from './outgoing-connector.ts'
import { OutgoingRequestError } from './outgoing-errors.ts'

/** Destinations whose connections are kept for the next request. */
const ROUTES_MAX = 1000
const CONNECTIONS_PER_ROUTE_MAX = 10
/** Requests to one destination that are under way or wait for a connection. Beyond: refused at once. */
const REQUESTS_PER_ROUTE_MAX = 500
const KEEP_ALIVE_MS = 20_000
const HEADERS_BYTES_MAX = 32 * 1024
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** An outgoing request. */
export interface OutgoingRequest {
  /** `https://…`; `http://…` only with `isPlainHttpAllowed`. */
  readonly url: string
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Connects there instead of the URL's host and port; that host still stands in the `Host` header and in the certificate. */
  readonly connectTo?: { readonly host: string; readonly port: number }
  readonly isPlainHttpAllowed?: boolean
  /** Takes any certificate. */
  readonly isCertificateIgnored?: boolean
  /** The longest wait for the whole answer, redirects and all. */
  readonly timeoutMs: number
  /** The largest body of an answer that is read. */
  readonly bytesMax: number
  /** Redirects that a GET follows, each checked like the first request; credentials stay behind. Default: none. */
  readonly redirectsMax?: number
  readonly signal?: AbortSignal | undefined
}

/** An answer, whatever its status. */
export interface OutgoingAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
}

/** An answer whose body is still coming. It fails with OutgoingRequestError when it is too large or too slow. */
export interface OutgoingStream {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readable
}

interface Deadline {
  readonly signal: AbortSignal
  end(): void
}

/**
 * Sends all requests that leave this server (federation, previews, push, application services): nothing else opens sockets.
 * Each host is resolved once, its addresses are checked against the lists, and the connection goes to a checked address; that is
 * repeated for each redirect. Size and time are bounded. One client for each policy. Throws OutgoingRequestError.
 */
export class OutgoingClient implements AsyncDisposable {
  readonly #ranges: IpRanges
  readonly #secureContext: MakeSecureContext | undefined
  readonly #userAgent: string
  readonly #resolve: ResolveAddresses
  readonly #pools = new LRUCache<string, PoolEntry>({
    max: ROUTES_MAX,
    // Requests under way end first.
    dispose: ({ pool }) => void pool.close().catch(() => pool.destroy()),
  })

  constructor(deps: { ranges: IpRanges; userAgent: string; secureContext?: MakeSecureContext; resolve?: ResolveAddresses }) {
    this.#ranges = deps.ranges
    this.#secureContext = deps.secureContext
    this.#userAgent = deps.userAgent
    this.#resolve = deps.resolve ?? resolveAddresses
  }

  /** Returns the whole answer. */
  async request(options: OutgoingRequest): Promise<OutgoingAnswer> {
    const { status, headers, body } = await this.requestStream(options)
    return { status, headers, bytes: await readAll(body) }
  }

  /** Returns the answer when its headers are there. The caller must read the body to its end, or destroy it. */
  async requestStream(options: OutgoingRequest): Promise<OutgoingStream> {
    const deadline = startDeadline(options)
    try {
      const answer = await this.#followRedirects(options, deadline)
      return { ...answer, body: capped(answer.body, { bytesMax: options.bytesMax, headers: answer.headers, deadline }) }
    } catch (error) {
      deadline.end()
      throw error
    }
  }

  async #followRedirects(options: OutgoingRequest, deadline: Deadline): Promise<OutgoingStream> {
    let request = options
    for (let left = options.redirectsMax ?? 0; ; left--) {
      const answer = await this.#send(request, deadline.signal)
      const { location } = answer.headers
      if (!REDIRECTS.has(answer.status) || location === undefined || options.redirectsMax === undefined) return answer
      answer.body.on('error', ignore).destroy()
      if (left <= 0) throw new OutgoingRequestError('redirect', 'There are too many redirects', { wasSent: true })
      request = redirected(request, location)
    }
  }

  async #send(request: OutgoingRequest, signal: AbortSignal): Promise<OutgoingStream> {
    const url = parseUrl(request)
    const entry = this.#poolOf(routeOf(url, request))
    if (entry.open >= REQUESTS_PER_ROUTE_MAX) {
      throw new OutgoingRequestError('unreachable', `Too many requests wait for ${url.host}`, { wasSent: false })
    }
    entry.open++
    try {
      const { statusCode, headers, body } = await entry.pool.request({
        method: request.method ?? 'GET',
        path: pathOf(request.url),
        headers: { host: url.host, 'user-agent': this.#userAgent, ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
        signal,
      })
      return { status: statusCode, headers, body }
    } catch (error) {
      throw toOutgoingError(error, url, signal)
    } finally {
      entry.open--
    }
  }

  #poolOf(route: Route): PoolEntry {
    const key = JSON.stringify(route)
    const known = this.#pools.get(key)
    if (known) return known
    const host = route.host.includes(':') ? `[${route.host}]` : route.host
    const pool = new Pool(`${route.isTls ? 'https' : 'http'}://${host}:${route.port}`, {
      connections: CONNECTIONS_PER_ROUTE_MAX,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADERS_BYTES_MAX,
      // Our own deadline is over all.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: makeConnector(route, { ranges: this.#ranges, secureContext: this.#secureContext, resolve: this.#resolve }),
    })
    const entry = { pool, open: 0 }
    this.#pools.set(key, entry)
    return entry
  }

  /** Ends all connections; requests under way fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pools = [...this.#pools.values()].map(({ pool }) => pool)
    await Promise.all(pools.map((pool) => pool.destroy()))
    this.#pools.clear()
  }
}

interface PoolEntry {
  readonly pool: Pool
  open: number
}

function ignore(): void {
  // An answer that nobody reads may fail as it likes.
}

function startDeadline(options: OutgoingRequest): Deadline {
  const controller = new AbortController()
  const { signal: outer } = options
  const onAbort = (): void =>
    controller.abort(new OutgoingRequestError('aborted', 'The request was given up', { wasSent: true, cause: outer?.reason }))
  const timer = setTimeout(() => {
    const message = `There was no answer within ${options.timeoutMs} ms`
    controller.abort(new OutgoingRequestError('timeout', message, { wasSent: true }))
  }, options.timeoutMs)
  if (outer?.aborted === true) onAbort()
  else outer?.addEventListener('abort', onAbort, { once: true })
  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer)
      outer?.removeEventListener('abort', onAbort)
    },
  }
}

function parseUrl(request: OutgoingRequest): URL {
  const url = URL.parse(request.url)
  const isAllowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && request.isPlainHttpAllowed === true)
  if (!url || !isAllowed || url.username !== '' || url.password !== '') {
    throw new OutgoingRequestError('redirect', 'We do not go to that kind of URL', { wasSent: false })
  }
  return url
}

/** The path and query as written: signatures cover their very text, which `URL` would normalise. */
function pathOf(url: string): string {
  const [withoutFragment = ''] = url.split('#', 1)
  const path = withoutFragment.replace(/^[a-z]+:\/\/[^/?]*/i, '')
  return path.startsWith('/') ? path : `/${path}`
}

function routeOf(url: URL, request: OutgoingRequest): Route {
  const isTls = url.protocol === 'https:'
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return {
    isTls,
    host: request.connectTo?.host ?? name,
    port: request.connectTo?.port ?? (url.port === '' ? (isTls ? 443 : 80) : Number(url.port)),
    tlsName: name,
    isCertificateVerified: request.isCertificateIgnored !== true,
  }
}

function redirected(request: OutgoingRequest, location: string): OutgoingRequest {
  const target = URL.parse(location, request.url)
  if (target === null) throw new OutgoingRequestError('redirect', 'The redirect leads nowhere', { wasSent: true })
  const { connectTo: _route, body: _body, headers, ...rest } = request
  const kept = Object.entries(headers ?? {}).filter(
    ([name]) => !['authorization', 'cookie', 'host', 'content-type'].includes(name.toLowerCase()),
  )
  return { ...rest, method: 'GET', url: target.href, headers: Object.fromEntries(kept) }
}

function toOutgoingError(error: unknown, url: URL, signal: AbortSignal): OutgoingRequestError {
  if (error instanceof OutgoingRequestError) return error
  if (signal.aborted && signal.reason instanceof OutgoingRequestError) return signal.reason
  const reason = error instanceof Error ? error.message : String(error)
  return new OutgoingRequestError('unreachable', `The request to ${url.host} failed: ${reason}`, { wasSent: true, cause: error })
}
