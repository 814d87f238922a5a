import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { repositoryPath } from '../kit/environment.ts'
import { baseConfig } from '../kit/base-config.ts'
import { testAuthority } from '../kit/test-authority.ts'
import { readUsage } from './processes.ts'
import type { ProcessUsage } from './processes.ts'

const START_TIMEOUT_MS = 60_000

/** Usage of processes, and what the database wrote. */
export interface ServerUsage extends ProcessUsage {
  readonly walBytes: number
  readonly commits: number
}

/** The server under measurement: a child process as users run it, with the embedded PostgreSQL and everything durable. */
export class BenchServer implements AsyncDisposable {
  readonly baseUrl: string
  readonly #child: ChildProcess
  readonly #directory: string
  readonly #databasePid: number
  readonly #database: pg.Client

  private constructor(parts: {
    baseUrl: string
    child: ChildProcess
    directory: string
    databasePid: number
    database: pg.Client
  }) {
    this.baseUrl = parts.baseUrl
    this.#child = parts.child
    this.#directory = parts.directory
    this.#databasePid = parts.databasePid
    this.#database = parts.database
  }

  /** Starts it on an empty database in a new folder below `parentDirectory`. */
  static async start(parentDirectory: string = tmpdir()): Promise<BenchServer> {
    const directory = await mkdtemp(join(parentDirectory, 'ganglion-bench-'))
    const file = join(directory, 'homeserver.yaml')
    const config = {
      ...baseConfig(),
      listeners: [
        { port: 0, type: 'http', bind_addresses: ['127.0.0.1'], resources: [{ names: ['client', 'media', 'federation'] }] },
      ],
      federation_custom_ca_list: [(await testAuthority()).caPath],
      ip_range_blacklist: [],
      trusted_key_servers: [],
      rc_federation: { window_size: 1000, sleep_limit: 1_000_000, reject_limit: 1_000_000, concurrent: 100 },
      database: { name: 'embedded', data_directory: join(directory, 'database') },
      media_store_path: join(directory, 'media'),
    }
    await writeFile(file, JSON.stringify(config))
    const child = spawn(repositoryPath('bin/ganglion'), ['homeserver', '-c', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    const baseUrl = await waitForAddress(child)
    const pidFile = (await readFile(join(directory, 'database/postgres/cluster/postmaster.pid'), 'utf8')).split('\n')
    const database = new pg.Client({ host: pidFile[4] ?? '', user: 'ganglion', database: 'postgres' })
    await database.connect()
    return new BenchServer({ baseUrl, child, directory, databasePid: Number(pidFile[0]), database })
  }

  /** Version of PostgreSQL, for the report. */
  async databaseVersion(): Promise<string> {
    const { rows } = await this.#database.query<{ version: string }>(`SELECT current_setting('server_version') AS version`)
    return rows[0]?.version ?? ''
  }

  async usage(): Promise<ServerUsage> {
    const { rows } = await this.#database.query<{ wal: string; commits: string }>(
      `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS wal, sum(xact_commit) AS commits FROM pg_stat_database`,
    )
    return { ...this.processUsage(), walBytes: Number(rows[0]?.wal ?? 0), commits: Number(rows[0]?.commits ?? 0) }
  }

  processUsage(): ProcessUsage {
    return readUsage(this.#child.pid ?? 0, this.#databasePid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database.end()
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await exited
    }
    await rm(this.#directory, { recursive: true, force: true })
  }
}

async function waitForAddress(child: ChildProcess): Promise<string> {
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => (output = (output + chunk).slice(-50_000)))
  const deadline = performance.now() + START_TIMEOUT_MS
  while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
    const found = /listening on (http:\/\/\S+)/.exec(output)
    if (found?.[1] !== undefined) return found[1].replace(/\/$/, '')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  child.kill('SIGKILL')
  throw new Error(`The server did not start:\n${output}`)
}
