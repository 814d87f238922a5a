import { randomUUID } from 'node:crypto'
import { Agent, request } from 'undici'
import { ResponseChecker } from './spec/response-checker.ts'
import type { SyncResponse } from './sync-response.ts'

export interface RequestOptions {
  readonly body?: unknown
  /** Sent as it is instead of `body`, with `contentType` (default application/json). */
  readonly rawBody?: string | Uint8Array
  readonly contentType?: string
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** The statuses that the test accepts; default 200. `any` accepts everything below 500 that fits the specification. */
  readonly expect?: number | readonly number[] | 'any'
  /** Another token than the client's; `null` sends none. */
  readonly token?: string | null
  readonly signal?: AbortSignal
}

export interface TestResponse<T> {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: T
  readonly bytes: Buffer
}

export interface MatrixErrorBody {
  readonly errcode: string
  readonly error: string
  readonly [key: string]: unknown
}

export interface RegisterOptions {
  readonly password?: string
  readonly deviceId?: string
  readonly body?: Readonly<Record<string, unknown>>
}

/** What a client shares with its siblings: address, connections, and the checker that sees every answer. */
export class ClientTransport {
  readonly #checker: Pick<ResponseChecker, 'check'>
  readonly #agent = new Agent({
    connections: 1024,
    pipelining: 1,
    headersTimeout: 120_000,
    bodyTimeout: 120_000,
    keepAliveTimeout: 10_000,
  })
  /** Without a slash at the end. A restarted server may have another one. */
  baseUrl: string

  constructor(baseUrl: string, checker: Pick<ResponseChecker, 'check'> = ResponseChecker.shared()) {
    this.baseUrl = baseUrl
    this.#checker = checker
  }

  async send(method: string, path: string, options: RequestOptions, token: string | undefined): Promise<TestResponse<unknown>> {
    const url = this.baseUrl + path + queryString(options.query)
    const json = options.body === undefined ? undefined : JSON.stringify(options.body)
    const body = options.rawBody ?? json ?? null
    const headers: Record<string, string> = { ...options.headers }
    if (body !== null) headers['content-type'] ??= options.contentType ?? 'application/json'
    if (token !== undefined) headers['authorization'] ??= `Bearer ${token}`
    const response = await request(url, {
      method: method as 'GET',
      headers,
      body,
      dispatcher: this.#agent,
      signal: options.signal ?? null,
    })
    const bytes = Buffer.from(await response.body.arrayBuffer())
    const contentType = [response.headers['content-type']].flat()[0]
    this.#checkStatus(method, url, response.statusCode, options.expect, bytes)
    const bodyText = bytes.toString('utf8')
    this.#checker.check({ method, url, status: response.statusCode, contentType, bodyText })
    const isJson = contentType?.startsWith('application/json') === true && bytes.length > 0
    return { status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(bodyText) : undefined, bytes }
  }

  #checkStatus(method: string, url: string, status: number, expected: RequestOptions['expect'], bytes: Buffer): void {
    const wanted = expected ?? 200
    const isFine = wanted === 'any' ? status < 500 : [wanted].flat().includes(status)
    if (isFine) return
    throw new Error(`${method} ${url} answered ${status}, expected ${String(wanted)}: ${bytes.toString('utf8').slice(0, 2000)}`)
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

/** A Matrix client as thin as possible. Every answer is checked against the specification; a 5xx fails the test. */
export class TestClient {
  readonly transport: ClientTransport
  readonly userId: string
  readonly deviceId: string
  readonly password: string
  accessToken: string | undefined

  constructor(
    transport: ClientTransport,
    session: { userId?: string; deviceId?: string; accessToken?: string; password?: string } = {},
  ) {
    this.transport = transport
    this.userId = session.userId ?? ''
    this.deviceId = session.deviceId ?? ''
    this.accessToken = session.accessToken
    this.password = session.password ?? ''
  }

