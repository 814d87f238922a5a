import { canonicalJson } from '../../protocol/canonical-json.ts'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { importVerifyKey, signedJsonText, verifySignedJson } from '../../protocol/signatures.ts'
import type { VerifyKey } from '../../protocol/signatures.ts'
import type { Database } from '../../storage/database.ts'
import { mayReplaceKeys } from '../../storage/tables/admin-users.ts'
import { getCrossSigningKeys, upsertCrossSigningKeys } from '../../storage/tables/cross-signing.ts'
import type { CrossSigningKeyRow, CrossSigningUsage } from '../../storage/tables/cross-signing.ts'
import { getDevicesOfUser } from '../../storage/tables/devices.ts'
import type { Clock } from '../../util/clock.ts'
import type { DeviceLists } from './device-lists.ts'

const KEY_BYTES_MAX = 65_536
const FIELDS = { master_key: 'master', self_signing_key: 'self_signing', user_signing_key: 'user_signing' } as const

/** A cross-signing key that was checked for its shape. */
export interface CrossSigningKey {
  readonly usage: CrossSigningUsage
  readonly json: JsonObject
  readonly publicKey: string
  readonly verifyKey: VerifyKey
}

/** Takes in users' cross-signing keys. Spec: client-server-api § Cross-signing. */
export class CrossSigning {
  readonly #database: Database
  readonly #clock: Clock
  readonly #deviceLists: DeviceLists

  constructor(deps: { database: Database; clock: Clock; deviceLists: DeviceLists }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#deviceLists = deps.deviceLists
  }

  /**
   * Stores the keys in the body. `confirmOwner` must throw unless the user proves to be the owner of the account; it is called
   * when keys
   * would be replaced or added to those that are there (MSC3967). Idempotent. Errors: M_INVALID_PARAM, M_INVALID_SIGNATURE,
   * M_MISSING_PARAM without a master key, M_FORBIDDEN where a public key is a device's id. Spec: POST
   * /keys/device_signing/upload.
   */
  async upload(userId: UserId, body: JsonObject, confirmOwner: () => Promise<void>): Promise<void> {
    const keys = parseUpload(body, userId)
    const stored = await getCrossSigningKeys(this.#database, [userId])
    const changed = keys.filter((key) => !stored.some((row) => isSameKey(row, key)))
    if (changed.length === 0) return
    const storedMaster = stored.find((row) => row.usage === 'master')
    checkMasterSignatures(userId, keys, storedMaster)
    await this.#checkDeviceIds(userId, changed)
    if (storedMaster && !(await mayReplaceKeys(this.#database, userId, this.#clock.nowMs()))) await confirmOwner()
    // Everyone needs the master and self-signing keys; the user-signing key is the user's own affair.
    const isPublic = changed.some((key) => key.usage !== 'user_signing')
    await this.#deviceLists.commit([{ userId, viewerId: isPublic ? undefined : userId }], (tx) =>
      upsertCrossSigningKeys(
        tx,
        changed.map((key) => toRow(userId, key)),
      ),
    )
  }

  /** A device and a key with one id could not be told apart where signatures name what they are on. */
  async #checkDeviceIds(userId: UserId, keys: readonly CrossSigningKey[]): Promise<void> {
    const deviceIds = new Set<string>((await getDevicesOfUser(this.#database, userId)).map((device) => device.deviceId))
    if (keys.some((key) => deviceIds.has(key.publicKey))) throw new MatrixError('M_FORBIDDEN', 'Key ID in use')
  }
}

function parseUpload(body: JsonObject, userId: UserId): CrossSigningKey[] {
  const keys: CrossSigningKey[] = []
  for (const [field, usage] of Object.entries(FIELDS)) {
    const value = body[field]
    if (value === undefined || value === null) continue
    const key = parseCrossSigningKey(value, usage)
    if (key?.json['user_id'] !== userId) throw invalidParam(`Invalid ${field}`)
    keys.push(key)
  }
  return keys
}

/** Reads a cross-signing key; undefined where its shape is wrong. Spec: definitions/cross_signing_key.yaml. */
export function parseCrossSigningKey(value: unknown, usage: CrossSigningUsage): CrossSigningKey | undefined {
  if (!isJsonObject(value)) return undefined
  const { usage: usages, keys, signatures } = value
  if (!Array.isArray(usages) || !usages.includes(usage) || !usages.every((one) => typeof one === 'string') || !isJsonObject(keys))
    return undefined
  if (signatures !== undefined && (!isJsonObject(signatures) || !Object.values(signatures).every(isJsonObject))) return undefined
  const [entry, ...rest] = Object.entries(keys)
  if (!entry || rest.length > 0) return undefined
  const [id, publicKey] = entry
  if (typeof publicKey !== 'string' || id !== `ed25519:${publicKey}`) return undefined
  const verifyKey = importVerifyKey(id, publicKey)
  return verifyKey && { usage, json: value, publicKey, verifyKey }
}

function isSameKey(row: CrossSigningKeyRow, key: CrossSigningKey): boolean {
  return row.usage === key.usage && row.keyJson === serialize(key)
}

function serialize(key: CrossSigningKey): string {
  const json = canonicalJson(key.json, { omit: ['unsigned'], allowAnyNumber: true })
  if (Buffer.byteLength(json) > KEY_BYTES_MAX) throw new MatrixError('M_TOO_LARGE', 'The key is too large')
  return json
}

function toRow(userId: UserId, key: CrossSigningKey): CrossSigningKeyRow {
  return { userId, usage: key.usage, publicKey: key.publicKey, keyJson: serialize(key) }
}

function checkMasterSignatures(
  userId: UserId,
  keys: readonly CrossSigningKey[],
  storedMaster: CrossSigningKeyRow | undefined,
): void {
  const master =
    keys.find((key) => key.usage === 'master') ??
    (storedMaster && parseCrossSigningKey(JSON.parse(storedMaster.keyJson), 'master'))
  if (!master) throw new MatrixError('M_MISSING_PARAM', 'No master key available')
  for (const key of keys) {
    if (key.usage !== 'master' && !verifySignedJson(key.json, userId, master.verifyKey)) {
      throw new MatrixError('M_INVALID_SIGNATURE', `Invalid signature on ${key.usage} key`)
    }
  }
}

/** Tells whether two objects are the same but for signatures and what servers add. */
export function isSameSignedContent(one: JsonObject, other: JsonObject): boolean {
  return signedJsonText(one) === signedJsonText(other)
}
