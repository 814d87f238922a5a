import type { IncomingHttpHeaders } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { OutgoingAnswer, OutgoingRequest } from '../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { Clock } from '../../util/clock.ts'

const ENTRIES_MAX = 10_000
const TIMEOUT_MS = 10_000
const BYTES_MAX = 50 * 1024
const REDIRECTS_MAX = 5
const HOUR_MS = 3600_000
const FOUND_DEFAULT_MS = 24 * HOUR_MS
const FOUND_MS_MAX = 48 * HOUR_MS
/** Also where the server forbids to keep it: it would be asked before every request otherwise. */
const FOUND_MS_MIN = 300_000
/** The first failure is kept this long, each further one twice as long, up to an hour. */
const FAILED_FIRST_MS = 120_000
const FAILED_MS_MAX = HOUR_MS
const FAILURES_COUNTED_MAX = 10

/** Sends a plain request; OutgoingClient does. */
export interface PlainRequests {
  request(options: OutgoingRequest): Promise<OutgoingAnswer>
}

interface Entry {
  readonly delegated: ServerName | undefined
  readonly untilMs: number
  /** How often it failed in a row. */
  readonly failureCount: number
  /** Until when `delegated` holds although the file cannot be read any more. */
  readonly keptUntilMs: number
}

/** Reads which server a host name delegates to, and keeps it for as long as that says. Spec: server-server-api § Resolving server names, 3. */
export class WellKnownLookup {
  readonly #requests: PlainRequests
  readonly #clock: Clock
  readonly #isCertificateIgnored: (hostname: string) => boolean
  readonly #entries = new LRUCache<string, Promise<Entry>>({ max: ENTRIES_MAX })

  constructor(deps: { requests: PlainRequests; clock: Clock; isCertificateIgnored: (hostname: string) => boolean }) {
    this.#requests = deps.requests
    this.#clock = deps.clock
    this.#isCertificateIgnored = deps.isCertificateIgnored
  }

  /** Returns the `m.server` of the host's file; undefined where there is none, or none that makes sense. */
  async lookup(hostname: string): Promise<ServerName | undefined> {
    return (await this.#get(hostname.toLowerCase())).delegated
  }

  async #get(hostname: string): Promise<Entry> {
    const known = this.#entries.get(hostname)
    const old = known && (await known)
    if (old && old.untilMs > this.#clock.nowMs()) return old
    // Another caller may have begun anew while we waited.
    const current = this.#entries.get(hostname)
    if (current && current !== known) return current
    const loading = this.#load(hostname, old)
    this.#entries.set(hostname, loading)
    return loading
  }

  async #load(hostname: string, old: Entry | undefined): Promise<Entry> {
    const answer = await this.#fetch(hostname)
    const nowMs = this.#clock.nowMs()
    const delegated = answer?.status === 200 ? parseDelegation(answer.bytes) : undefined
    if (answer && delegated !== undefined) {
      return { delegated, untilMs: nowMs + keptMs(answer.headers, nowMs), failureCount: 0, keptUntilMs: nowMs + FOUND_MS_MAX }
    }
    const failureCount = Math.min((old?.failureCount ?? 0) + 1, FAILURES_COUNTED_MAX)
    const untilMs = nowMs + Math.min(FAILED_MS_MAX, FAILED_FIRST_MS * 2 ** (failureCount - 1))
    // A server that is down for the moment has not moved: what it said last holds. What it says itself ("there is none") counts.
    const isDown = answer === undefined || answer.status >= 500
    if (isDown && old && old.keptUntilMs > nowMs) {
      return { delegated: old.delegated, untilMs, failureCount, keptUntilMs: old.keptUntilMs }
    }
    return { delegated: undefined, untilMs, failureCount, keptUntilMs: 0 }
  }

  async #fetch(hostname: string): Promise<OutgoingAnswer | undefined> {
    try {
      return await this.#requests.request({
        url: `https://${hostname}/.well-known/matrix/server`,
        timeoutMs: TIMEOUT_MS,
        bytesMax: BYTES_MAX,
        redirectsMax: REDIRECTS_MAX,
        isCertificateIgnored: this.#isCertificateIgnored(hostname),
      })
    } catch (error) {
      if (error instanceof OutgoingRequestError) return undefined
      throw error
    }
  }
}

function parseDelegation(bytes: Buffer): ServerName | undefined {
  try {
    const json = parseStrictJson(bytes)
    const server = isJsonObject(json) ? json['m.server'] : undefined
    return typeof server === 'string' ? parseServerName(server) : undefined
  } catch (error) {
    if (error instanceof MatrixError) return undefined
    throw error
  }
}

/** How long the answer's own headers let it be kept, within our limits. Source: RFC 9111 § 5.2.2, § 5.3. */
function keptMs(headers: IncomingHttpHeaders, nowMs: number): number {
  return Math.min(FOUND_MS_MAX, Math.max(FOUND_MS_MIN, declaredMs(headers, nowMs) ?? FOUND_DEFAULT_MS))
}

function declaredMs(headers: IncomingHttpHeaders, nowMs: number): number | undefined {
  const directives = (headers['cache-control'] ?? '').toLowerCase().split(',')
  const names = directives.map((directive) => directive.trim())
  if (names.includes('no-store') || names.includes('no-cache')) return 0
  for (const name of names) {
    const seconds = /^max-age="?([0-9]{1,12})"?$/.exec(name)
    if (seconds) return Number(seconds[1]) * 1000
  }
  if (headers.expires === undefined) return undefined
  // What is no date has expired.
  const expiresTsMs = Date.parse(headers.expires)
  return Number.isNaN(expiresTsMs) ? 0 : expiresTsMs - nowMs
}