  /** Sends a request and returns the answer's body; throws unless the status is expected and the answer fits the specification. */
  async request<T = unknown>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    return (await this.exchange<T>(method, path, options)).body
  }

  /** Like `request`, with status and headers. */
  async exchange<T = unknown>(method: string, path: string, options: RequestOptions = {}): Promise<TestResponse<T>> {
    const token = options.token === null ? undefined : (options.token ?? this.accessToken)
    return (await this.transport.send(method, path, options, token)) as TestResponse<T>
  }

  get<T = unknown>(path: string, options?: RequestOptions): Promise<T> {
    return this.request<T>('GET', path, options)
  }

  post<T = unknown>(path: string, body: unknown = {}, options?: RequestOptions): Promise<T> {
    return this.request<T>('POST', path, { body, ...options })
  }

  put<T = unknown>(path: string, body: unknown = {}, options?: RequestOptions): Promise<T> {
    return this.request<T>('PUT', path, { body, ...options })
  }

  delete<T = unknown>(path: string, options?: RequestOptions): Promise<T> {
    return this.request<T>('DELETE', path, options)
  }

  /** Expects an error with this status and errcode, and returns it. */
  async fails(
    status: number,
    errcode: string,
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<MatrixErrorBody> {
    const body = await this.request<MatrixErrorBody>(method, path, { ...options, expect: status })
    if (body.errcode !== errcode)
      throw new Error(`${method} ${path} answered ${body.errcode}, expected ${errcode}: ${body.error}`)
    return body
  }

  /** Makes an account by the dummy stage of user-interactive authentication, and returns its client. */
  async register(localpart: string, options: RegisterOptions = {}): Promise<TestClient> {
    const password = options.password ?? `password of ${localpart}`
    const body = {
      username: localpart,
      password,
      ...(options.deviceId === undefined ? {} : { device_id: options.deviceId }),
      ...options.body,
    }
    const first = await this.request<{ session?: string }>('POST', '/_matrix/client/v3/register', {
      body,
      expect: 401,
      token: null,
    })
    const auth = { type: 'm.login.dummy', session: first.session }
    const session = await this.request<SessionBody>('POST', '/_matrix/client/v3/register', {
      body: { ...body, auth },
      token: null,
    })
    return this.#session(session, password)
  }

  /** Logs in with a password: a new device unless `deviceId` is given. */
  async login(
    user: string,
    password: string,
    options: { deviceId?: string; body?: Readonly<Record<string, unknown>> } = {},
  ): Promise<TestClient> {
    const body = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user },
      password,
      ...(options.deviceId === undefined ? {} : { device_id: options.deviceId }),
      ...options.body,
    }
    return this.#session(await this.request<SessionBody>('POST', '/_matrix/client/v3/login', { body, token: null }), password)
  }

  /** Logs the same user in on one more device. */
  loginAgain(options: { deviceId?: string } = {}): Promise<TestClient> {
    return this.login(this.userId, this.password, options)
  }

  #session(body: SessionBody, password: string): TestClient {
    const { user_id: userId, device_id: deviceId, access_token: accessToken } = body
    return new TestClient(this.transport, { userId, deviceId, accessToken, password })
  }

  async createRoom(body: Readonly<Record<string, unknown>> = {}): Promise<string> {
    return (await this.post<{ room_id: string }>('/_matrix/client/v3/createRoom', body)).room_id
  }

  async join(roomIdOrAlias: string): Promise<string> {
    return (await this.post<{ room_id: string }>(`/_matrix/client/v3/join/${encodeURIComponent(roomIdOrAlias)}`)).room_id
  }

  async knock(roomIdOrAlias: string): Promise<string> {
    return (await this.post<{ room_id: string }>(`/_matrix/client/v3/knock/${encodeURIComponent(roomIdOrAlias)}`)).room_id
  }

  async invite(roomId: string, userId: string): Promise<void> {
    await this.post(roomPath(roomId, 'invite'), { user_id: userId })
  }

  async leave(roomId: string): Promise<void> {
    await this.post(roomPath(roomId, 'leave'))
  }

  async kick(roomId: string, userId: string): Promise<void> {
    await this.post(roomPath(roomId, 'kick'), { user_id: userId })
  }

  async ban(roomId: string, userId: string): Promise<void> {
    await this.post(roomPath(roomId, 'ban'), { user_id: userId })
  }

  async unban(roomId: string, userId: string): Promise<void> {
    await this.post(roomPath(roomId, 'unban'), { user_id: userId })
  }

  /** Sends an event and returns its id. */
  async send(roomId: string, type: string, content: unknown, txnId: string = randomUUID()): Promise<string> {
    return (await this.put<{ event_id: string }>(roomPath(roomId, 'send', type, txnId), content)).event_id
  }

  sendText(roomId: string, body: string, txnId?: string): Promise<string> {
    return this.send(roomId, 'm.room.message', { msgtype: 'm.text', body }, txnId)
  }

  async sendState(roomId: string, type: string, stateKey: string, content: unknown): Promise<string> {
    return (await this.put<{ event_id: string }>(roomPath(roomId, 'state', type, stateKey), content)).event_id
  }

  getState<T = unknown>(roomId: string, type: string, stateKey = '', options?: RequestOptions): Promise<T> {
    return this.get<T>(roomPath(roomId, 'state', type, stateKey), options)
  }

  async redact(roomId: string, eventId: string, txnId: string = randomUUID()): Promise<string> {
    return (await this.put<{ event_id: string }>(roomPath(roomId, 'redact', eventId, txnId))).event_id
  }

  messages(roomId: string, query: RequestOptions['query'] = { dir: 'b' }): Promise<MessagesResponse> {
    return this.get<MessagesResponse>(roomPath(roomId, 'messages'), { query: { dir: 'b', ...query } })
  }

  /** One /sync; answers at once unless `timeout` (ms) is given. `filter` may be an object. */
  sync(options: SyncOptions = {}): Promise<SyncResponse> {
    const { filter, signal, ...query } = options
    const filterText = typeof filter === 'object' ? JSON.stringify(filter) : filter
    return this.get<SyncResponse>('/_matrix/client/v3/sync', {
      query: { timeout: 0, ...query, ...(filterText === undefined ? {} : { filter: filterText }) },
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** Follows the token chain until an answer satisfies `isEnough`; returns all answers. Throws after `withinMs`. */
  async syncUntil(
    isEnough: (response: SyncResponse) => boolean,
    options: SyncOptions & { withinMs?: number } = {},
  ): Promise<SyncResponse[]> {
    const { withinMs = 60_000, ...first } = options
    const deadline = performance.now() + withinMs
    const responses: SyncResponse[] = []
    let since = first.since
    while (performance.now() < deadline) {
      const timeout = since === undefined ? 0 : Math.min(1000, Math.max(0, Math.ceil(deadline - performance.now())))
      const response = await this.sync({ ...first, timeout, ...(since === undefined ? {} : { since }) })
      responses.push(response)
      if (isEnough(response)) return responses
      since = response.next_batch
    }
    throw new Error(
      `${this.userId} did not see what it waited for in ${withinMs} ms. Last answers: ${JSON.stringify(responses.slice(-3)).slice(0, 4000)}`,
    )
  }
}

export interface SyncOptions {
  readonly since?: string
  readonly timeout?: number
  readonly filter?: string | Readonly<Record<string, unknown>>
  readonly full_state?: boolean
  readonly set_presence?: 'online' | 'offline' | 'unavailable'
  readonly use_state_after?: boolean
  readonly signal?: AbortSignal
}

export interface MessagesResponse {
  readonly chunk: readonly {
    event_id: string
    type: string
    sender: string
    content: Record<string, unknown>
    state_key?: string
  }[]
  readonly start: string
  readonly end?: string
  readonly state?: readonly { type: string; state_key: string; content: Record<string, unknown> }[]
}

interface SessionBody {
  readonly user_id: string
  readonly device_id: string
  readonly access_token: string
}

/** `/_matrix/client/v3/rooms/{roomId}/…` with every part escaped. */
export function roomPath(roomId: string, ...parts: readonly string[]): string {
  return ['/_matrix/client/v3/rooms', ...[roomId, ...parts].map(encodeURIComponent)].join('/')
}

function queryString(query: RequestOptions['query']): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue
    for (const item of [value].flat()) parameters.append(name, String(item))
  }
  const text = parameters.toString()
  return text === '' ? '' : `?${text}`
}
