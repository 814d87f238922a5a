import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildProxyModel } from '../../src/process/proxy-config/model.ts'
import { writeNginx } from '../../src/process/proxy-config/nginx.ts'
import { readProcesses } from '../../src/process/proxy-config/topology.ts'
import type { ProcessSpec, ProcessStatus } from '../../src/process/supervised-process.ts'
import { Supervisor } from '../../src/process/supervisor.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { buildChildEnvironment } from '../../src/util/environment.ts'
import { systemClock } from '../../src/util/clock.ts'
import { baseConfig } from './base-config.ts'
import { writeClusterFiles } from './cluster-layout.ts'
import type { ClusterFiles, Layout } from './cluster-layout.ts'
import { repositoryPath } from './environment.ts'
import { RunningProxy } from './proxy-runner.ts'
import { findFreePort, startTestRedis } from './test-redis.ts'
import type { TestRedis } from './test-redis.ts'

/** How a cluster of child processes is made. */
export interface SpawnedClusterOptions {
  readonly layout: Layout
  /** Options of the shared file over those of `baseConfig`. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Takes each line of the processes' logs. */
  readonly onLog?: (process: string, line: string) => void
  /** Stands between the processes and Redis: gets Redis's socket, and returns the one that the processes are told. */
  readonly redisVia?: (socketPath: string) => Promise<string>
}

const WAIT_TIMEOUT_MS = 60_000
const START_TIMEOUT_MS = 90_000
const POLL_MS = 20
const LINES_KEPT = 30

/**
 * A server of real processes: each runs `bin/ganglion` under the supervisor of `ganglion up`, on a Redis and a PostgreSQL (with fsync)
 * of their own, behind nginx with the generated configuration. Everything can be killed, paused and restarted.
 */
export class SpawnedCluster implements AsyncDisposable {
  readonly directory: string
  readonly redis: TestRedis
  readonly #options: SpawnedClusterOptions
  readonly #postgres: SpawnedPostgres
  readonly #redisSocket: string
  readonly #supervisor: Supervisor
  #layout: Layout
  #files: ClusterFiles | undefined
  #proxy: RunningProxy | undefined
  #port = 0
  readonly #lastLines: string[] = []

