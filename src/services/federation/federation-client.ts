import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FederationConfig } from '../../config/federation.ts'
import type { OutgoingAnswer, OutgoingClient, OutgoingRequest } from '../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { Clock } from '../../util/clock.ts'
import { pause } from '../../util/pause.ts'
import { TimeoutError, within } from '../../util/within.ts'
import type { DestinationBackoff } from './destination-backoff.ts'
import { FederationRequestError, NotRetryingDestination } from './federation-errors.ts'
import { buildXMatrix } from './request-signing.ts'
import type { ServerAddress, ServerDiscovery } from './server-discovery.ts'

/** Answers are smaller than this unless the request says otherwise: the state of a large room has its own limit. */
const BYTES_MAX = 10 * 1024 * 1024
/** An error's body is read to here. */
const ERROR_BYTES_MAX = 64 * 1024
const REDIRECTS_MAX = 5
const SHORT_PAUSE_FIRST_MS = 500
const LONG_PAUSE_FIRST_MS = 4000
/** Of more addresses (SRV records) the rest is not tried. */
const ADDRESSES_TRIED_MAX = 4
/** A timeout says something about the destination only when it had this long. */
const FAIR_TIMEOUT_MS = 10_000

/** A request to another server. */
export interface FederationRequest {
  readonly destination: ServerName
  readonly method: 'GET' | 'PUT' | 'POST'
  /** Path and query, percent-encoded, from `/_matrix/` on. */
  readonly path: string
  readonly body?: JsonObject
  /** The longest wait for the whole answer, all tries together. `federation.client_timeout` by default. */
  readonly timeoutMs?: number
  /** The largest answer that is read. */
  readonly bytesMax?: number
  /** Asks although the destination is in back-off; such a request does not prolong it either. */
  readonly isBackoffIgnored?: boolean
  /** How often a failed GET or PUT is tried again: as configured for when a user waits (default), for the background, or never. */
  readonly retries?: 'none' | 'short' | 'long'
  /** A destination that answers with any error is left alone for a while, unless the error says that the request is at fault (400, 413). */
  readonly areRefusalsFailures?: boolean
  readonly signal?: AbortSignal
}

/** An answer whose body is read by the caller, who must read it to its end or destroy it. */
export interface FederationStream {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readable
}

/** What a server pointed us to. */
export interface FederationUrlRequest {
  readonly destination: ServerName
  readonly url: string
  readonly timeoutMs?: number
  readonly bytesMax: number
  readonly signal?: AbortSignal
}

/** Makes the requests of a process that may not connect to other servers itself; the methods are those of FederationClient. */
export interface FederationRelay {
  request(options: FederationRequest): Promise<unknown>
  requestStream(options: FederationRequest): Promise<FederationStream>
  fetchUrl(options: FederationUrlRequest): Promise<FederationStream>
}

/** Sends requests to other servers, from this process or through one that may. */
export interface FederationRequester {
  /** Returns the parsed body of a 2xx answer. `T` is a wish: nothing of it is checked. Throws FederationRequestError. */
  request<T = unknown>(options: FederationRequest): Promise<T>
}

/**
 * Sends signed requests to other servers: finds them, leaves alone those in back-off, tries again as configured, and notes how it
 * went. Throws FederationRequestError, NotRetryingDestination. Spec: server-server-api § API standards, § Authentication.
 */
export class FederationClient implements FederationRequester {
  readonly #serverName: ServerName
  readonly #signingKey: SigningKey
  readonly #outgoing: OutgoingClient
  readonly #discovery: ServerDiscovery
  readonly #backoff: DestinationBackoff
  readonly #clock: Clock
  readonly #config: FederationConfig['federation']
  readonly #isAllowed: (serverName: ServerName) => boolean
  readonly #isCertificateIgnored: (hostname: string) => boolean
  readonly #relay: FederationRelay | undefined

  constructor(deps: {
    serverName: ServerName
    signingKey: SigningKey
    outgoing: OutgoingClient
    discovery: ServerDiscovery
    backoff: DestinationBackoff
    clock: Clock
    config: FederationConfig['federation']
    /** `federation_domain_whitelist`. */
    isAllowed: (serverName: ServerName) => boolean
    isCertificateIgnored: (hostname: string) => boolean
    /** Option outbound_federation_restricted_to: this process does not connect itself. */
    relay?: FederationRelay | undefined
  }) {
    this.#serverName = deps.serverName
    this.#signingKey = deps.signingKey
    this.#outgoing = deps.outgoing
    this.#discovery = deps.discovery
    this.#backoff = deps.backoff
    this.#clock = deps.clock
    this.#config = deps.config
    this.#isAllowed = deps.isAllowed
    this.#isCertificateIgnored = deps.isCertificateIgnored
    this.#relay = deps.relay
  }

