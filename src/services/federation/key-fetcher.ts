import { LRUCache } from 'lru-cache'
import type { KeysConfig } from '../../config/keys.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { importVerifyKey, verifySignedJson } from '../../protocol/signatures.ts'
import type { VerifyKey } from '../../protocol/signatures.ts'
import type { ServerKeyRow } from '../../storage/tables/server-keys.ts'
import type { Clock } from '../../util/clock.ts'
import { Gate, GateFullError } from '../../util/gate.ts'
import { OperatorError } from '../../util/operator-error.ts'
import { FederationRequestError } from './federation-errors.ts'
import type { FederationRequest } from './federation-client.ts'
import { parseKeyResponse } from './key-response.ts'
import type { KeyRequest } from './key-ring.ts'

const TIMEOUT_MS = 10_000
const RESPONSE_BYTES_MAX = 256 * 1024
const NOTARY_BYTES_MAX = 8 * 1024 * 1024
/** A notary is asked about so many servers at a time. */
const NOTARY_SERVERS_MAX = 100
const DIRECT_RUNNING_MAX = 40
const DIRECT_WAITING_MAX = 2000
const SERVERS_REMEMBERED_MAX = 20_000
/** A server is not asked again sooner, whatever keys are said to be its own. */
const AGAIN_MS = 5000
/** After a failure the pause doubles up to this; a server that is talking to us is asked sooner. */
const AGAIN_FAILED_MS_MAX = 3600_000
const AGAIN_FAILED_LIVE_MS_MAX = 10_000

/** Signed requests to other servers; FederationClient makes them. */
export interface KeyRequests {
  request<T>(options: FederationRequest): Promise<T>
}

interface Notary {
  readonly serverName: ServerName
  /** Its configured keys; without any, its TLS certificate is trusted. */
  readonly keys: readonly VerifyKey[]
}

interface LastFetch {
  readonly atMs: number
  readonly failureCount: number
}

/** Fetches keys from notaries (`trusted_key_servers`) and from the servers themselves. Never throws for what others do. */
export class KeyFetcher {
  readonly #requests: KeyRequests
  readonly #clock: Clock
  readonly #notaries: readonly Notary[]
  readonly #gate = new Gate({ runningMax: DIRECT_RUNNING_MAX, waitingMax: DIRECT_WAITING_MAX })
  readonly #underWay = new Map<ServerName, Promise<readonly ServerKeyRow[]>>()
  readonly #last = new LRUCache<ServerName, LastFetch>({ max: SERVERS_REMEMBERED_MAX })

  constructor(deps: {
    requests: KeyRequests
    clock: Clock
    serverName: ServerName
    trustedKeyServers: KeysConfig['trustedKeyServers']
    verifiesCertificates: boolean
  }) {
    this.#requests = deps.requests
    this.#clock = deps.clock
    // We are no notary to ourselves: that would end in a circle.
    this.#notaries = deps.trustedKeyServers
      .filter(({ serverName }) => serverName !== deps.serverName)
      .map((entry) => parseNotary(entry, deps.verifiesCertificates))
  }

