import { createServer } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a stub says about the request that it got. */
export interface StubAnswer {
  readonly process: string
  readonly method: string
  /** As it arrived, not decoded. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly bodyBytes: number
}

/** Stands where one of our processes would listen, and answers every request with its own name. */
export class StubProcess {
  readonly name: string
  readonly #server: Server
  /** What it answers with; 200 unless a test says otherwise. */
  status = 200
  /** How many requests it got, health checks aside. */
  requestCount = 0

  constructor(name: string) {
    this.name = name
    this.#server = createServer((request, response) => {
      if (request.url === '/health') {
        response.end('OK')
        return
      }
      this.requestCount += 1
      let bodyBytes = 0
      request.on('data', (chunk: Buffer) => (bodyBytes += chunk.length))
      request.on('end', () => {
        const answer: StubAnswer = {
          process: name,
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          bodyBytes,
        }
        response.writeHead(this.status, { 'content-type': 'application/json', 'x-process': name })
        response.end(JSON.stringify(answer))
      })
    })
    this.#server.keepAliveTimeout = 75_000
  }

  /** Starts it, on any free port or again on the one that it had. */
  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', resolve)
    })
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A port that is free now. */
export async function findFreePort(): Promise<number> {
  const stub = new StubProcess('port')
  const port = await stub.listen()
  await stub.close()
  return port
}