  /** Returns the parsed body of a 2xx answer. `T` is a wish: nothing of it is checked. */
  async request<T = unknown>(options: FederationRequest): Promise<T> {
    if (this.#relay) return (await this.#relay.request(options)) as T
    const answer = await this.#exchange(options, async (request) => checkStatus(options, await this.#outgoing.request(request)))
    return parseAnswer(options.destination, answer.bytes) as T
  }

  /** Returns a 2xx answer as soon as its headers are there. Redirects are followed, without our signature: media may be elsewhere. */
  async requestStream(options: FederationRequest): Promise<FederationStream> {
    if (this.#relay) return this.#relay.requestStream(options)
    return this.#exchange(options, async (request) => {
      const stream = await this.#outgoing.requestStream({ ...request, redirectsMax: REDIRECTS_MAX })
      if (stream.status >= 200 && stream.status < 300) return stream
      const bytes = await readSome(stream.body)
      checkStatus(options, { status: stream.status, headers: stream.headers, bytes })
      return stream
    })
  }

  /** Fetches what a server pointed us to (media in other places): https only, unsigned. Returns a 2xx answer. */
  async fetchUrl(options: FederationUrlRequest): Promise<FederationStream> {
    if (this.#relay) return this.#relay.fetchUrl(options)
    const { destination, timeoutMs = this.#config.clientTimeoutMs, url, bytesMax, signal } = options
    try {
      const stream = await this.#outgoing.requestStream({ url, timeoutMs, bytesMax, signal, redirectsMax: REDIRECTS_MAX })
      if (stream.status >= 200 && stream.status < 300) return stream
      stream.body.destroy()
      const message = `pointed to what answers ${stream.status}`
      throw new FederationRequestError(destination, message, { status: stream.status, isRetryable: stream.status >= 500 })
    } catch (error) {
      throw error instanceof OutgoingRequestError ? toFederationError(destination, error) : error
    }
  }

  /** Runs the tries, and tells the back-off how they ended. */
  async #exchange<T>(options: FederationRequest, send: (request: OutgoingRequest) => Promise<T>): Promise<T> {
    const { destination, isBackoffIgnored = false } = options
    if (destination === this.#serverName || !this.#isAllowed(destination)) {
      throw new FederationRequestError(destination, 'no requests go there', { errcode: 'M_FORBIDDEN', isRetryable: false })
    }
    if (!isBackoffIgnored) {
      const retryAtTsMs = await this.#backoff.retryAtTsMs(destination)
      if (retryAtTsMs > 0) throw new NotRetryingDestination(destination, retryAtTsMs)
    }
    const startedTsMs = this.#clock.nowMs()
    try {
      const answer = await this.#tryRepeatedly(options, send)
      await this.#backoff.recordSuccess(destination)
      return answer
    } catch (error) {
      if (!(error instanceof FederationRequestError)) throw error
      // Giving up ourselves says nothing about the destination.
      if (options.signal?.aborted === true) throw error
      const tookMs = this.#clock.nowMs() - startedTsMs
      const isFailure = isFailureOf(error, tookMs) || (options.areRefusalsFailures === true && isRefusal(error))
      if (error.status !== undefined && !isFailure) await this.#backoff.recordSuccess(destination)
      else if (!isBackoffIgnored && isFailure) await this.#backoff.recordFailure(destination, startedTsMs)
      throw error
    }
  }

  async #tryRepeatedly<T>(options: FederationRequest, send: (request: OutgoingRequest) => Promise<T>): Promise<T> {
    const deadlineMs = this.#clock.monotonicMs() + (options.timeoutMs ?? this.#config.clientTimeoutMs)
    const { count, firstMs, maxMs } = this.#retryPlan(options)
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#tryOnce(options, deadlineMs, send)
      } catch (error) {
        const pauseMs = Math.min(maxMs, firstMs * 2 ** attempt)
        const isLast = attempt >= count || this.#clock.monotonicMs() + pauseMs >= deadlineMs || options.signal?.aborted === true
        if (isLast || !(error instanceof FederationRequestError) || !error.isRetryable || !isRepeatable(options, error))
          throw error
        await pause(pauseMs, options.signal)
      }
    }
  }

  #retryPlan(options: FederationRequest): { count: number; firstMs: number; maxMs: number } {
    const { maxShortRetries, maxShortRetryDelayMs, maxLongRetries, maxLongRetryDelayMs } = this.#config
    if (options.retries === 'none') return { count: 0, firstMs: 0, maxMs: 0 }
    if (options.retries === 'long') return { count: maxLongRetries, firstMs: LONG_PAUSE_FIRST_MS, maxMs: maxLongRetryDelayMs }
    return { count: maxShortRetries, firstMs: SHORT_PAUSE_FIRST_MS, maxMs: maxShortRetryDelayMs }
  }

  /** Tries the addresses of the destination one after another, as long as it is sure that none has seen the request. */
  async #tryOnce<T>(options: FederationRequest, deadlineMs: number, send: (request: OutgoingRequest) => Promise<T>): Promise<T> {
    const addresses = await this.#findAddresses(options.destination, deadlineMs)
    let failure: unknown
    for (const address of addresses.slice(0, ADDRESSES_TRIED_MAX)) {
      try {
        return await send(this.#buildRequest(options, address, deadlineMs - this.#clock.monotonicMs()))
      } catch (error) {
        failure = error
        if (!(error instanceof OutgoingRequestError) || error.wasSent) break
      }
    }
    throw failure instanceof OutgoingRequestError ? toFederationError(options.destination, failure) : failure
  }

  async #findAddresses(destination: ServerName, deadlineMs: number): Promise<readonly ServerAddress[]> {
    try {
      const leftMs = Math.max(1, deadlineMs - this.#clock.monotonicMs())
      return await within(this.#discovery.resolve(destination), leftMs, 'Finding the server')
    } catch (cause) {
      if (!(cause instanceof TimeoutError)) throw cause
      throw new FederationRequestError(destination, cause.message, { isRetryable: true, cause })
    }
  }

  #buildRequest(options: FederationRequest, address: ServerAddress, leftMs: number): OutgoingRequest {
    const { destination, method, path, body, bytesMax = BYTES_MAX, signal } = options
    const authorization = buildXMatrix(
      { method, uri: path, origin: this.#serverName, destination, content: body },
      this.#signingKey,
    )
    return {
      // The host header stands in the URL: its host is the name of the certificate.
      url: `https://${address.hostHeader}${path}`,
      connectTo: { host: address.host, port: address.port },
      method,
      headers: {
        authorization,
        host: address.hostHeader,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      isCertificateIgnored: this.#isCertificateIgnored(hostOf(address.hostHeader)),
      timeoutMs: Math.max(1, Math.round(leftMs)),
      bytesMax,
      signal,
    }
  }
}

function hostOf(hostHeader: string): string {
  return hostHeader.replace(/:[0-9]+$/, '')
}

function checkStatus(options: FederationRequest, answer: OutgoingAnswer): OutgoingAnswer {
  const { status, bytes } = answer
  if (status >= 200 && status < 300) return answer
  const json = bytes.length <= ERROR_BYTES_MAX ? parseError(bytes) : {}
  const errcode = typeof json['errcode'] === 'string' ? json['errcode'].slice(0, 100) : undefined
  const message = typeof json['error'] === 'string' ? `: ${json['error'].slice(0, 200)}` : ''
  throw new FederationRequestError(options.destination, `answered ${status} ${errcode ?? ''}${message}`, {
    status,
    errcode,
    isRetryable: status >= 500 || status === 429,
  })
}

/** The body of an error, or an empty object: proxies answer with pages of their own. */
function parseError(bytes: Buffer): JsonObject {
  try {
    const json = parseStrictJson(bytes)
    return isJsonObject(json) ? json : {}
  } catch (error) {
    if (error instanceof MatrixError) return {}
    throw error
  }
}

function parseAnswer(destination: ServerName, bytes: Buffer): JsonValue {
  try {
    return parseStrictJson(bytes)
  } catch (cause) {
    throw new FederationRequestError(destination, 'answered with what is no JSON', { status: 200, isRetryable: false, cause })
  }
}

async function readSome(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > ERROR_BYTES_MAX) break
  }
  return Buffer.concat(chunks)
}

function toFederationError(destination: ServerName, cause: OutgoingRequestError): FederationRequestError {
  const isRetryable = cause.failure === 'unreachable' || cause.failure === 'timeout'
  return new FederationRequestError(destination, cause.message, { isRetryable, cause })
}

/** Whether the destination as a whole is at fault: unreachable, broken, overloaded, or it does not know us (401). */
function isFailureOf(error: FederationRequestError, tookMs: number): boolean {
  if (error.status !== undefined) return error.status >= 500 || error.status === 429 || error.status === 401
  const { cause } = error
  if (!(cause instanceof OutgoingRequestError)) return true
  if (cause.failure === 'timeout') return tookMs >= FAIR_TIMEOUT_MS
  return cause.failure === 'unreachable' || cause.failure === 'blocked'
}

function isRefusal({ status }: FederationRequestError): boolean {
  return status !== undefined && status >= 300 && status !== 400 && status !== 413
}

/** Whether it does no harm to send it again: GET and PUT do not, POST only when it never left. */
function isRepeatable(options: FederationRequest, error: FederationRequestError): boolean {
  if (options.method !== 'POST') return true
  return error.cause instanceof OutgoingRequestError && !error.cause.wasSent
}
