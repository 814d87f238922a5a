import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../util/clock.ts'
import { waitUntilHealthy } from './health-probe.ts'
import type { ReadyMessage } from './service-manager.ts'

/** A process to keep running. */
export interface ProcessSpec {
  /** `main`, or the worker's name. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
}

/** `waiting`: it crashed, and is started again soon. `failed`: its configuration is wrong, so that starting it again would not help. */
export type ProcessState = 'starting' | 'running' | 'waiting' | 'stopping' | 'stopped' | 'failed'

/** How a process is, for people and scripts. */
export interface ProcessStatus {
  readonly instance: string
  readonly pid: number | null
  readonly state: ProcessState
  /** How often it was started again after a crash. */
  readonly restarts: number
  readonly uptime_seconds: number
  /** Where it listens. */
  readonly addresses: readonly string[]
  readonly ports: readonly number[]
}

/** What supervising needs. */
export interface SupervisionDeps {
  readonly clock: Clock
  readonly env: NodeJS.ProcessEnv
  /** Takes a line of the log; `name` is the process that wrote it. */
  readonly write: (name: string, line: string) => void
  readonly timing?: Partial<SupervisionTiming>
}

/** How patient the supervisor is. */
export interface SupervisionTiming {
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** After so long without a crash, earlier ones do not count. */
  readonly stableMs: number
  /** A process that does not end by itself is killed. */
  readonly stopTimeoutMs: number
  readonly healthTimeoutMs: number
  /** Between the restarts of two processes. */
  readonly settleMs: number
}

const TIMING: Omit<SupervisionTiming, 'settleMs'> = {
  backoffMinMs: 500,
  backoffMaxMs: 30_000,
  stableMs: 60_000,
  stopTimeoutMs: 9_300,
  healthTimeoutMs: 30_000,
}
const STATUS_CONFIG = 78
const LAST_WORDS_MS = 500

/** Keeps one process running: starts it again when it ends by itself, later each time, and gives up when its configuration is wrong. */
export class SupervisedProcess {
  readonly name: string
  readonly #spec: ProcessSpec
  readonly #deps: SupervisionDeps
  readonly #timing: Omit<SupervisionTiming, 'settleMs'>
  #child: ChildProcess | undefined
  #state: ProcessState = 'stopped'
  #addresses: readonly string[] = []
  #restarts = 0
  #startedAtMs = 0
  #isWanted = false
  #wakeUp = new AbortController()
  #loop: Promise<void> | undefined
  #settled = Promise.withResolvers<void>()

  constructor(spec: ProcessSpec, deps: SupervisionDeps) {
    this.name = spec.name
    this.#spec = spec
    this.#deps = deps
    this.#timing = { ...TIMING, ...deps.timing }
  }

  get status(): ProcessStatus {
    const isAlive = this.#child !== undefined
    return {
      instance: this.name,
      pid: this.#child?.pid ?? null,
      state: this.#state,
      restarts: this.#restarts,
      uptime_seconds: isAlive ? Math.floor((this.#deps.clock.monotonicMs() - this.#startedAtMs) / 1000) : 0,
      addresses: this.#addresses,
      ports: [...new Set(this.#addresses.flatMap(portOf))],
    }
  }

  /** Starts it. Settles when it is ready, or has given up. */
  async start(): Promise<void> {
    if (!this.#isWanted) {
      this.#isWanted = true
      this.#wakeUp = new AbortController()
      this.#settled = Promise.withResolvers()
      this.#loop = this.#run()
    }
    await this.#settled.promise
  }

  /** Lets it finish what it does (SIGTERM), and ends it by force when it takes too long. */
  async stop(): Promise<void> {
    this.#isWanted = false
    this.#wakeUp.abort()
    await this.#end()
    await this.#loop
    if (this.#state !== 'failed') this.#state = 'stopped'
    this.#settled.resolve()
  }

  /** Stops and starts it. Settles when the new one answers `/health`; returns whether it does. */
  async restart(): Promise<boolean> {
    await this.stop()
    const started = this.start()
    // One that crashes over and over would never be ready.
    await Promise.race([
      started,
      sleep(this.#timing.healthTimeoutMs, undefined, { signal: this.#wakeUp.signal }).catch(() => undefined),
    ])
    if (this.#state !== 'running') return false
    const [address] = this.#addresses
    // A process without listeners has said that it is ready, and nobody can ask it.
    if (address === undefined) return true
    return waitUntilHealthy(address, { timeoutMs: this.#timing.healthTimeoutMs, signal: this.#wakeUp.signal })
  }

  /** Passes a signal on, such as SIGHUP for new log files. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  async #run(): Promise<void> {
    let delayMs = this.#timing.backoffMinMs
    while (this.#isWanted) {
      const reason = await this.#runOnce()
      if (!this.#isWanted) return
      if (reason === `status ${STATUS_CONFIG}`) {
        this.#state = 'failed'
        this.#deps.write(this.name, 'the configuration is wrong: this process is not started again until it is mended')
        this.#isWanted = false
        this.#settled.resolve()
        return
      }
      if (this.#deps.clock.monotonicMs() - this.#startedAtMs > this.#timing.stableMs) delayMs = this.#timing.backoffMinMs
      this.#state = 'waiting'
      this.#restarts += 1
      this.#deps.write(this.name, `ended unexpectedly (${reason}); it is started again in ${delayMs / 1000} s`)
      await sleep(delayMs, undefined, { signal: this.#wakeUp.signal }).catch(() => undefined)
      delayMs = Math.min(delayMs * 2, this.#timing.backoffMaxMs)
    }
  }

  /** Runs it until it ends; returns why. */
  async #runOnce(): Promise<string> {
    const { command, args } = this.#spec
    this.#state = 'starting'
    this.#startedAtMs = this.#deps.clock.monotonicMs()
    // In a group of its own: Ctrl-C in a terminal is for the supervisor. The channel tells the process when the supervisor was killed.
    const child = spawn(command, args, { env: this.#deps.env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      if (stream) createInterface(stream).on('line', (line) => this.#deps.write(this.name, line))
    }
    child.on('message', (message) => this.#onMessage(message))
    const reason = await new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (status, signal) => {
        const how = signal ?? `status ${String(status)}`
        // Its last words come first; but a process that it left behind may hold the pipe for ever.
        child.once('close', () => resolve(how))
        setTimeout(() => resolve(how), LAST_WORDS_MS).unref()
      })
    })
    this.#child = undefined
    this.#addresses = []
    return reason
  }

  #onMessage(message: unknown): void {
    if (!isReadyMessage(message) || !this.#isWanted) return
    this.#addresses = message.addresses
    this.#state = 'running'
    this.#settled.resolve()
  }

  async #end(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    this.#state = 'stopping'
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.#deps.write(this.name, 'did not end in time, and is killed')
      child.kill('SIGKILL')
    }, this.#timing.stopTimeoutMs)
    await exited
    clearTimeout(timer)
  }
}

function isReadyMessage(message: unknown): message is ReadyMessage {
  return typeof message === 'object' && message !== null && 'kind' in message && message.kind === 'ready'
}

function portOf(address: string): number[] {
  if (address.startsWith('unix:')) return []
  const { port } = new URL(address)
  return port === '' ? [] : [Number(port)]
}
