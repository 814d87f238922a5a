import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ProcessSpec, ProcessStatus } from '../process/supervised-process.ts'
import { isSystemError } from '../util/system-error.ts'

/** What `ctl` asks of the supervisor. No names means all processes. */
export type ControlRequest =
  | { readonly action: 'status' }
  | { readonly action: 'start'; readonly specs: readonly ProcessSpec[] }
  | { readonly action: 'stop' | 'restart'; readonly names: readonly string[] | undefined }

/** What the supervisor answers when it is done. */
export interface ControlAnswer {
  readonly processes: readonly ProcessStatus[]
  readonly problem?: string
}

/** Answers requests on a Unix socket that only this user may open: one line of JSON each way. */
export async function openControlSocket(
  path: string,
  handle: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<Server> {
  // Whoever opens it holds the lock: what is there is left from a killed one.
  rmSync(path, { force: true })
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    answer(socket, handle).catch(() => socket.destroy())
  })
  server.listen(path)
  await once(server, 'listening')
  chmodSync(path, 0o600)
  return server
}

async function answer(socket: Socket, handle: (request: ControlRequest) => Promise<ControlAnswer>): Promise<void> {
  const [line] = (await once(createInterface(socket), 'line')) as [string]
  const reply = await handle(JSON.parse(line) as ControlRequest).catch((error: unknown) => ({
    processes: [],
    problem: error instanceof Error ? error.message : String(error),
  }))
  socket.end(`${JSON.stringify(reply)}\n`)
}

/** Asks the supervisor; undefined when none runs. */
export async function askSupervisor(path: string, request: ControlRequest): Promise<ControlAnswer | undefined> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    socket.write(`${JSON.stringify(request)}\n`)
    const lines = createInterface(socket)
    const first = await Promise.race([once(lines, 'line'), once(lines, 'close')])
    const line: unknown = first[0]
    return typeof line === 'string' ? (JSON.parse(line) as ControlAnswer) : undefined
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE'].some((code) => isSystemError(error, code))) return undefined
    throw error
  } finally {
    socket.destroy()
  }
}
