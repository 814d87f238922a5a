import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { baseConfig } from './base-config.ts'
import { federationConfig, findFreePort } from './federation-config.ts'
import { ClientTransport, TestClient } from './client.ts'
import type { RegisterOptions } from './client.ts'
import { runCluster } from './cluster-runner.ts'
import { environmentVariable } from './environment.ts'
import { runHere, runInChild } from './server-runners.ts'
import type { RunningTestServer, ServerRunner } from './server-runners.ts'
import { createTestDatabase, dropTestDatabase } from './test-postgres.ts'

export interface TestServerOptions {
  /** Options of homeserver.yaml over those of `baseConfig`. */
  readonly config?: Readonly<Record<string, unknown>>
  /** `shared`: a database of its own on the PostgreSQL of the test run (default). `embedded`: a PostgreSQL of its own; spawned servers only. */
  readonly database?: 'shared' | 'embedded'
  /**
   * Makes it reach TestPeers (trusted authority of the tests, private addresses allowed, no notary), and reachable for them and
   * for other TestServers: with TLS, as `localhost:<port>`.
   */
  readonly federation?: boolean
}

/**
 * A server of its own database for one test (or file):
 *
 *     await using server = await TestServer.start()
 *     const alice = await server.register('alice')
 */
export class TestServer implements AsyncDisposable {
  readonly transport: ClientTransport
  readonly databaseOptions: DatabaseOptions
  readonly #runner: ServerRunner
  readonly #config: Record<string, unknown>
  readonly #directory: string
  readonly #federationPort: number | undefined
  #running: RunningTestServer | undefined

  private constructor(parts: {
    runner: ServerRunner
    running: RunningTestServer
    databaseOptions: DatabaseOptions
    config: Record<string, unknown>
    directory: string
    federationPort: number | undefined
  }) {
    this.#runner = parts.runner
    this.#running = parts.running
    this.#config = parts.config
    this.#directory = parts.directory
    this.#federationPort = parts.federationPort
    this.databaseOptions = parts.databaseOptions
    this.transport = new ClientTransport(parts.running.baseUrl)
  }

  /** Runs the server in this process: quick, and errors have stacks. With TEST_TOPOLOGY=workers, as many processes behind nginx. */
  static start(options: TestServerOptions = {}): Promise<TestServer> {
    return TestServer.#launch(environmentVariable('TEST_TOPOLOGY') === 'workers' ? runCluster : runHere, options)
  }

  /** Runs the server as one process, whatever the environment says. */
  static startAlone(options: TestServerOptions = {}): Promise<TestServer> {
    return TestServer.#launch(runHere, options)
  }

  /** Runs the server as many processes behind nginx, whatever the environment says. */
  static startCluster(options: TestServerOptions = {}): Promise<TestServer> {
    return TestServer.#launch(runCluster, options)
  }

  /** Runs the server as `bin/ganglion homeserver` in a child process, which can be killed. */
  static spawn(options: TestServerOptions = {}): Promise<TestServer> {
    return TestServer.#launch(runInChild, options)
  }

  static async #launch(runner: ServerRunner, options: TestServerOptions): Promise<TestServer> {
    const databaseOptions = await createTestDatabase(inject('postgres'), `test_${randomBytes(6).toString('hex')}`)
    const directory = await mkdtemp(join(tmpdir(), 'ganglion-test-'))
    const embedded =
      options.database === 'embedded' ? { database: { name: 'embedded', data_directory: join(directory, 'postgres') } } : {}
    const federationPort = options.federation === true ? await findFreePort() : undefined
    const federation = federationPort === undefined ? {} : await federationConfig(federationPort)
    const config = { ...baseConfig(), media_store_path: join(directory, 'media'), ...embedded, ...federation, ...options.config }
    try {
      const running = await runner({ config, directory, databaseOptions, port: 0, ...optionalPort(federationPort) })
      return new TestServer({ runner, running, databaseOptions, config, directory, federationPort })
    } catch (error) {
      await rm(directory, { recursive: true, force: true })
      await dropTestDatabase(databaseOptions, databaseOptions.database)
      throw error
    }
  }

  get baseUrl(): string {
    return this.transport.baseUrl
  }

  get serverName(): string {
    return String(this.#config['server_name'])
  }

  /** Where it listens for other servers; undefined without the option `federation`. */
  get federationPort(): number | undefined {
    return this.#federationPort
  }

  /** Folder of the server's files. */
  get directory(): string {
    return this.#directory
  }

  /** The process of a spawned server. */
  get pid(): number | undefined {
    return this.#running?.pid
  }

  /** A client without a session. */
  anonymous(): TestClient {
    return new TestClient(this.transport)
  }

  /** Makes an account and returns its client. */
  register(localpart: string, options?: RegisterOptions): Promise<TestClient> {
    return this.anonymous().register(localpart, options)
  }

  /** Stops cleanly and starts again on the same data, at the same address. */
  async restart(options: TestServerOptions = {}): Promise<void> {
    await this.stop()
    Object.assign(this.#config, options.config)
    await this.startAgain()
  }

  async stop(): Promise<void> {
    await this.#running?.stop()
    this.#running = undefined
  }

  /** Kills a spawned server with SIGKILL. */
  async kill(): Promise<void> {
    if (this.#running?.kill === undefined) throw new Error('Only a spawned server can be killed')
    await this.#running.kill()
    this.#running = undefined
  }

  /** Starts a stopped or killed server on the same data, at the same address. */
  async startAgain(): Promise<void> {
    const port = Number(new URL(this.transport.baseUrl).port)
    this.#running = await this.#runner({
      config: this.#config,
      directory: this.#directory,
      databaseOptions: this.databaseOptions,
      port,
      ...optionalPort(this.#federationPort),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.close()
    await this.stop()
    await dropTestDatabase(this.databaseOptions, this.databaseOptions.database)
    await rm(this.#directory, { recursive: true, force: true })
  }
}

function optionalPort(federationPort: number | undefined): { federationPort?: number } {
  return federationPort === undefined ? {} : { federationPort }
}
