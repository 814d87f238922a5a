import type { ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { importVerifyKey, verifySignedJson } from '../../protocol/signatures.ts'
import type { VerifyKey } from '../../protocol/signatures.ts'
import type { ServerKeyRow } from '../../storage/tables/server-keys.ts'

/** However long a server says its keys are valid, we ask again after this. Spec: server-server-api, keys_server.yaml. */
const VALIDITY_MS_MAX = 7 * 24 * 3600_000
const VERIFY_KEYS_MAX = 20
const OLD_KEYS_MAX = 100
const RESPONSE_CHARS_MAX = 64 * 1024
/** Spec: server-server-api, definitions/keys.yaml. */
const KEY_ID = /^ed25519:[A-Za-z0-9_]{1,200}$/

/**
 * Reads what a server (or a notary on its behalf) says of its keys. Returns the rows to store; undefined where the answer is
 * malformed, of another server, or not signed with one of the very keys in it.
 * Spec: server-server-api § Retrieving server keys.
 */
export function parseKeyResponse(
  json: JsonValue | undefined,
  options: { readonly serverName: ServerName; readonly source: ServerName; readonly nowMs: number },
): readonly ServerKeyRow[] | undefined {
  const { serverName, source, nowMs } = options
  if (!isJsonObject(json) || json['server_name'] !== serverName) return undefined
  const validUntilTs = json['valid_until_ts']
  if (!isTimestamp(validUntilTs)) return undefined
  const keys = readKeys(json['verify_keys'], VERIFY_KEYS_MAX)
  if (!keys.some(({ key }) => verifySignedJson(json, serverName, key))) return undefined
  // Only what the server itself signed is handed on.
  const signatures = isJsonObject(json['signatures']) ? json['signatures'][serverName] : undefined
  const response = JSON.stringify({ ...json, signatures: { [serverName]: signatures } })
  if (response.length > RESPONSE_CHARS_MAX) return undefined
  const common = { serverName, source, fetchedTsMs: nowMs, response }
  const validUntilTsMs = Math.min(validUntilTs, nowMs + VALIDITY_MS_MAX)
  const current = keys.map(({ key, publicKey }) => ({ ...common, keyId: key.id, publicKey, validUntilTsMs, isOld: false }))
  const known = new Set(current.map(({ keyId }) => keyId))
  const old = readKeys(json['old_verify_keys'], OLD_KEYS_MAX).flatMap(({ key, publicKey, entry }) => {
    const expiredTs = entry['expired_ts']
    if (!isTimestamp(expiredTs) || known.has(key.id)) return []
    return [{ ...common, keyId: key.id, publicKey, validUntilTsMs: Math.min(expiredTs, nowMs), isOld: true }]
  })
  return [...current, ...old]
}

interface ReadKey {
  readonly key: VerifyKey
  readonly publicKey: string
  readonly entry: JsonObject
}

function readKeys(json: JsonValue | undefined, max: number): readonly ReadKey[] {
  if (!isJsonObject(json)) return []
  return Object.entries(json)
    .slice(0, max)
    .flatMap(([keyId, entry]) => {
      const publicKey = isJsonObject(entry) ? entry['key'] : undefined
      if (!KEY_ID.test(keyId) || !isJsonObject(entry) || typeof publicKey !== 'string') return []
      const key = importVerifyKey(keyId, publicKey)
      return key === undefined ? [] : [{ key, publicKey, entry }]
    })
}

function isTimestamp(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