  /** Asks all notaries in turn for what is still missing. Returns everything that was learned. */
  async fetchFromNotaries(
    requests: readonly KeyRequest[],
    onRows: (rows: readonly ServerKeyRow[]) => readonly KeyRequest[],
  ): Promise<void> {
    let missing = requests
    for (const notary of this.#notaries) {
      if (missing.length === 0) return
      const chunks = chunked(missing.filter(({ serverName }) => serverName !== notary.serverName))
      const rows = await Promise.all(chunks.map((chunk) => this.#askNotary(notary, chunk)))
      missing = onRows(rows.flat())
    }
  }

  /** Asks servers for their own keys. `isLive`: they are talking to us just now, so earlier failures count less. */
  async fetchDirectly(
    serverNames: readonly ServerName[],
    options: { readonly isLive: boolean },
  ): Promise<readonly ServerKeyRow[]> {
    const rows = await Promise.all(serverNames.map((serverName) => this.#askServer(serverName, options.isLive)))
    return rows.flat()
  }

  #askServer(serverName: ServerName, isLive: boolean): Promise<readonly ServerKeyRow[]> {
    const underWay = this.#underWay.get(serverName)
    if (underWay) return underWay
    const last = this.#last.get(serverName)
    if (last && this.#clock.monotonicMs() < last.atMs + pauseMs(last, isLive)) return Promise.resolve([])
    const asking = this.#gate
      .run(() => this.#askServerNow(serverName))
      .catch((error: unknown) => {
        if (error instanceof GateFullError) return []
        throw error
      })
      .finally(() => this.#underWay.delete(serverName))
    this.#underWay.set(serverName, asking)
    return asking
  }

  async #askServerNow(serverName: ServerName): Promise<readonly ServerKeyRow[]> {
    const json = await this.#ask({
      destination: serverName,
      method: 'GET',
      path: '/_matrix/key/v2/server',
      bytesMax: RESPONSE_BYTES_MAX,
      // Whoever claims to be a server must not make us remember it in the table of destinations.
      isBackoffIgnored: true,
    })
    const rows = parseKeyResponse(json, { serverName, source: serverName, nowMs: this.#clock.nowMs() })
    const failureCount = rows === undefined ? (this.#last.get(serverName)?.failureCount ?? 0) + 1 : 0
    this.#last.set(serverName, { atMs: this.#clock.monotonicMs(), failureCount })
    return rows ?? []
  }

  async #askNotary(notary: Notary, requests: readonly KeyRequest[]): Promise<readonly ServerKeyRow[]> {
    const wanted: Record<string, JsonObject> = {}
    for (const { serverName, keyIds, minValidUntilTsMs } of requests) {
      const criteria = { minimum_valid_until_ts: minValidUntilTsMs }
      wanted[serverName] = { ...wanted[serverName], ...Object.fromEntries(keyIds.map((keyId) => [keyId, criteria])) }
    }
    const json = await this.#ask({
      destination: notary.serverName,
      method: 'POST',
      path: '/_matrix/key/v2/query',
      body: { server_keys: wanted },
      bytesMax: NOTARY_BYTES_MAX,
    })
    const answers = isJsonObject(json) && Array.isArray(json['server_keys']) ? (json['server_keys'] as readonly JsonValue[]) : []
    const asked = new Set<string>(Object.keys(wanted))
    const nowMs = this.#clock.nowMs()
    return answers.slice(0, 2 * NOTARY_SERVERS_MAX).flatMap((answer) => {
      if (!isJsonObject(answer) || !isSignedByNotary(answer, notary)) return []
      const serverName = answer['server_name']
      if (typeof serverName !== 'string' || !asked.has(serverName)) return []
      return parseKeyResponse(answer, { serverName: serverName as ServerName, source: notary.serverName, nowMs }) ?? []
    })
  }

  /** Returns the answer, or undefined where there was none. */
  async #ask(options: FederationRequest): Promise<JsonValue | undefined> {
    try {
      return await this.#requests.request<JsonValue>({ timeoutMs: TIMEOUT_MS, retries: 'none', ...options })
    } catch (error) {
      if (error instanceof FederationRequestError) return undefined
      throw error
    }
  }
}

function parseNotary(entry: KeysConfig['trustedKeyServers'][number], verifiesCertificates: boolean): Notary {
  const keys = Object.entries(entry.verifyKeys).map(([id, publicKey]) => {
    const key = typeof publicKey === 'string' ? importVerifyKey(id, publicKey) : undefined
    if (!key) throw new OperatorError(`trusted_key_servers: the key ${id} of ${entry.serverName} is no ed25519 key`)
    return key
  })
  if (keys.length === 0 && !verifiesCertificates && !entry.acceptKeysInsecurely) {
    const advice = 'give its verify_keys, or set accept_keys_insecurely'
    throw new OperatorError(`trusted_key_servers: without TLS checks ${entry.serverName} cannot be believed; ${advice}`)
  }
  return { serverName: parseServerName(entry.serverName), keys }
}

function isSignedByNotary(answer: JsonObject, notary: Notary): boolean {
  return notary.keys.length === 0 || notary.keys.some((key) => verifySignedJson(answer, notary.serverName, key))
}

function pauseMs({ failureCount }: LastFetch, isLive: boolean): number {
  const max = isLive ? AGAIN_FAILED_LIVE_MS_MAX : AGAIN_FAILED_MS_MAX
  return Math.min(max, AGAIN_MS * 2 ** Math.min(failureCount, 20))
}

function chunked(requests: readonly KeyRequest[]): readonly (readonly KeyRequest[])[] {
  const count = Math.ceil(requests.length / NOTARY_SERVERS_MAX)
  return Array.from({ length: count }, (_, index) => requests.slice(index * NOTARY_SERVERS_MAX, (index + 1) * NOTARY_SERVERS_MAX))
}