  private constructor(parts: {
    options: SpawnedClusterOptions
    directory: string
    redis: TestRedis
    redisSocket: string
    postgres: SpawnedPostgres
  }) {
    this.directory = parts.directory
    this.redis = parts.redis
    this.#options = parts.options
    this.#layout = parts.options.layout
    this.#postgres = parts.postgres
    this.#redisSocket = parts.redisSocket
    this.#supervisor = new Supervisor({
      clock: systemClock,
      env: buildChildEnvironment({ NOTIFY_SOCKET: undefined, SYNAPSE_WORKER: undefined, NODE_OPTIONS: undefined }),
      write: (name, line) => {
        this.#lastLines.push(`${name} | ${line}`)
        if (this.#lastLines.length > LINES_KEPT) this.#lastLines.shift()
        this.#options.onLog?.(name, line)
      },
    })
  }

  /** Starts everything, and waits until each process is ready and nginx answers. */
  static async start(options: SpawnedClusterOptions): Promise<SpawnedCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'ganglion-cluster-'))
    const redis = await startTestRedis()
    const postgres = new SpawnedPostgres(join(directory, 'postgres'), (line) => options.onLog?.('postgres', line))
    const redisSocket = (await options.redisVia?.(redis.socketPath)) ?? redis.socketPath
    const cluster = new SpawnedCluster({ options, directory, redis, redisSocket, postgres })
    try {
      await postgres.start()
      await cluster.#writeFiles()
      await cluster.#startProcesses()
      await cluster.#startProxy()
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  async #startProcesses(): Promise<void> {
    const starting = this.#supervisor.start(this.names.map((name) => this.#specOf(name)))
    await Promise.race([starting, sleep(START_TIMEOUT_MS, undefined, { ref: false })])
    const late = this.status.filter(({ state }) => state !== 'running').map(({ instance }) => instance)
    if (late.length > 0) throw new Error(`These processes did not start: ${late.join(', ')}\n${this.#lastLines.join('\n')}`)
  }

  /** Names of all processes; `main` is the first. */
  get names(): readonly string[] {
    return ['main', ...this.#layout.workers.map(({ name }) => name)]
  }

  /** Names of the processes that serve clients. */
  get clientNames(): readonly string[] {
    return ['main', ...this.#layout.workers.filter(({ resources }) => resources.includes('client')).map(({ name }) => name)]
  }

  /** Names of the processes that write events. */
  get persisters(): readonly string[] {
    const writers = this.#layout.shared['stream_writers'] as { events?: readonly string[] } | undefined
    return writers?.events ?? ['main']
  }

  /** Where nginx listens. */
  get baseUrl(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** The Unix socket where a process serves clients. */
  socketOf(name: string): string {
    return this.#filesOf().publicSocketOf(name)
  }

  get status(): readonly ProcessStatus[] {
    return this.#supervisor.status
  }

  get databaseOptions(): DatabaseOptions {
    return this.#postgres.connection
  }

  /** The id of a process; undefined while it is down. */
  pidOf(name: string): number | undefined {
    return this.#statusOf(name)?.pid ?? undefined
  }

  isRunning(name: string): boolean {
    return this.#statusOf(name)?.state === 'running'
  }

  #statusOf(name: string): ProcessStatus | undefined {
    return this.status.find(({ instance }) => instance === name)
  }

  /** Sends a signal to a process. SIGKILL: the supervisor starts it again; wait for it with `untilRunning`. */
  kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): void {
    const pid = this.pidOf(name)
    if (pid === undefined) throw new Error(`${name} does not run`)
    process.kill(pid, signal)
  }

  pause(name: string): void {
    this.kill(name, 'SIGSTOP')
  }

  resume(name: string): void {
    this.kill(name, 'SIGCONT')
  }

  /** Waits until a process is ready, in another life than the one with `oldPid`. */
  async untilRunning(name: string, oldPid?: number): Promise<void> {
    const end = performance.now() + WAIT_TIMEOUT_MS
    while (!this.isRunning(name) || this.pidOf(name) === oldPid) {
      if (performance.now() > end) throw new Error(`${name} does not come back`)
      await sleep(POLL_MS)
    }
  }

  /** Restarts processes one after the other, as `ganglion ctl restart` does. Throws when one does not come back. */
  async restartRolling(names: readonly string[] = this.names): Promise<void> {
    const failed = await this.#supervisor.restart(names)
    if (failed !== undefined) throw new Error(`${failed} did not come back after its restart`)
  }

  /**
   * Lets these processes write events, as an admin does: rewrites the files, starts the new ones, restarts the others one after
   * the other, and stops those that were named `persister…` and are no more.
   */
  async setPersisters(persisters: readonly string[]): Promise<void> {
    const before = this.names
    const kept = this.#layout.workers.filter(({ name }) => persisters.includes(name) || !this.persisters.includes(name))
    const added = persisters.filter((name) => !before.includes(name))
    const writers = this.#layout.shared['stream_writers'] as Record<string, unknown>
    this.#layout = {
      workers: [...kept, ...added.map((name) => ({ name, app: 'synapse.app.generic_worker', resources: [] }))],
      shared: { ...this.#layout.shared, stream_writers: { ...writers, events: persisters } },
    }
    const gone = before.filter((name) => !this.names.includes(name))
    for (const name of gone) await rm(this.#filesOf().fileOf(name) ?? '', { force: true })
    await this.#writeFiles()
    await this.#supervisor.start(added.map((name) => this.#specOf(name)))
    await this.restartRolling(this.names.filter((name) => !added.includes(name)))
    if (gone.length > 0) await this.#supervisor.stop(gone)
  }

  /** Starts a second process with the files of a worker. Returns how it ended; the status is undefined when it still ran after `withinMs`. */
  async startTwin(name: string, withinMs: number): Promise<{ status: number | null | undefined; output: string }> {
    const { command, args } = this.#specOf(name)
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = once(child, 'exit')
    const status = await Promise.race([ended.then(([code]) => code as number | null), sleep(withinMs, undefined)])
    if (status === undefined) {
      child.kill('SIGKILL')
      await ended
    }
    return { status, output }
  }

  /** Ends PostgreSQL at once (`immediate` as by `pg_ctl -m immediate`, or killed) and starts it again; settles when it answers. */
  async restartPostgres(how: 'immediate' | 'kill', downMs = 0): Promise<void> {
    await this.#postgres.crash(how === 'kill' ? 'SIGKILL' : 'SIGQUIT')
    await sleep(downMs)
    await this.#postgres.start()
  }

  #filesOf(): ClusterFiles {
    if (this.#files === undefined) throw new Error('The cluster has no files yet')
    return this.#files
  }

  async #writeFiles(): Promise<void> {
    const { directory } = this
    this.#files = await writeClusterFiles({
      directory,
      layout: this.#layout,
      config: { ...baseConfig(), media_store_path: join(directory, 'media'), ...this.#options.config },
      databaseOptions: this.#postgres.connection,
      redisSocket: this.#redisSocket,
    })
    if (this.#layout.workers.length === 0) await makeMonolith(this.#files.shared)
  }

  #specOf(name: string): ProcessSpec {
    const { shared, fileOf } = this.#filesOf()
    const own = fileOf(name)
    const args = own === undefined ? ['homeserver', '-c', shared] : ['worker', '-c', shared, '-c', own]
    return { name, command: process.execPath, args: [repositoryPath('bin/ganglion'), ...args] }
  }

  async #startProxy(): Promise<void> {
    const files = this.#filesOf()
    this.#port = await findFreePort()
    const model = buildProxyModel(readProcesses([files.shared], files.workersDirectory), {
      listen: [`127.0.0.1:${this.#port}`],
      pools: new Map(),
      isAdminHidden: false,
    })
    this.#proxy = await RunningProxy.start('nginx', writeNginx(model, { isFragment: false }), this.#port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy?.stop()
    await this.#supervisor.stop()
    await this.#postgres.stop()
    await this.redis.stop()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** Takes out of a shared file what speaks of other processes. */
