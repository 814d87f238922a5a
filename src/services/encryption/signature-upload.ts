import { MatrixError } from '../../protocol/errors.ts'
import type { Errcode } from '../../protocol/errors.ts'
import { isValidUserId } from '../../protocol/ids.ts'
import type { UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { importVerifyKey, signatureOf, verifySignedJson } from '../../protocol/signatures.ts'
import type { VerifyKey } from '../../protocol/signatures.ts'
import type { Database } from '../../storage/database.ts'
import { getCrossSigningKeys, getKeySignatures, upsertKeySignatures } from '../../storage/tables/cross-signing.ts'
import type { CrossSigningKeyRow, CrossSigningUsage, KeySignatureRow } from '../../storage/tables/cross-signing.ts'
import { getDeviceKeysOfUsers } from '../../storage/tables/device-keys.ts'
import { getRemoteCrossSigningKeys } from '../../storage/tables/remote-devices.ts'
import { isSameSignedContent, parseCrossSigningKey } from './cross-signing.ts'
import type { CrossSigningKey } from './cross-signing.ts'
import type { DeviceLists } from './device-lists.ts'

/** Each takes about 0.1 ms to check, all in one turn of the event loop. */
const SIGNATURES_MAX = 300
const SIGNER_KEY_ID_BYTES_MAX = 255

export type SignatureFailures = Readonly<
  Record<string, Readonly<Record<string, { readonly errcode: Errcode; readonly error: string }>>>
>

/** One signed object of an upload. */
interface Item {
  readonly targetUserId: string
  readonly keyId: string
  readonly signed: JsonObject
}

/** What the checks need to know, loaded at once. */
interface KnownKeys {
  readonly userId: UserId
  readonly crossSigning: readonly CrossSigningKeyRow[]
  readonly devices: ReadonlyMap<string, JsonObject>
}

/** Takes in signatures on keys: on the user's own devices and master key, and on other users' master keys. */
export class SignatureUpload {
  readonly #database: Database
  readonly #deviceLists: DeviceLists

  constructor(deps: { database: Database; deviceLists: DeviceLists }) {
    this.#database = deps.database
    this.#deviceLists = deps.deviceLists
  }

  /**
   * Stores the valid signatures and says of the others what is wrong with them. Idempotent. Spec: POST /keys/signatures/upload.
   */
  async upload(userId: UserId, body: JsonObject): Promise<SignatureFailures> {
    const items = parseItems(body)
    if (items.length === 0) return {}
    const targets = [...new Set([userId, ...items.map((item) => item.targetUserId).filter(isValidUserId)])]
    const [crossSigning, remoteKeys, devices, present] = await Promise.all([
      getCrossSigningKeys(this.#database, targets),
      getRemoteCrossSigningKeys(this.#database, targets),
      getDeviceKeysOfUsers(this.#database, [userId]),
      getKeySignatures(this.#database, targets, userId),
    ])
    const known: KnownKeys = {
      userId,
      crossSigning: [...crossSigning, ...remoteKeys],
      devices: new Map(devices.map((row) => [row.deviceId, JSON.parse(row.keysJson) as JsonObject])),
    }
    const failures = new Map<string, [string, { errcode: Errcode; error: string }][]>()
    const valid: KeySignatureRow[] = []
    for (const item of items) {
      const result = checkItem(item, known)
      if (Array.isArray(result)) valid.push(...result)
      else
        failures.set(item.targetUserId, [
          ...(failures.get(item.targetUserId) ?? []),
          [item.keyId, { errcode: result.errcode, error: result.message }],
        ])
    }
    await this.#store(
      userId,
      valid.filter((row) => !present.some((one) => isSameSignature(one, row))),
    )
    return Object.fromEntries([...failures].map(([target, byKey]) => [target, Object.fromEntries(byKey)]))
  }

  async #store(userId: UserId, signatures: readonly KeySignatureRow[]): Promise<void> {
    if (signatures.length === 0) return
    // Others see a user's signatures on its own keys; only the user sees those it made on others' keys.
    const targets = [...new Set(signatures.map((row) => row.targetUserId))]
    const changes = targets.map((target) => ({ userId: target, viewerId: target === userId ? undefined : userId }))
    await this.#deviceLists.commit(changes, (tx) => upsertKeySignatures(tx, signatures))
  }
}

function parseItems(body: JsonObject): Item[] {
  const items: Item[] = []
  let count = 0
  for (const [targetUserId, byKey] of Object.entries(body)) {
    if (!isJsonObject(byKey)) throw new MatrixError('M_INVALID_PARAM', 'The body must map users to keys')
    for (const [keyId, signed] of Object.entries(byKey)) {
      if (!isJsonObject(signed)) throw new MatrixError('M_INVALID_PARAM', 'A signed key must be an object')
      items.push({ targetUserId, keyId, signed })
      count += Math.max(
        1,
        isJsonObject(signed['signatures'])
          ? Object.values(signed['signatures']).reduce<number>((sum, one) => sum + Object.keys(one ?? {}).length, 0)
          : 0,
      )
    }
  }
  if (count > SIGNATURES_MAX) throw new MatrixError('M_TOO_LARGE', `At most ${SIGNATURES_MAX} signatures can be uploaded at once`)
  return items
}

/** Returns the signatures to store, or what is wrong. */
function checkItem(item: Item, known: KnownKeys): KeySignatureRow[] | MatrixError {
  if (item.targetUserId !== known.userId) return checkOtherUser(item, known)
  const master = findKey(known, known.userId, 'master')
  if (master?.publicKey === item.keyId) return checkOwnMaster(item, master, known)
  const selfSigning = findKey(known, known.userId, 'self_signing')
  if (!selfSigning) return notFound('No self-signing key found')
  return checkSignature(item, { stored: known.devices.get(item.keyId), signer: known.userId, key: selfSigning.verifyKey })
}

/** The user signs another one's master key with its user-signing key, and nothing else of it. */
function checkOtherUser(item: Item, known: KnownKeys): KeySignatureRow[] | MatrixError {
  const userSigning = findKey(known, known.userId, 'user_signing')
  if (!userSigning) return notFound('No user-signing key found')
  const master = findKey(known, item.targetUserId, 'master')
  const stored = master?.publicKey === item.keyId ? master.json : undefined
  return checkSignature(item, { stored, signer: known.userId, key: userSigning.verifyKey })
}

/** Each of the user's devices may sign the master key. */
function checkOwnMaster(item: Item, master: CrossSigningKey, known: KnownKeys): KeySignatureRow[] | MatrixError {
  const rows: KeySignatureRow[] = []
  for (const signerKeyId of signerKeyIds(item.signed, known.userId)) {
    const key = deviceVerifyKey(known.devices.get(signerKeyId.slice(signerKeyId.indexOf(':') + 1)), signerKeyId)
    if (!key) return invalidSignature()
    const result = checkSignature(item, { stored: master.json, signer: known.userId, key })
    if (!Array.isArray(result)) return result
    rows.push(...result)
  }
  return rows.length === 0 ? invalidSignature() : rows
}

function checkSignature(
  item: Item,
  check: { stored: JsonObject | undefined; signer: UserId; key: VerifyKey },
): KeySignatureRow[] | MatrixError {
  const { stored, signer, key } = check
  if (!stored) return notFound('Unknown device')
  const signature = signatureOf(item.signed, signer, key.id)
  if (signature === undefined) return invalidSignature()
  if (!isSameSignedContent(item.signed, stored)) return new MatrixError('M_INVALID_SIGNATURE', 'Key does not match')
  if (!verifySignedJson(item.signed, signer, key)) return invalidSignature()
  return [
    { targetUserId: item.targetUserId as UserId, targetKeyId: item.keyId, signerUserId: signer, signerKeyId: key.id, signature },
  ]
}

function findKey(known: KnownKeys, userId: string, usage: CrossSigningUsage): CrossSigningKey | undefined {
  const row = known.crossSigning.find((one) => one.userId === userId && one.usage === usage)
  return row && parseCrossSigningKey(JSON.parse(row.keyJson), usage)
}

function deviceVerifyKey(device: JsonObject | undefined, keyId: string): VerifyKey | undefined {
  const keys = device?.['keys']
  const publicKey = isJsonObject(keys) && Object.hasOwn(keys, keyId) ? keys[keyId] : undefined
  return typeof publicKey === 'string' ? importVerifyKey(keyId, publicKey) : undefined
}

function signerKeyIds(signed: JsonObject, signer: UserId): string[] {
  const signatures = signed['signatures']
  const bySigner = isJsonObject(signatures) && Object.hasOwn(signatures, signer) ? signatures[signer] : undefined
  return isJsonObject(bySigner) ? Object.keys(bySigner).filter((id) => Buffer.byteLength(id) <= SIGNER_KEY_ID_BYTES_MAX) : []
}

function isSameSignature(one: KeySignatureRow, other: KeySignatureRow): boolean {
  return (
    one.targetUserId === other.targetUserId &&
    one.targetKeyId === other.targetKeyId &&
    one.signerUserId === other.signerUserId &&
    one.signerKeyId === other.signerKeyId &&
    one.signature === other.signature
  )
}

function invalidSignature(): MatrixError {
  return new MatrixError('M_INVALID_SIGNATURE', 'Invalid signature')
}

function notFound(message: string): MatrixError {
  return new MatrixError('M_NOT_FOUND', message)
}
