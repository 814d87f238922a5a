import { once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { Agent } from 'undici'
import { parseServerName } from '../../src/protocol/ids.ts'
import type { ServerName } from '../../src/protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../src/protocol/json.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import type { SigningKey } from '../../src/protocol/signing-key.ts'
import { signJson, signText } from '../../src/protocol/signatures.ts'
import { canonicalJson } from '../../src/protocol/canonical-json.ts'
import { systemRandom } from '../../src/util/random.ts'
import { checkFederationResponse } from './spec/federation-responses.ts'
import { testAuthority } from './test-authority.ts'
import type { TestCertificate } from './test-authority.ts'

const DAY_MS = 24 * 3600_000

/** A request that came to the peer. */
export interface PeerRequest {
  readonly method: string
  /** Path and query as they came. */
  readonly url: string
  readonly path: string
  readonly query: URLSearchParams
  /** What the pattern of the handler captured, percent-decoded. */
  readonly captures: readonly string[]
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  /** The parsed body; undefined where there was none, or no JSON. */
  readonly body: JsonObject | undefined
  /** For handlers that answer by themselves (slowly, in pieces, with garbage): they return `undefined`. */
  readonly response: ServerResponse
}

/** An answer other than 200 with JSON. */
export class PeerAnswer {
  readonly status: number
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, body: unknown = {}, headers: Readonly<Record<string, string>> = {}) {
    this.status = status
    this.body = body
    this.headers = headers
  }
}

/** What a handler returns that leaves the request to an earlier one. */
export const PASS_ON = Symbol('another handler answers')

/** Returns the JSON of a 200, a PeerAnswer, PASS_ON, or undefined when it writes to `request.response` itself. */
export type PeerHandler = (request: PeerRequest) => unknown

interface Route {
  readonly method: string
  readonly pattern: RegExp
  readonly handler: PeerHandler
}

export interface TestPeerOptions {
  readonly signingKey?: SigningKey
  /** Its certificate instead of one for localhost of the shared authority. */
  readonly certificate?: TestCertificate
  /** The address to listen on; default 127.0.0.1. */
  readonly host?: string
  /** `localhost:<port>` by default. */
  readonly serverName?: string
  readonly port?: number
}

/** Where requests of the peer go to: a TestServer fits. */
export interface PeerTarget {
  readonly baseUrl: string
  readonly serverName: string
}

/**
 * Another homeserver for one test: HTTPS on `localhost:<port>`, with a signing key of its own, which it publishes. What it answers
 * is up to the test; without a handler, 404 M_UNRECOGNIZED.
 *
 *     await using peer = await TestPeer.start()
 *     peer.handle('GET', /^\/_matrix\/federation\/v1\/query\/profile$/, () => ({ displayname: 'Bob' }))
 *     const { status, body } = await peer.request(server, 'PUT', '/_matrix/federation/v1/send/1', { pdus: [] })
 */
export class TestPeer implements AsyncDisposable {
  readonly serverName: ServerName
  readonly signingKey: SigningKey
  /** `https://localhost:<port>`. */
  readonly url: string
  readonly port: number
  /** Everything it was asked, oldest first. */
  readonly requests: PeerRequest[] = []
  /** What /_matrix/key/v2/server says beyond the key, before it is signed: tests may change it. */
  keyResponse: JsonObject = {}
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #routes: Route[] = []
  readonly #agent = new Agent({ connections: 20 })

  private constructor(server: Server, signingKey: SigningKey, serverName: string | undefined) {
    this.#server = server
    this.signingKey = signingKey
    this.port = (server.address() as AddressInfo).port
    this.url = `https://localhost:${this.port}`
    this.serverName = parseServerName(serverName ?? `localhost:${this.port}`)
  }

