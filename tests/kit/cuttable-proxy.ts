import { createConnection, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { DatabaseOptions } from '../../src/storage/database.ts'

/** A way to PostgreSQL that can be cut: to PostgreSQL it then looks as if the process had died, to the process as if it had. */
export interface CuttableProxy {
  readonly options: DatabaseOptions
  /** Ends all connections without notice and lets none be made. */
  cut(): void
  /** Lets connections be made again. */
  mend(): void
  close(): Promise<void>
}

/** Opens the proxy on a free port of this machine. */
export async function openCuttableProxy(options: DatabaseOptions): Promise<CuttableProxy> {
  const sockets = new Set<Socket>()
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
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  return {
    options: { ...options, host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    cut,
    mend() {
      isCut = false
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
