import { createHash } from 'node:crypto'
import { canonicalJson } from '../../protocol/canonical-json.ts'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { FallbackKeyRow, OneTimeKeyRow } from '../../storage/tables/one-time-keys.ts'

const KEYS_PER_UPLOAD_MAX = 1000
const KEY_BYTES_MAX = 4096
const DEVICE_KEYS_BYTES_MAX = 65_536
const NAME_BYTES_MAX = 255

/** A checked request to POST /keys/upload. */
export interface KeyUpload {
  /** Canonical JSON, without `unsigned`. */
  readonly deviceKeysJson: string | undefined
  readonly oneTimeKeys: readonly OneTimeKeyRow[]
  readonly fallbackKeys: readonly FallbackKeyRow[]
}

/**
 * Checks an upload of keys of the given device. Throws M_BAD_JSON where the shape or the owner is wrong. Spec: POST
 * /keys/upload.
 */
export function parseKeyUpload(body: JsonObject, owner: { readonly userId: UserId; readonly deviceId: DeviceId }): KeyUpload {
  const deviceKeys = body['device_keys']
  return {
    deviceKeysJson: deviceKeys === undefined ? undefined : parseDeviceKeys(deviceKeys, owner),
    oneTimeKeys: parseKeys(body['one_time_keys'], 'one_time_keys'),
    fallbackKeys: parseFallbackKeys(body['fallback_keys']),
  }
}

function parseDeviceKeys(value: JsonValue, owner: { readonly userId: UserId; readonly deviceId: DeviceId }): string {
  if (!isJsonObject(value)) throw badJson('device_keys must be an object')
  const { user_id: userId, device_id: deviceId, algorithms, keys, signatures } = value
  if (userId !== owner.userId) throw badJson('device_keys.user_id is not the user of the access token')
  if (deviceId !== owner.deviceId) throw badJson('device_keys.device_id is not the device of the access token')
  if (!Array.isArray(algorithms) || !algorithms.every((one) => typeof one === 'string'))
    throw badJson('device_keys.algorithms must be a list of strings')
  if (!isStringMap(keys)) throw badJson('device_keys.keys must be an object of strings')
  if (!isJsonObject(signatures) || !Object.values(signatures).every(isStringMap))
    throw badJson('device_keys.signatures must map users to signatures')
  const json = canonicalJson(value, { omit: ['unsigned'], allowAnyNumber: true })
  if (Buffer.byteLength(json) > DEVICE_KEYS_BYTES_MAX) throw new MatrixError('M_TOO_LARGE', 'device_keys is too large')
  return json
}

function parseFallbackKeys(value: JsonValue | undefined): FallbackKeyRow[] {
  const keys = parseKeys(value, 'fallback_keys')
  if (new Set(keys.map((key) => key.algorithm)).size < keys.length)
    throw invalidParam('fallback_keys may hold one key for each algorithm')
  return keys
}

function parseKeys(value: JsonValue | undefined, where: string): OneTimeKeyRow[] {
  if (value === undefined || value === null) return []
  if (!isJsonObject(value)) throw badJson(`${where} must be an object`)
  const entries = Object.entries(value)
  if (entries.length > KEYS_PER_UPLOAD_MAX) throw new MatrixError('M_TOO_LARGE', `${where} may hold ${KEYS_PER_UPLOAD_MAX} keys`)
  return entries.map(([name, key]) => parseKey(name, key, where))
}

function parseKey(name: string, key: JsonValue, where: string): OneTimeKeyRow {
  const [algorithm = '', keyId = '', ...rest] = name.split(':')
  if (algorithm === '' || keyId === '' || rest.length > 0)
    throw badJson(`The name of a key in ${where} is not <algorithm>:<key id>`)
  if (name.includes('\u0000') || Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw invalidParam(`The name of a key in ${where} is not allowed`)
  if (typeof key !== 'string' && !isKeyObject(key))
    throw badJson(`${where}.${name} must be a string, or an object with key and signatures`)
  const keyJson = JSON.stringify(key)
  if (Buffer.byteLength(keyJson) > KEY_BYTES_MAX) throw new MatrixError('M_TOO_LARGE', `${where}.${name} is too large`)
  return { algorithm, keyId, fingerprint: fingerprintOf(key), keyJson }
}

/** Signatures are left out: another attempt to upload the same key may sign it anew. */
function fingerprintOf(key: JsonValue): Buffer {
  return createHash('sha256')
    .update(canonicalJson(key, { omit: ['signatures'], allowAnyNumber: true }))
    .digest()
}

function isKeyObject(value: JsonValue): boolean {
  if (!isJsonObject(value) || typeof value['key'] !== 'string') return false
  const signatures = value['signatures']
  return isJsonObject(signatures) && Object.values(signatures).every(isStringMap)
}

function isStringMap(value: JsonValue | undefined): value is Readonly<Record<string, string>> {
  return isJsonObject(value) && Object.values(value).every((one) => typeof one === 'string')
}

function badJson(message: string): MatrixError {
  return new MatrixError('M_BAD_JSON', message)
}
