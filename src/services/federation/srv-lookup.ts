import { Resolver } from 'node:dns/promises'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import { isSystemError } from '../../util/system-error.ts'

const ENTRIES_MAX = 5000
/** Node does not tell the records' own time to live. */
const FOUND_MS = 300_000
const NOT_FOUND_MS = 300_000
const FAILED_MS = 60_000
/** Of more records the rest is ignored. */
const RECORDS_MAX = 10
const QUERY_TIMEOUT_MS = 4000
const QUERY_TRIES = 2
const NO_RECORD = new Set(['ENOTFOUND', 'ENODATA'])

/** A record as DNS gives it. */
export interface SrvRecord {
  readonly name: string
  readonly port: number
  readonly priority: number
  readonly weight: number
}

/** Asks DNS for SRV records. Rejects with `code` ENOTFOUND or ENODATA where there are none. */
export type ResolveSrv = (name: string) => Promise<readonly SrvRecord[]>

/** Where a service is. */
export interface SrvTarget {
  readonly host: string
  readonly port: number
}

interface Entry {
  readonly records: readonly SrvRecord[]
  readonly untilMs: number
}

/** Asks the system's DNS servers, with a deadline. */
export function makeSrvResolver(): ResolveSrv {
  const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES })
  return (name) => resolver.resolveSrv(name)
}

/** Looks up SRV records, and keeps them for a while. Spec: server-server-api § Resolving server names; RFC 2782. */
export class SrvLookup {
  readonly #resolve: ResolveSrv
  readonly #clock: Clock
  readonly #random: Random
  readonly #entries = new LRUCache<string, Promise<Entry>>({ max: ENTRIES_MAX })

  constructor(deps: { resolve: ResolveSrv; clock: Clock; random: Random }) {
    this.#resolve = deps.resolve
    this.#clock = deps.clock
    this.#random = deps.random
  }

  /** Returns the targets in the order to try them; none where there is no record, or DNS does not answer. */
  async lookup(name: string): Promise<readonly SrvTarget[]> {
    const { records } = await this.#get(name.toLowerCase())
    return this.#inOrder(records).map(({ name: host, port }) => ({ host, port }))
  }

  async #get(name: string): Promise<Entry> {
    const known = this.#entries.get(name)
    const old = known && (await known)
    if (known && old && old.untilMs > this.#clock.nowMs()) return old
    // Another caller may have begun anew while we waited.
    const current = this.#entries.get(name)
    if (current && current !== known) return current
    const loading = this.#query(name, old)
    this.#entries.set(name, loading)
    return loading
  }

  async #query(name: string, old: Entry | undefined): Promise<Entry> {
    try {
      const records = (await this.#resolve(name)).filter((record) => record.name !== '' && record.name !== '.')
      return { records: records.slice(0, RECORDS_MAX), untilMs: this.#clock.nowMs() + FOUND_MS }
    } catch (error) {
      if (isSystemError(error) && NO_RECORD.has(error.code)) return { records: [], untilMs: this.#clock.nowMs() + NOT_FOUND_MS }
      // What was true is likelier than nothing. The TLS certificate decides in the end.
      return { records: old?.records ?? [], untilMs: this.#clock.nowMs() + FAILED_MS }
    }
  }

  /** By priority, and by chance according to weight among equals (RFC 2782). */
  #inOrder(records: readonly SrvRecord[]): readonly SrvRecord[] {
    const ordered: SrvRecord[] = []
    for (const priority of [...new Set(records.map((record) => record.priority))].toSorted((a, b) => a - b)) {
      const left = records.filter((record) => record.priority === priority).toSorted((a, b) => a.weight - b.weight)
      while (left.length > 0) ordered.push(...left.splice(this.#pick(left), 1))
    }
    return ordered
  }

  #pick(records: readonly SrvRecord[]): number {
    const total = records.reduce((sum, { weight }) => sum + weight, 0)
    let point = (this.#random.bytes(4).readUInt32BE() / 2 ** 32) * (total + 1)
    const index = records.findIndex(({ weight }) => (point -= weight) < 1)
    return index === -1 ? records.length - 1 : index
  }
}
