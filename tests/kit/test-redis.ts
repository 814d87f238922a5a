import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A Redis of one test. */
export interface TestRedis {
  readonly port: number
  readonly url: string
  readonly socketPath: string
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>
  /** Starts it again, on the same port and socket. Nothing was kept. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 20_000

/** Starts a `redis-server` without persistence on a free TCP port and on a Unix socket; `extra` are further arguments of its command line. */
export async function startTestRedis(extra: readonly string[] = []): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'ganglion-redis-'))
  const port = await findFreePort()
  const socketPath = join(directory, 'redis.sock')
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--unixsocket', socketPath, '--save', '', '--dir', directory]
  const start = () => startProcess([...args, '--appendonly', 'no', ...extra], port)
  let running = await start()
  const kill = async (): Promise<void> => {
    if (running.exitCode !== null || running.signalCode !== null) return
    const ended = once(running, 'exit')
    running.kill('SIGKILL')
    await ended
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    socketPath,
    kill,
    async restart() {
      await kill()
      running = await start()
    },
    async stop() {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A TCP port that nobody listens on. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function startProcess(args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const failed = once(child, 'error').then(([error]: unknown[]) => {
    throw error
  })
  failed.catch(() => undefined)
  await Promise.race([failed, answers(port, child)])
  return child
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  while (!(await isOpen(port))) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
    if (performance.now() > end) throw new Error('redis-server does not answer')
    await sleep(20)
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
