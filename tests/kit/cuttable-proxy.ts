import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { DatabaseOptions } from '../../src/storage/database.ts'

/** A way to PostgreSQL that can be cut: to PostgreSQL it then looks as if the process had died, to the process as if it had. */
export interface CuttableProxy {
  readonly options: DatabaseOptions
  /** Ends all connections without notice and lets none be made. */
  cut(): void
  /** Swallows what goes over the connections that are open, and ends those towards PostgreSQL only: a broken network. */
  swallow(): void
  /** Lets connections be made again. */
  mend(): void
  close(): Promise<void>
}

/** Opens the proxy on a free port of this machine. */
export async function openCuttableProxy(options: DatabaseOptions): Promise<CuttableProxy> {
  const sockets = new Set<Socket>()
  const upstreams = new Map<Socket, Socket>()
  const swallowing = new Set<Socket>()
  let isCut = false
  const port = options.port ?? 5432
  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const upstream = createConnection(
      options.host.startsWith('/') ? { path: `${options.host}/.s.PGSQL.${port}` } : { host: options.host, port },
    )
    const pair = [
      [client, upstream],
      [upstream, client],
    ] as const
    for (const [from, to] of pair) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        if (!swallowing.has(to)) to.destroy()
      })
    }
    upstreams.set(upstream, client)
    upstream.on('close', () => upstreams.delete(upstream))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  return {
    options: { ...options, host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    cut,
    swallow() {
      for (const [upstream, client] of upstreams) {
        swallowing.add(client)
        client.unpipe(upstream)
        client.resume()
        upstream.unpipe(client)
        upstream.destroy()
      }
    },
    mend() {
      isCut = false
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
