import { verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { MatrixError } from '../../protocol/errors.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import { signedEventText } from '../../protocol/hashes.ts'
import type { EventId, ServerName } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import { importVerifyKey, requiredSigners, signatureOf, signedJsonText, signingKeyIdsOf } from '../../protocol/signatures.ts'
import type { Database } from '../../storage/database.ts'
import { getServerKeys, upsertServerKeys } from '../../storage/tables/server-keys.ts'
import type { ServerKeyRow, StoredServerKey } from '../../storage/tables/server-keys.ts'
import { decodeBase64 } from '../../util/base64.ts'
import type { Logger } from '../../util/logger.ts'
import { TimeoutError, within } from '../../util/within.ts'
import type { KeyFetcher } from './key-fetcher.ts'

const KEYS_MAX = 50_000
/** Of more signatures by one server the rest is not looked at. */
const SIGNATURES_PER_SERVER_MAX = 5
/** The longest that all asking for one call may take. */
const FETCH_TIMEOUT_MS = 30_000
/** Events whose signatures are checked at a time: between two such groups other work gets its turn. */
const EVENTS_AT_A_TIME = 16

/** Keys that are needed of one server. */
export interface KeyRequest {
  readonly serverName: ServerName
  readonly keyIds: readonly string[]
  /** The keys must be valid until then at least; 0 where room versions do not ask. */
  readonly minValidUntilTsMs: number
}

/** A key of another server. */
export interface ServerKey {
  readonly id: string
  readonly keyObject: KeyObject
  readonly validUntilTsMs: number
}

/** Keys by server name, then by key id. */
export type FoundKeys = ReadonlyMap<ServerName, ReadonlyMap<string, ServerKey>>

/** `source` where it was fetched just now. */
type LearnedKey = StoredServerKey & { readonly source?: ServerName }

interface FetchOptions {
  /** The servers are talking to us just now: they are asked before the notaries. */
  readonly isLive: boolean
}

/**
 * Finds other servers' keys (in memory, in the database, at notaries, at the servers themselves) and checks their signatures.
 * Looking keys up is batched, bounded in time, and never makes more than a few requests at once; ed25519 runs on the thread pool.
 * Spec: server-server-api § Retrieving server keys, § Validating hashes and signatures on received events.
 */
export class KeyRing {
  readonly #database: Database
  readonly #fetcher: KeyFetcher
  readonly #logger: Logger
  readonly #keys = new LRUCache<string, ServerKey>({ max: KEYS_MAX })
  readonly #own: ReadonlyMap<string, ServerKey>
  readonly #serverName: ServerName

  constructor(deps: {
    database: Database
    fetcher: KeyFetcher
    logger: Logger
    serverName: ServerName
    ownKeys: readonly ServerKey[]
  }) {
    this.#database = deps.database
    this.#fetcher = deps.fetcher
    this.#logger = deps.logger
    this.#serverName = deps.serverName
    this.#own = new Map(deps.ownKeys.map((key) => [key.id, key]))
  }

  /** Checks that the server signed the object with a key that was valid then. Throws M_UNAUTHORIZED. */
  async verifyJson(
    serverName: ServerName,
    json: JsonObject,
    options: { readonly validAtTsMs: number; readonly isLive?: boolean },
  ): Promise<void> {
    const { validAtTsMs, isLive = false } = options
    const keyIds = signingKeyIdsOf(json, serverName).slice(0, SIGNATURES_PER_SERVER_MAX)
    if (keyIds.length === 0) throw new MatrixError('M_UNAUTHORIZED', `There is no signature of ${serverName}`)
    const found = await this.getKeys([{ serverName, keyIds, minValidUntilTsMs: validAtTsMs }], { isLive })
    const data = Buffer.from(signedJsonText(json))
    const problem = await this.#checkSigner({ serverName, keyIds, data, validAtTsMs, signed: json, found })
    if (problem !== undefined) throw new MatrixError('M_UNAUTHORIZED', problem)
  }

  /** Checks the signatures that each event needs; by event id, what is wrong, or undefined. */
  async verifyEventSignatures(
    events: readonly MatrixEvent[],
    roomVersion: RoomVersion,
  ): Promise<ReadonlyMap<EventId, Error | undefined>> {
    const needs = events.flatMap((event) =>
      requiredSigners(roomVersion, event).map((serverName) => ({
        serverName,
        keyIds: signingKeyIdsOf(event.pdu, serverName).slice(0, SIGNATURES_PER_SERVER_MAX),
        minValidUntilTsMs: roomVersion.enforcesSigningKeyValidity ? event.originServerTs : 0,
      })),
    )
    const found = await this.getKeys(needs)
    const results = new Map<EventId, Error | undefined>()
    for (let index = 0; index < events.length; index += EVENTS_AT_A_TIME) {
      const group = events.slice(index, index + EVENTS_AT_A_TIME)
      const problems = await Promise.all(group.map((event) => this.#checkEvent(event, roomVersion, found)))
      group.forEach((event, at) => {
        const problem = problems[at]
        results.set(event.eventId, problem === undefined ? undefined : new MatrixError('M_INVALID_SIGNATURE', problem))
      })
    }
    return results
  }

  /** Finds keys. Those that nobody knows are left out; a key may be there that was not valid for long enough: the caller looks. */
  async getKeys(requests: readonly KeyRequest[], options: FetchOptions = { isLive: false }): Promise<FoundKeys> {
    const found = new Map<ServerName, Map<string, ServerKey>>()
    let missing = this.#addFromMemory(merge(requests), found)
    if (missing.length === 0) return found
    missing = await this.#addFromDatabase(missing, found)
    if (missing.length === 0) return found
    try {
      await within(this.#fetch(missing, found, options), FETCH_TIMEOUT_MS, 'Fetching keys')
    } catch (error) {
      // What came in time is in `found`.
      if (!(error instanceof TimeoutError)) throw error
      this.#logger.warn('fetching the keys of other servers takes too long', { servers: missing.length })
    }
    return found
  }

  async #checkEvent(event: MatrixEvent, roomVersion: RoomVersion, found: FoundKeys): Promise<string | undefined> {
    const data = Buffer.from(signedEventText(roomVersion, event.pdu))
    const validAtTsMs = roomVersion.enforcesSigningKeyValidity ? event.originServerTs : 0
    const signed = event.pdu as unknown as JsonObject
    for (const serverName of requiredSigners(roomVersion, event)) {
      const keyIds = signingKeyIdsOf(event.pdu, serverName).slice(0, SIGNATURES_PER_SERVER_MAX)
      const problem = await this.#checkSigner({ serverName, keyIds, data, validAtTsMs, signed, found })
      if (problem !== undefined) return problem
    }
    return undefined
  }

  /** Returns why none of the server's signatures counts; undefined where one does. */
  async #checkSigner(input: {
    serverName: ServerName
    keyIds: readonly string[]
    data: Buffer
    validAtTsMs: number
    signed: JsonObject
    found: FoundKeys
  }): Promise<string | undefined> {
    const { serverName, keyIds, data, validAtTsMs, signed, found } = input
    if (keyIds.length === 0) return `There is no signature of ${serverName}`
    let problem = `The key of ${serverName} is not known`
    for (const keyId of keyIds) {
      const key = found.get(serverName)?.get(keyId)
      if (key === undefined) continue
      if (key.validUntilTsMs < validAtTsMs) problem = `The key of ${serverName} was not valid any more`
      else if (await verifyOnPool(data, signatureOf(signed, serverName, keyId), key.keyObject)) return undefined
      else problem = `The signature of ${serverName} is wrong`
    }
    return problem
  }

  #addFromMemory(requests: readonly KeyRequest[], found: Map<ServerName, Map<string, ServerKey>>): readonly KeyRequest[] {
    for (const { serverName, keyIds } of requests) {
      for (const keyId of keyIds) {
        const key = serverName === this.#serverName ? this.#own.get(keyId) : this.#keys.get(cacheKey(serverName, keyId))
        if (key) addKey(found, serverName, key)
      }
    }
    return stillMissing(requests, found).filter(({ serverName }) => serverName !== this.#serverName)
  }

  async #addFromDatabase(
    requests: readonly KeyRequest[],
    found: Map<ServerName, Map<string, ServerKey>>,
  ): Promise<readonly KeyRequest[]> {
    const rows = await getServerKeys(this.#database, {
      serverNames: requests.flatMap(({ serverName, keyIds }) => keyIds.map(() => serverName)),
      keyIds: requests.flatMap(({ keyIds }) => keyIds),
    })
    this.#learn(rows, found)
    return stillMissing(requests, found)
  }

  async #fetch(
    requests: readonly KeyRequest[],
    found: Map<ServerName, Map<string, ServerKey>>,
    options: FetchOptions,
  ): Promise<void> {
    const fromNotaries = async (missing: readonly KeyRequest[]): Promise<void> => {
      const learned: ServerKeyRow[] = []
      await this.#fetcher.fetchFromNotaries(missing, (rows) => {
        learned.push(...rows)
        this.#learn(rows, found)
        return stillMissing(missing, found)
      })
      await this.#store(learned)
    }
    const directly = async (missing: readonly KeyRequest[]): Promise<void> => {
      const rows = await this.#fetcher.fetchDirectly([...new Set(missing.map(({ serverName }) => serverName))], options)
      this.#learn(rows, found)
      await this.#store(rows)
    }
    const steps = options.isLive ? [directly, fromNotaries] : [fromNotaries, directly]
    // Whoever asked at the same time may have learned them: a server is not asked twice within seconds.
    let missing = this.#addFromMemory(requests, found)
    for (const step of steps) {
      if (missing.length > 0) await step(missing)
      missing = this.#addFromMemory(missing, found)
    }
  }

  #learn(rows: readonly LearnedKey[], found: Map<ServerName, Map<string, ServerKey>>): void {
    for (const { serverName, keyId, publicKey, validUntilTsMs, source } of rows) {
      const imported = importVerifyKey(keyId, publicKey)
      if (imported === undefined) continue
      const key = { ...imported, validUntilTsMs }
      const known = this.#keys.get(cacheKey(serverName, keyId))
      // What a notary says may be older than what we have. What the server itself says always counts: it may have retired a key.
      if (source !== undefined && source !== serverName && known && known.validUntilTsMs > validUntilTsMs) continue
      this.#keys.set(cacheKey(serverName, keyId), key)
      addKey(found, serverName, key)
    }
  }

  async #store(rows: readonly ServerKeyRow[]): Promise<void> {
    // One statement must not name a row twice.
    const unique = new Map(rows.map((row) => [cacheKey(row.serverName, row.keyId), row]))
    if (unique.size > 0) await upsertServerKeys(this.#database, [...unique.values()])
  }
}