async function makeMonolith(shared: string): Promise<void> {
  const config = JSON.parse(await readFile(shared, 'utf8')) as Record<string, unknown> & {
    listeners: readonly { resources: readonly { names: readonly string[] }[] }[]
  }
  const { redis: _redis, instance_map: _map, worker_replication_secret: _secret, ...rest } = config
  const listeners = config.listeners.filter(({ resources }) => !resources.some(({ names }) => names.includes('replication')))
  await writeFile(shared, JSON.stringify({ ...rest, listeners }))
}

/** A PostgreSQL with durable settings, in the care of a process of its own. */
class SpawnedPostgres {
  readonly #directory: string
  readonly #onLine: (line: string) => void
  #supervisor: ChildProcess | undefined
  #pid = 0
  #connection: DatabaseOptions | undefined

  constructor(directory: string, onLine: (line: string) => void) {
    this.#directory = directory
    this.#onLine = onLine
  }

  get connection(): DatabaseOptions {
    if (this.#connection === undefined) throw new Error('PostgreSQL was not started')
    return this.#connection
  }

  async start(): Promise<void> {
    const args = [repositoryPath('tests/kit/postgres-supervisor.ts'), this.#directory]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#supervisor = child
    createInterface(child.stderr).on('line', this.#onLine)
    const lines = createInterface(child.stdout)
    const ready = new Promise<string>((resolve) =>
      lines.on('line', (line) => (line.startsWith('{"pid"') ? resolve(line) : this.#onLine(line))),
    )
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('PostgreSQL did not start')))
    const line = await Promise.race([ready, ended])
    ended.catch(() => undefined)
    const { pid, connection } = JSON.parse(line) as { pid: number; connection: DatabaseOptions }
    this.#pid = pid
    this.#connection = connection
  }

  /** Ends it without a clean stop. Its guard goes first, so that nobody but `start` starts it again. */
  async crash(signal: 'SIGKILL' | 'SIGQUIT'): Promise<void> {
    await this.#endSupervisor('SIGKILL')
    process.kill(this.#pid, signal)
    while (isAlive(this.#pid)) await sleep(POLL_MS)
  }

  async stop(): Promise<void> {
    await this.#endSupervisor('SIGTERM')
  }

  async #endSupervisor(signal: NodeJS.Signals): Promise<void> {
    const child = this.#supervisor
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
