import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from '../clients/eventually.ts'

/** A notification as the gateway got it. */
export interface ReceivedPush {
  readonly event_id?: string
  readonly counts?: { readonly unread?: number }
  readonly devices: readonly { readonly app_id: string; readonly pushkey: string; readonly [key: string]: unknown }[]
  readonly [key: string]: unknown
}

/** A push gateway in the test's process. */
export class TestPushGateway implements AsyncDisposable {
  readonly received: ReceivedPush[] = []
  /** Keys that it rejects. */
  readonly rejected = new Set<string>()
  /** The status of its answers. */
  status = 200
  /** Delays of answers, by key. */
  readonly delaysMs = new Map<string, number>()
  /** Requests so far, refused ones too. */
  requests = 0
  #server: Server | undefined
  #port = 0

  static async start(): Promise<TestPushGateway> {
    const gateway = new TestPushGateway()
    await gateway.open()
    return gateway
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/_matrix/push/v1/notify`
  }

  /** Listens, at the same port as before. */
  async open(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response))
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Goes away. */
  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const { notification } = JSON.parse(text) as { notification: ReceivedPush }
    const keys = notification.devices.map((device) => device.pushkey)
    const delayMs = Math.max(0, ...keys.map((key) => this.delaysMs.get(key) ?? 0))
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs))
    if (this.status === 200) this.received.push(notification)
    response.writeHead(this.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ rejected: keys.filter((key) => this.rejected.has(key)) }))
  }

  /** Waits for so many notifications and returns them. */
  async waitFor(count: number): Promise<readonly ReceivedPush[]> {
    await eventually(`${count} notifications`, () => this.received.length >= count, 20_000)
    return this.received
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
