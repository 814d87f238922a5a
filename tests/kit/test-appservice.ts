import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../clients/eventually.ts'
import type { TestServer } from './test-server.ts'
import { TestClient } from './client.ts'

/** An event as the application service got it. */
export interface ReceivedEvent {
  readonly event_id: string
  readonly room_id: string
  readonly type: string
  readonly sender: string
  readonly state_key?: string
  readonly content: Readonly<Record<string, unknown>>
}

export interface ReceivedTransaction {
  readonly txnId: string
  readonly events: readonly ReceivedEvent[]
  readonly ephemeral?: readonly { readonly type: string; readonly room_id?: string; readonly content: unknown }[]
  readonly [name: string]: unknown
}

/** An application service in the test's process, with a registration file of its own. */
export class TestAppservice implements AsyncDisposable {
  readonly id: string
  readonly asToken: string
  readonly transactions: ReceivedTransaction[] = []
  /** Users and aliases that it was asked for. */
  readonly asked: string[] = []
  /** Makes what it is asked for; returns whether it did. */
  onAsked: (id: string) => Promise<boolean> = () => Promise.resolve(false)
  /** The status of its answers to transactions. */
  status = 200
  /** Transactions that came, refused ones too. */
  attempts: string[] = []
  file = ''
  #directory = ''
  #server: Server | undefined
  #port = 0

  private constructor(id: string) {
    this.id = id
    this.asToken = `as-token-of-${id}`
  }

  /** `registration` goes over namespaces of users `@_<id>_…` and aliases `#_<id>_…`, both exclusive. */
  static async start(id: string, registration: Readonly<Record<string, unknown>> = {}): Promise<TestAppservice> {
    const appservice = new TestAppservice(id)
    await appservice.open()
    appservice.#directory = await mkdtemp(join(tmpdir(), 'ganglion-appservice-'))
    appservice.file = join(appservice.#directory, 'registration.yaml')
    const file = {
      id,
      url: `http://127.0.0.1:${appservice.#port}`,
      as_token: appservice.asToken,
      hs_token: `hs-token-of-${id}`,
      sender_localpart: `_${id}`,
      namespaces: {
        users: [{ exclusive: true, regex: `@_${id}_.*` }],
        aliases: [{ exclusive: true, regex: `#_${id}_.*` }],
        rooms: [],
      },
      rate_limited: false,
      ...registration,
    }
    // JSON is YAML as well.
    await writeFile(appservice.file, JSON.stringify(file))
    return appservice
  }

  async open(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response))
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
  }

  /** A client with its token. */
  client(server: TestServer): TestClient {
    return new TestClient(server.transport, { accessToken: this.asToken, userId: `@_${this.id}:${server.serverName}` })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    const path = new URL(request.url ?? '', 'http://localhost').pathname
    const [, kind = '', name = ''] = /^\/_matrix\/app\/v1\/([^/]+)\/?(.*)$/.exec(path) ?? []
    if (request.headers.authorization !== `Bearer hs-token-of-${this.id}`) answer(403, { errcode: 'M_FORBIDDEN' })
    else if (kind === 'transactions') {
      this.attempts.push(name)
      if (this.status === 200) this.transactions.push({ ...(JSON.parse(text) as { events: ReceivedEvent[] }), txnId: name })
      answer(this.status, {})
    } else if (kind === 'users' || kind === 'rooms') {
      const id = decodeURIComponent(name)
      this.asked.push(id)
      if (await this.onAsked(id)) answer(200, {})
      else answer(404, { errcode: 'M_NOT_FOUND' })
    } else if (kind === 'ping') answer(200, {})
    else if (kind === 'thirdparty') answer(200, thirdParty(name))
    else answer(404, { errcode: 'M_UNRECOGNIZED' })
  }

  /** All events so far, in the order in which they came. */
  get events(): readonly ReceivedEvent[] {
    return this.transactions.flatMap((transaction) => transaction.events)
  }

  get ephemeral(): readonly { readonly type: string; readonly room_id?: string; readonly content: unknown }[] {
    return this.transactions.flatMap((transaction) => transaction.ephemeral ?? [])
  }

  /** Waits for messages with these bodies, in this order. */
  async waitForBodies(...bodies: readonly string[]): Promise<void> {
    const got = (): string[] =>
      this.events.flatMap(({ content }) => (typeof content['body'] === 'string' ? [content['body']] : []))
    await eventually(`the messages ${bodies.join(', ')} (got ${got().join(', ')})`, () => got().join() === bodies.join(), 20_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
    await rm(this.#directory, { recursive: true, force: true })
  }
}

function thirdParty(path: string): unknown {
  if (path.startsWith('protocol/')) {
    const instances = [{ network_id: 'libera', desc: 'Libera', fields: {} }]
    return { user_fields: ['nick'], location_fields: ['channel'], icon: 'mxc://example.org/icon', field_types: {}, instances }
  }
  return [{ userid: '@_irc_bob:test.example', alias: '#_irc_place:test.example', protocol: 'irc', fields: {} }]
}
