import { Agent, request } from 'undici'
import type { SeededRandom } from '../fuzz/seeded-random.ts'
import type { Result } from './history.ts'

const TIMEOUT_MS = 10_000

/** An answer, or none. `status` 0: no answer came. */
export interface ChaosAnswer {
  readonly status: number
  readonly result: Result
  readonly body: Record<string, unknown>
}

/** A place that requests can be sent to: nginx, or a process. */
export interface Target {
  readonly name: string
  readonly origin: string
  readonly agent: Agent
}

/** Sends requests that may get no answer. Nothing here throws. */
export class ChaosClient {
  readonly targets: readonly Target[]
  /** Answers with status 500: bugs, whatever the fault. */
  readonly internalErrors: string[] = []
  /** The newest answer that was no good, for messages. */
  lastTrouble = ''
  /** Told of every answer that was no good. */
  onTrouble: ((trouble: { readonly at: string; readonly status: number; readonly text: string }) => void) | undefined
  readonly #random: SeededRandom

  /** `sockets` are the processes that can be asked directly, by name. */
  constructor(baseUrl: string, sockets: ReadonlyMap<string, string>, random: SeededRandom) {
    this.#random = random
    const options = { connections: 256, pipelining: 1, keepAliveTimeout: 5000, connect: { timeout: 3000 } }
    this.targets = [
      { name: 'proxy', origin: baseUrl, agent: new Agent(options) },
      ...[...sockets].map(([name, socketPath]) => ({
        name,
        origin: `http://${name}.localhost`,
        agent: new Agent({ ...options, connect: { timeout: 3000, socketPath } }),
      })),
    ]
  }

  get proxy(): Target {
    return this.target('proxy')
  }

  target(name: string): Target {
    const found = this.targets.find((target) => target.name === name)
    if (!found) throw new Error(`There is no target ${name}`)
    return found
  }

  /** The processes that can be asked directly. */
  get direct(): readonly Target[] {
    return this.targets.filter(({ name }) => name !== 'proxy')
  }

  /** Any target; nginx every second time. */
  pick(): Target {
    return this.#random.chance(0.5) ? this.proxy : this.#random.pick(this.direct)
  }

  async send(
    target: Target,
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    options: { token?: string; body?: unknown; timeoutMs?: number } = {},
  ): Promise<ChaosAnswer> {
    const { token, body, timeoutMs = TIMEOUT_MS } = options
    try {
      const response = await request(target.origin + path, {
        method,
        dispatcher: target.agent,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      })
      const text = await response.body.text()
      if (response.statusCode === 500) this.internalErrors.push(`${target.name} ${method} ${path.split('?')[0]}: ${text}`)
      if (response.statusCode >= 300) this.#note(`${target.name} ${method} ${path}`, response.statusCode, text)
      return { status: response.statusCode, result: resultOf(response.statusCode), body: parseObject(text) }
    } catch (error) {
      // Refused, reset, cut off, too slow: all of them mean that nobody knows.
      this.#note(`${target.name} ${method} ${path}`, 0, String(error))
      return { status: 0, result: 'unknown', body: {} }
    }
  }

  #note(at: string, status: number, text: string): void {
    this.lastTrouble = `${status} ${text}`
    this.onTrouble?.({ at: at.split('?')[0] ?? '', status, text })
  }

  async close(): Promise<void> {
    await Promise.all(this.targets.map(({ agent }) => agent.destroy()))
  }
}

function resultOf(status: number): Result {
  if (status >= 200 && status < 300) return 'ok'
  return status >= 500 ? 'unknown' : 'fail'
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** Makes a path of parts. */
export function pathOf(...parts: readonly string[]): string {
  return `/_matrix/client/v3/${parts.map(encodeURIComponent).join('/')}`
}