function verifyOnPool(data: Buffer, signatureBase64: string | undefined, key: KeyObject): Promise<boolean> {
  const signature = signatureBase64 === undefined ? undefined : decodeBase64(signatureBase64)
  if (signature === undefined) return Promise.resolve(false)
  return new Promise((resolve, reject) => {
    verify(null, data, key, signature, (error, isValid) => (error ? reject(error) : resolve(isValid)))
  })
}

function cacheKey(serverName: ServerName, keyId: string): string {
  return `${serverName} ${keyId}`
}

function addKey(found: Map<ServerName, Map<string, ServerKey>>, serverName: ServerName, key: ServerKey): void {
  const ofServer = found.get(serverName) ?? new Map<string, ServerKey>()
  ofServer.set(key.id, key)
  found.set(serverName, ofServer)
}

/** One request per server and key, with the latest of the times asked for. */
function merge(requests: readonly KeyRequest[]): readonly KeyRequest[] {
  const merged = new Map<string, KeyRequest>()
  for (const { serverName, keyIds, minValidUntilTsMs } of requests) {
    for (const keyId of keyIds) {
      const key = cacheKey(serverName, keyId)
      const minTsMs = Math.max(minValidUntilTsMs, merged.get(key)?.minValidUntilTsMs ?? 0)
      merged.set(key, { serverName, keyIds: [keyId], minValidUntilTsMs: minTsMs })
    }
  }
  return [...merged.values()]
}

/** The requests for keys that are not there, or not valid for long enough. */
function stillMissing(requests: readonly KeyRequest[], found: FoundKeys): readonly KeyRequest[] {
  return requests.filter(({ serverName, keyIds, minValidUntilTsMs }) =>
    keyIds.some((keyId) => (found.get(serverName)?.get(keyId)?.validUntilTsMs ?? -1) < minValidUntilTsMs),
  )
}
