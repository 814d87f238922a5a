import { once } from 'node:events'
import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** The way to a server: a port of this machine that passes everything on, and can be cut like a cable. */
export class TcpLink {
  readonly port: number
  /** Where it leads; set when the server behind has its port. */
  targetPort = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isCut = false

  private constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket: Socket) => this.#pass(socket))
  }

  static async open(): Promise<TcpLink> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpLink(server)
  }

  /** Ends all connections and lets none be made. */
  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Lets connections be made again. */
  mend(): void {
    this.#isCut = false
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #pass(client: Socket): void {
    if (this.#isCut) {
      client.destroy()
      return
    }
    const upstream = createConnection({ host: '127.0.0.1', port: this.targetPort })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(from)
      from.pipe(to)
      // What broke is seen as the end of the connection.
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
  }
}
