import type { RateLimit } from '../http/rate-limiter.ts'
import type { WorkersConfig } from '../config/workers.ts'
import { makeRedisCommands } from './redis-link.ts'
import type { RedisCommands } from './redis-link.ts'
import { redisSettingsOf } from './redis-settings.ts'
import type { RedisSettings } from './redis-settings.ts'

/** A value that comes later than that is no help any more. */
const READ_MS_MAX = 25
/** A count must be right, and is waited for longer. */
const COUNT_MS_MAX = 250
/** After a failure nobody asks for that long: a request that waits in vain costs more than one without the cache. */
const PAUSE_MS = 1000
const VALUE_CHARS_MAX = 256 * 1024

/**
 * A bucket as one number: when it will be empty, in milliseconds of Redis' clock. Returns how long to wait until one more has
 * room; 0, and counts it, where there is room. ARGV: milliseconds for one token, size of the bucket, whether to take one.
 */
const TAKE_TOKEN = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local perToken = tonumber(ARGV[1])
local emptyAt = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
local wait = emptyAt + perToken - perToken * tonumber(ARGV[2]) - now
if wait > 0.001 then return math.ceil(wait) end
if ARGV[3] == '1' then
  redis.call('SET', KEYS[1], string.format('%.3f', emptyAt + perToken), 'PX', math.ceil(emptyAt + perToken - now))
end
return 0`

/**
 * What all processes of a server remember together, and can do without: every call fails open, soon, and nothing is stored here
 * alone.
 */
export interface SharedCache {
  /** The value of a key; undefined where there is none, or nobody knows in time. */
  get(key: string): Promise<string | undefined>
  /** Remembers a value for others. Nobody waits for it. */
  set(key: string, value: string, lifetimeMs: number): void
  /** Takes a token of a bucket that all processes share, or only looks. Returns milliseconds to wait, 0 for none; undefined: unknown. */
  takeToken(key: string, limit: RateLimit, isTaken: boolean): Promise<number | undefined>
  close(): Promise<void>
}

/** The cache of a process that is alone, or has no Redis: it knows nothing. */
export const NO_SHARED_CACHE: SharedCache = {
  get: () => Promise.resolve(undefined),
  set: () => {},
  takeToken: () => Promise.resolve(undefined),
  close: () => Promise.resolve(),
}

/** Makes the shared cache that the options ask for: in Redis, where that is used. Keys begin with `<server name>:c1:`. */
export function makeSharedCache(
  config: Pick<WorkersConfig, 'cluster' | 'redis'>,
  deps: { readonly serverName: string; onError(error: unknown): void },
): SharedCache {
  if (!config.redis.enabled || config.cluster.transport === 'postgres') return NO_SHARED_CACHE
  return new RedisSharedCache({ ...deps, settings: redisSettingsOf(config.redis) })
}

/** Keeps values in Redis, for a time. */
export class RedisSharedCache implements SharedCache {
  readonly #redis: RedisCommands
  readonly #prefix: string
  readonly #onError: (error: unknown) => void
  #pausedUntilMs = 0

  constructor(deps: { readonly settings: RedisSettings; readonly serverName: string; onError(error: unknown): void }) {
    this.#prefix = `${deps.serverName}:c1:`
    this.#onError = deps.onError
    // The link of the streams speaks of a Redis that cannot be reached.
    this.#redis = makeRedisCommands(deps.settings, () => {})
  }

  async get(key: string): Promise<string | undefined> {
    const value = await this.#ask(READ_MS_MAX, () => this.#redis.get(this.#prefix + key))
    return typeof value === 'string' ? value : undefined
  }

  set(key: string, value: string, lifetimeMs: number): void {
    if (value.length > VALUE_CHARS_MAX || lifetimeMs < 1) return
    void this.#ask(COUNT_MS_MAX, () => this.#redis.set(this.#prefix + key, value, 'PX', Math.ceil(lifetimeMs)))
  }

  async takeToken(key: string, limit: RateLimit, isTaken: boolean): Promise<number | undefined> {
    if (limit.perSecond <= 0) return undefined
    const values = [1000 / limit.perSecond, limit.burstCount, isTaken ? 1 : 0]
    const waitMs = await this.#ask(COUNT_MS_MAX, () => this.#redis.eval(TAKE_TOKEN, 1, `${this.#prefix}rc:${key}`, ...values))
    return typeof waitMs === 'number' ? waitMs : undefined
  }

  /** Asks, and gives up soon. */
  async #ask(msMax: number, command: () => Promise<unknown>): Promise<unknown> {
    if (performance.now() < this.#pausedUntilMs || this.#redis.status !== 'ready') return undefined
    let timer: NodeJS.Timeout | undefined
    // After a moment without CPU the answer may be here already, unread.
    const late = new Promise<typeof LATE>((resolve) => (timer = setTimeout(() => setImmediate(() => resolve(LATE)), msMax)))
    try {
      const answer = await Promise.race([command(), late])
      if (answer !== LATE) return answer
    } catch (error) {
      this.#onError(error)
    } finally {
      clearTimeout(timer)
    }
    this.#pausedUntilMs = performance.now() + PAUSE_MS
    return undefined
  }

  close(): Promise<void> {
    this.#redis.disconnect()
    return Promise.resolve()
  }
}

const LATE = Symbol('late')
