import { Agent } from 'undici'
import type { Dispatcher } from 'undici'

/** One user's device. */
export interface BenchUser {
  readonly userId: string
  readonly deviceId: string
  readonly token: string
  readonly password: string
}

interface CallOptions {
  readonly contentType?: string
  readonly signal?: AbortSignal
}

/** A client that costs little: it shares the machine with what it measures. Throws on every status but 200. */
export class BenchClient implements AsyncDisposable {
  readonly #origin: string
  readonly #agent: Agent
  #counter = 0

  constructor(baseUrl: string) {
    this.#origin = baseUrl
    this.#agent = new Agent({
      connections: 2048,
      pipelining: 1,
      headersTimeout: 120_000,
      bodyTimeout: 120_000,
      keepAliveTimeout: 60_000,
    })
  }

  /** A number that nobody had before. */
  unique(): number {
    this.#counter += 1
    return this.#counter
  }

  async call<T>(
    user: BenchUser | undefined,
    method: Dispatcher.HttpMethod,
    path: string,
    body?: unknown,
    options: CallOptions = {},
  ): Promise<T> {
    const headers: Record<string, string> = user === undefined ? {} : { authorization: `Bearer ${user.token}` }
    const payload = body === undefined ? null : Buffer.isBuffer(body) ? body : JSON.stringify(body)
    if (payload !== null) headers['content-type'] = options.contentType ?? 'application/json'
    const response = await this.#agent.request({
      origin: this.#origin,
      path,
      method,
      headers,
      body: payload,
      signal: options.signal ?? null,
    })
    const text = await response.body.text()
    if (response.statusCode !== 200) throw new Error(`${method} ${path} answered ${response.statusCode}: ${text.slice(0, 500)}`)
    return (text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text) as T
  }

  async register(): Promise<BenchUser> {
    const username = `user${this.unique()}`
    const body = { username, password: `password of ${username}`, auth: { type: 'm.login.dummy' } }
    const session = await this.call<{ user_id: string; device_id: string; access_token: string }>(
      undefined,
      'POST',
      '/_matrix/client/v3/register',
      body,
    )
    return { userId: session.user_id, deviceId: session.device_id, token: session.access_token, password: body.password }
  }

  async createRoom(user: BenchUser, body: Record<string, unknown> = { preset: 'public_chat' }): Promise<string> {
    return (await this.call<{ room_id: string }>(user, 'POST', '/_matrix/client/v3/createRoom', body)).room_id
  }

  async join(user: BenchUser, roomId: string): Promise<void> {
    await this.call(user, 'POST', `/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {})
  }

  async send(user: BenchUser, roomId: string): Promise<string> {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/bench${this.unique()}`
    return (
      await this.call<{ event_id: string }>(user, 'PUT', path, {
        msgtype: 'm.text',
        body: 'a message of usual length, as people write them',
      })
    ).event_id
  }

  sync(user: BenchUser, since: string | undefined, timeoutMs: number, signal?: AbortSignal): Promise<BenchSync> {
    const query = new URLSearchParams({
      timeout: String(timeoutMs),
      set_presence: 'offline',
      ...(since === undefined ? {} : { since }),
    })
    return this.call<BenchSync>(
      user,
      'GET',
      `/_matrix/client/v3/sync?${query.toString()}`,
      undefined,
      signal === undefined ? {} : { signal },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy()
  }
}

export interface BenchSync {
  readonly next_batch: string
  readonly rooms?: {
    readonly join?: Readonly<Record<string, { readonly timeline: { readonly events: readonly { readonly event_id: string }[] } }>>
  }
}
