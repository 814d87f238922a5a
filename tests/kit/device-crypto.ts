import { generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { canonicalJson } from '../../src/protocol/canonical-json.ts'
import type { JsonObject } from '../../src/protocol/json.ts'

/** A signing key as clients make them for devices and cross-signing. */
export class ClientSigningKey {
  readonly publicKey: string
  readonly #privateKey: KeyObject

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    this.#privateKey = privateKey
    this.publicKey = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64').replaceAll('=', '')
  }

  /** Returns the object with a signature by this key, under the key's public part or the given id. */
  sign(object: JsonObject, userId: string, keyId: string = this.publicKey): JsonObject {
    const text = canonicalJson(object, { omit: ['signatures', 'unsigned'] })
    const signature = sign(null, Buffer.from(text), this.#privateKey).toString('base64').replaceAll('=', '')
    const signatures = (object['signatures'] ?? {}) as Record<string, JsonObject>
    return { ...object, signatures: { ...signatures, [userId]: { ...signatures[userId], [`ed25519:${keyId}`]: signature } } }
  }
}

/** The identity keys of a device, signed by its own key. */
export function makeDeviceKeys(
  device: { readonly userId: string; readonly deviceId: string },
  key: ClientSigningKey,
): JsonObject {
  const { userId, deviceId } = device
  const keys = { [`ed25519:${deviceId}`]: key.publicKey, [`curve25519:${deviceId}`]: 'A'.repeat(43) }
  const unsigned = {
    user_id: userId,
    device_id: deviceId,
    algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
    keys,
  }
  return key.sign(unsigned, userId, deviceId)
}

/** A cross-signing key without signatures. */
export function makeCrossSigningKey(
  userId: string,
  usage: 'master' | 'self_signing' | 'user_signing',
  key: ClientSigningKey,
): JsonObject {
  return { user_id: userId, usage: [usage], keys: { [`ed25519:${key.publicKey}`]: key.publicKey } }
}

/** One-time keys named by their numbers; `value` stands in the key, so that another value makes another key. */
export function makeOneTimeKeys(
  userId: string,
  deviceId: string,
  numbers: readonly number[],
  value = 'key',
): Record<string, JsonObject> {
  return Object.fromEntries(
    numbers.map((number) => [
      `signed_curve25519:${number}`,
      { key: `${value}${number}`, signatures: { [userId]: { [`ed25519:${deviceId}`]: 'signature' } } },
    ]),
  )
}
