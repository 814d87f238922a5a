import { createHash } from 'node:crypto'
import { MatrixError } from '../../protocol/errors.ts'
import { compileFilter } from '../../protocol/filters/filter.ts'
import type { Filter } from '../../protocol/filters/filter.ts'
import { parseFilter } from '../../protocol/filters/parse-filter.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { Database } from '../../storage/database.ts'
import { findFilter, getFilterJson, upsertFilter } from '../../storage/tables/filters.ts'
import { cacheOfBytes, cacheOfEntries } from '../../util/lru-cache.ts'

const CACHED_FILTERS_MAX = 10_000
const FILTER_TEXTS_BYTES_MAX = 8 * 1024 * 1024
const FILTERS_PER_USER_MAX = 10_000
const FILTER_ID = /^[0-9]{1,15}$/

/** Keeps clients' filters and hands them out ready for use. Spec: filter.yaml. */
export class FilterStore {
  readonly #database: Database
  readonly #limitMax: number
  readonly #byId = cacheOfEntries<string, Promise<Filter | undefined>>(CACHED_FILTERS_MAX)
  readonly #byText = cacheOfBytes<string, Filter>(FILTER_TEXTS_BYTES_MAX, (_filter, text) => 4 * text.length)

  /** `limitMax` is the option `filter_timeline_limit`; -1 for none. */
  constructor(deps: { database: Database; limitMax: number }) {
    this.#database = deps.database
    this.#limitMax = deps.limitMax < 0 ? Number.MAX_SAFE_INTEGER : deps.limitMax
  }

  /** Stores a filter and returns its id; the same filter has the same id. Throws M_BAD_JSON. */
  async define(userId: UserId, value: unknown): Promise<string> {
    const json = JSON.stringify(parseFilter(value))
    const digest = createHash('sha256').update(json).digest()
    // Clients post the same filter at each start, so mostly there is nothing to write.
    const filterId =
      (await findFilter(this.#database, { userId, digest })) ??
      (await upsertFilter(this.#database, { userId, digest, json, countMax: FILTERS_PER_USER_MAX }))
    if (filterId === undefined) throw new MatrixError('M_FORBIDDEN', `A user may have at most ${FILTERS_PER_USER_MAX} filters`)
    return String(filterId)
  }

  /** The filter as the client posted it, as JSON text; undefined for an unknown id. */
  async getJson(userId: UserId, filterId: string): Promise<string | undefined> {
    return FILTER_ID.test(filterId) ? getFilterJson(this.#database, { userId, filterId: Number(filterId) }) : undefined
  }

  /** The filter ready for use; undefined for an unknown id. Filters never change, so they stay in memory. */
  get(userId: UserId, filterId: string): Promise<Filter | undefined> {
    if (!FILTER_ID.test(filterId)) return Promise.resolve(undefined)
    const key = `${userId} ${filterId}`
    const known = this.#byId.get(key)
    if (known) return known
    const loading = getFilterJson(this.#database, { userId, filterId: Number(filterId) }).then((json) =>
      json === undefined ? undefined : compileFilter(JSON.parse(json) as JsonObject, { limitMax: this.#limitMax }),
    )
    this.#byId.set(key, loading)
    loading.then(
      // An id that is not there yet may come to be.
      (filter) => filter ?? this.#byId.delete(key),
      () => this.#byId.delete(key),
    )
    return loading
  }

  /** A filter that stands in the request itself, ready for use. Throws M_NOT_JSON, M_BAD_JSON. */
  getInline(text: string): Filter {
    const known = this.#byText.get(text)
    if (known) return known
    const filter = compileFilter(parseFilter(parseStrictJson(text)), { limitMax: this.#limitMax })
    this.#byText.set(text, filter)
    return filter
  }
}
