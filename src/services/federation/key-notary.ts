import type { ServerName } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { signJson } from '../../protocol/signatures.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { Database } from '../../storage/database.ts'
import { getServerKeyResponses, upsertServerKeys } from '../../storage/tables/server-keys.ts'
import type { Clock } from '../../util/clock.ts'
import { TimeoutError, within } from '../../util/within.ts'
import type { KeyFetcher } from './key-fetcher.ts'
import type { OwnKeys } from './own-keys.ts'

/** Servers that one question may be about; the rest is left out of the answer. */
const SERVERS_MAX = 200
/** What was not fetched by then is left out, or answered from what is stored. */
const FETCH_TIMEOUT_MS = 12_000

/** What is asked about one server. */
export interface NotaryQuestion {
  readonly serverName: ServerName
  /** By key id; `undefined` stands for any time. No entry at all: all keys are asked for. */
  readonly minValidUntilTsMs: ReadonlyMap<string, number | undefined>
  /** For all keys together, when single ones are not named. */
  readonly minValidUntilTsMsOfAll?: number
}

interface StoredResponse {
  readonly keyId: string
  readonly validUntilTsMs: number
  readonly isOld: boolean
  readonly response: string
}

/**
 * Tells what other servers' keys are, signed by us: stored answers where they are valid for long enough, else fetched from the
 * servers themselves, else the last ones stored. Spec: server-server-api § Querying Keys Through Another Server.
 */
export class KeyNotary {
  readonly #database: Database
  readonly #fetcher: KeyFetcher
  readonly #ownKeys: OwnKeys
  readonly #serverName: ServerName
  readonly #signingKeys: readonly SigningKey[]
  readonly #clock: Clock

  constructor(deps: {
    database: Database
    fetcher: KeyFetcher
    ownKeys: OwnKeys
    serverName: ServerName
    /** All sign: ours, and those of `key_server_signing_keys_path`. */
    signingKeys: readonly SigningKey[]
    clock: Clock
  }) {
    this.#database = deps.database
    this.#fetcher = deps.fetcher
    this.#ownKeys = deps.ownKeys
    this.#serverName = deps.serverName
    this.#signingKeys = deps.signingKeys
    this.#clock = deps.clock
  }

  /** Returns the signed answers; servers of which nothing is known are left out. */
  async query(questions: readonly NotaryQuestion[]): Promise<readonly JsonObject[]> {
    const asked = questions.slice(0, SERVERS_MAX)
    const others = asked.filter(({ serverName }) => serverName !== this.#serverName)
    const own = asked.length > others.length ? [this.#sign(this.#ownKeys.json())] : []
    let stored = await this.#read(others)
    const stale = others.filter((question) => !this.#suffices(question, stored.get(question.serverName) ?? []))
    if (stale.length > 0) {
      await this.#refresh(stale.map(({ serverName }) => serverName))
      stored = await this.#read(others)
    }
    const texts = new Set(others.flatMap((question) => responsesFor(question, stored.get(question.serverName) ?? [])))
    return [...own, ...[...texts].map((text) => this.#sign(parseStrictJson(text) as JsonObject))]
  }

  async #read(questions: readonly NotaryQuestion[]): Promise<ReadonlyMap<ServerName, readonly StoredResponse[]>> {
    const stored = new Map<ServerName, StoredResponse[]>()
    if (questions.length === 0) return stored
    const rows = await getServerKeyResponses(
      this.#database,
      questions.map(({ serverName }) => serverName),
    )
    for (const row of rows) stored.set(row.serverName, [...(stored.get(row.serverName) ?? []), row])
    return stored
  }

  #suffices(question: NotaryQuestion, stored: readonly StoredResponse[]): boolean {
    const nowMs = this.#clock.nowMs()
    const isGood = (minTsMs: number | undefined, row: StoredResponse | undefined): boolean =>
      row !== undefined && (row.isOld || row.validUntilTsMs >= (minTsMs ?? nowMs))
    if (question.minValidUntilTsMs.size === 0) {
      return stored.some((row) => !row.isOld && isGood(question.minValidUntilTsMsOfAll, row))
    }
    return [...question.minValidUntilTsMs].every(([keyId, minTsMs]) =>
      isGood(
        minTsMs,
        stored.find((row) => row.keyId === keyId),
      ),
    )
  }

  async #refresh(serverNames: readonly ServerName[]): Promise<void> {
    const fetching = serverNames.map(async (serverName) => {
      const rows = await this.#fetcher.fetchDirectly([serverName], { isLive: false })
      if (rows.length > 0) await upsertServerKeys(this.#database, rows)
    })
    try {
      await within(Promise.all(fetching), FETCH_TIMEOUT_MS, 'Fetching keys for others')
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error
    }
  }

  #sign(json: JsonObject): JsonObject {
    return this.#signingKeys.reduce((signed, key) => signJson(signed, this.#serverName, key), json)
  }
}

/** The answers that tell of the keys asked for; each but once. */
function responsesFor(question: NotaryQuestion, stored: readonly StoredResponse[]): readonly string[] {
  const { minValidUntilTsMs } = question
  const rows = minValidUntilTsMs.size === 0 ? stored : stored.filter(({ keyId }) => minValidUntilTsMs.has(keyId))
  return rows.map(({ response }) => response)
}
