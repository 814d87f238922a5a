import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'
import { ClientTransport, TestClient } from '../client.ts'
import type { RegisterOptions } from '../client.ts'
import { environmentVariable } from '../environment.ts'
import { findFreePort } from '../federation-config.ts'
import { synapseConfig } from './synapse-config.ts'

const START_TIMEOUT_MS = 90_000
const STOP_TIMEOUT_MS = 10_000
const OUTPUT_CHARS_MAX = 2_000_000

export interface TestSynapseOptions {
  /** What others know it by, where that is not its own TLS port: `localhost:<port>`. */
  readonly serverName?: string
  readonly config?: Readonly<Record<string, unknown>>
}

/**
 * A Synapse for one test file, in a process of its own, on SQLite. It speaks TLS with other servers at `federationPort`, and plain
 * HTTP with clients at `baseUrl`. What it answers clients is not checked against the specification: it is not what is tested.
 */
export class TestSynapse implements AsyncDisposable {
  readonly serverName: string
  readonly federationPort: number
  readonly transport: ClientTransport
  readonly #directory: string
  readonly #python: string
  #child: ChildProcess | undefined
  #output = ''

  private constructor(parts: { serverName: string; ports: readonly [number, number]; directory: string; python: string }) {
    const [clientPort, federationPort] = parts.ports
    this.serverName = parts.serverName
    this.federationPort = federationPort
    this.transport = new ClientTransport(`http://127.0.0.1:${clientPort}`, { check: () => undefined })
    this.#directory = parts.directory
    this.#python = parts.python
  }

  static async start(options: TestSynapseOptions = {}): Promise<TestSynapse> {
    const directory = await mkdtemp(join(tmpdir(), 'ganglion-synapse-'))
    const ports = [await findFreePort(), await findFreePort()] as const
    const [clientPort, federationPort] = ports
    const serverName = options.serverName ?? `localhost:${federationPort}`
    const config = { ...(await synapseConfig({ serverName, directory, clientPort, federationPort })), ...options.config }
    // YAML reads JSON as it is.
    await writeFile(join(directory, 'homeserver.yaml'), JSON.stringify(config, undefined, 2))
    await writeFile(join(directory, 'signing.key'), `ed25519 a_test ${randomBytes(32).toString('base64').replace(/=+$/, '')}\n`)
    const synapse = new TestSynapse({ serverName, ports, directory, python: inject('synapsePython') })
    await synapse.startAgain()
    return synapse
  }

  get baseUrl(): string {
    return this.transport.baseUrl
  }

  /** What it logged lately. */
  get output(): string {
    return this.#output
  }

  /** A client without a session. */
  anonymous(): TestClient {
    return new TestClient(this.transport)
  }

  register(localpart: string, options?: RegisterOptions): Promise<TestClient> {
    return this.anonymous().register(localpart, options)
  }

  /** Starts it on what it had, at the same ports. */
  async startAgain(): Promise<void> {
    const child = this.#spawn()
    this.#child = child
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!(await this.#isHealthy())) {
      if (child.exitCode !== null || performance.now() > deadline) {
        child.kill('SIGKILL')
        throw new Error(`Synapse did not start:\n${this.#output.slice(-5000)}`)
      }
      await sleep(50)
    }
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM')
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.close()
    await this.kill()
    await rm(this.#directory, { recursive: true, force: true })
  }

  #spawn(): ChildProcess {
    const file = join(this.#directory, 'homeserver.yaml')
    const child = spawn(this.#python, ['-m', 'synapse.app.homeserver', '-c', file], {
      cwd: this.#directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const isLoud = environmentVariable('SYNAPSE_TEST_LOG') !== undefined
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-OUTPUT_CHARS_MAX)
        if (isLoud) process.stderr.write(chunk)
      })
    }
    return child
  }

  async #isHealthy(): Promise<boolean> {
    try {
      return (await fetch(`${this.baseUrl}/health`)).status === 200
    } catch (error) {
      // Nobody listens yet.
      if (error instanceof TypeError) return false
      throw error
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await exited
    clearTimeout(timer)
  }
}
