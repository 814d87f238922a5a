import { createHmac, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Pool } from 'undici'
import type { Dispatcher } from 'undici'
import { inject } from 'vitest'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { baseConfig } from './base-config.ts'
import type { Layout } from './cluster-layout.ts'
import { startProcesses } from './cluster-runner.ts'
import type { RunningProcesses } from './cluster-runner.ts'
import { createTestDatabase, dropTestDatabase } from './test-postgres.ts'

/** An answer, read to its end. */
export interface SocketAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

export interface SocketRequest {
  readonly token?: string
  readonly body?: string | Buffer | Readable
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** A server of many processes without a proxy: a test chooses the process that it sends a request to. */
export class SocketCluster implements AsyncDisposable {
  readonly #processes: RunningProcesses
  readonly #directory: string
  readonly #databaseOptions: DatabaseOptions
  readonly #pools = new Map<string, Pool>()

  private constructor(parts: { processes: RunningProcesses; directory: string; databaseOptions: DatabaseOptions }) {
    this.#processes = parts.processes
    this.#directory = parts.directory
    this.#databaseOptions = parts.databaseOptions
  }

  static async start(layout: Layout, config: Readonly<Record<string, unknown>> = {}): Promise<SocketCluster> {
    const databaseOptions = await createTestDatabase(inject('postgres'), `test_${randomBytes(6).toString('hex')}`)
    const directory = await mkdtemp(join(tmpdir(), 'ganglion-test-'))
    const settings = {
      config: { ...baseConfig(), media_store_path: join(directory, 'media'), ...config },
      directory,
      databaseOptions,
    }
    return new SocketCluster({ processes: await startProcesses(settings, layout), directory, databaseOptions })
  }

  /** Folder of the server's files. */
  get directory(): string {
    return this.#directory
  }

  /** Sends a request to one process's public listener, and gives its answer as it comes. */
  open(process: string, method: string, path: string, request: SocketRequest = {}): Promise<Dispatcher.ResponseData> {
    const { token, body, headers, signal } = request
    return this.#poolOf(process).request({
      method: method as Dispatcher.HttpMethod,
      path,
      headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      body: body ?? null,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** Sends a request to one process's public listener. */
  async send(process: string, method: string, path: string, request: SocketRequest = {}): Promise<SocketAnswer> {
    const { statusCode, headers, body } = await this.open(process, method, path, request)
    return { status: statusCode, headers, text: await body.text() }
  }

  /** Makes an account through a process; returns its access token. */
  async register(process: string, localpart: string): Promise<string> {
    const body = JSON.stringify({ username: localpart, password: 'password of a test', auth: { type: 'm.login.dummy' } })
    const { status, text } = await this.send(process, 'POST', '/_matrix/client/v3/register', { body })
    if (status !== 200) throw new Error(`${localpart} could not be registered: ${text}`)
    return (JSON.parse(text) as { access_token: string }).access_token
  }

  /** Makes an administrator through a process; returns the access token. */
  async registerAdmin(process: string, localpart: string): Promise<string> {
    const path = '/_synapse/admin/v1/register'
    const { nonce } = JSON.parse((await this.send(process, 'GET', path)).text) as { nonce: string }
    const password = 'password of a test'
    const mac = createHmac('sha1', String(baseConfig()['registration_shared_secret']))
      .update([nonce, localpart, password, 'admin'].join('\0'))
      .digest('hex')
    const body = JSON.stringify({ nonce, username: localpart, password, admin: true, mac })
    const { status, text } = await this.send(process, 'POST', path, { body })
    if (status !== 200) throw new Error(`${localpart} could not be registered: ${text}`)
    return (JSON.parse(text) as { access_token: string }).access_token
  }

  #poolOf(process: string): Pool {
    const known = this.#pools.get(process)
    if (known) return known
    const pool = new Pool('http://localhost', {
      connections: 16,
      connect: { socketPath: this.#processes.files.publicSocketOf(process) },
    })
    this.#pools.set(process, pool)
    return pool
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()))
    await this.#processes.stop()
    await dropTestDatabase(this.#databaseOptions, this.#databaseOptions.database)
    await rm(this.#directory, { recursive: true, force: true })
  }
}