  static async start(options: TestPeerOptions = {}): Promise<TestPeer> {
    const certificate = options.certificate ?? (await testAuthority()).localhost
    const server = createServer({ cert: certificate.cert, key: certificate.key }, (incoming, response) => {
      peer.#answer(incoming, response).catch((error: unknown) => response.destroy(error as Error))
    })
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1')
    await once(server, 'listening')
    const peer = new TestPeer(server, options.signingKey ?? generateSigningKey(systemRandom), options.serverName)
    server.on('connection', (socket: Socket) => {
      peer.#sockets.add(socket)
      socket.once('close', () => peer.#sockets.delete(socket))
    })
    peer.handle('GET', /^\/_matrix\/key\/v2\/server$/, () => peer.keys())
    peer.handle('GET', /^\/_matrix\/federation\/v1\/version$/, () => ({ server: { name: 'TestPeer', version: '1' } }))
    return peer
  }

  /** The signed answer of /_matrix/key/v2/server. */
  keys(): JsonObject {
    const json: JsonObject = {
      server_name: this.serverName,
      verify_keys: { [this.signingKey.id]: { key: this.signingKey.publicKeyBase64 } },
      old_verify_keys: {},
      valid_until_ts: Date.now() + DAY_MS,
      ...this.keyResponse,
    }
    return signJson(json, this.serverName, this.signingKey)
  }

  /** Answers requests whose path (without query) fits; later handlers go before earlier ones. */
  handle(method: string, pathRegex: RegExp, handler: PeerHandler): void {
    this.#routes.unshift({ method, pattern: pathRegex, handler })
  }

  /** The requests so far whose path fits. */
  requestsTo(pathRegex: RegExp): readonly PeerRequest[] {
    return this.requests.filter((request) => pathRegex.test(request.path))
  }

  /** Waits until a request whose path fits has come, and returns it; one that came before counts too. */
  async waitForRequest(pathRegex: RegExp, timeoutMs = 10_000): Promise<PeerRequest> {
    const deadline = performance.now() + timeoutMs
    while (performance.now() < deadline) {
      const found = this.requests.find((request) => pathRegex.test(request.path))
      if (found) return found
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(`No request to ${String(pathRegex)} came; there were: ${this.requests.map(({ url }) => url).join(', ')}`)
  }

  /** Writes the X-Matrix header of a request to `destination`. */
  authorization(options: { destination: string; method: string; path: string; body?: JsonValue | undefined }): string {
    const json: JsonObject = {
      method: options.method,
      uri: options.path,
      origin: this.serverName,
      destination: options.destination,
      ...(options.body === undefined ? {} : { content: options.body }),
    }
    const signature = signText(canonicalJson(json), this.signingKey)
    return `X-Matrix origin="${this.serverName}",destination="${options.destination}",key="${this.signingKey.id}",sig="${signature}"`
  }

  /** Sends a signed request to our server; its answer must fit the specification. `headers` go over its own (`authorization` too). */
  async request<T = Record<string, unknown>>(
    target: PeerTarget,
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    path: string,
    body?: JsonValue,
    options: { headers?: Readonly<Record<string, string | string[]>>; signal?: AbortSignal } = {},
  ): Promise<{ status: number; body: T; bytes: Buffer; headers: IncomingHttpHeaders }> {
    const response = await this.#agent.request({
      origin: target.baseUrl,
      method,
      path,
      headers: {
        authorization: this.authorization({ destination: target.serverName, method, path, body }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    const bytes = Buffer.from(await response.body.arrayBuffer())
    const answer = parseBody(bytes)
    checkFederationResponse(method, path, response.statusCode, answer)
    return { status: response.statusCode, body: answer as T, bytes, headers: response.headers }
  }

  /** Stops at once, open connections included: from now on it cannot be reached. */
  async stop(): Promise<void> {
    if (this.#server.listening) {
      const closed = once(this.#server, 'close')
      this.#server.close()
      for (const socket of this.#sockets) socket.destroy()
      await closed
    }
  }

  /** Listens again after `stop`, at the same port. */
  async startAgain(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.#agent.destroy()
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    const url = incoming.url ?? '/'
    const { pathname, searchParams } = new URL(url, this.url)
    const method = incoming.method ?? 'GET'
    const routes = this.#routes.filter((candidate) => candidate.method === method && candidate.pattern.test(pathname))
    const body = parseBody(bytes) as JsonObject | undefined
    const { headers } = incoming
    const asked: PeerRequest = { method, url, path: pathname, query: searchParams, captures: [], headers, bytes, body, response }
    this.requests.push(asked)
    let answer: unknown = PASS_ON
    for (const { pattern, handler } of routes) {
      const captures = (pattern.exec(pathname) ?? []).slice(1).map((part) => decodeURIComponent(part ?? ''))
      answer = await handler({ ...asked, captures })
      if (answer !== PASS_ON) break
    }
    if (answer === PASS_ON) answer = new PeerAnswer(404, { errcode: 'M_UNRECOGNIZED', error: 'Unrecognized request' })
    if (answer === undefined) return
    const { status, body: content, headers: extra } = answer instanceof PeerAnswer ? answer : new PeerAnswer(200, answer)
    response.writeHead(status, { 'content-type': 'application/json', ...extra })
    response.end(typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content))
  }
}

function parseBody(bytes: Buffer): unknown {
  try {
    return bytes.length === 0 ? undefined : JSON.parse(bytes.toString())
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
