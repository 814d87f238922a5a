import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '../util/base64.ts'
import type { Random } from '../util/random.ts'

const SEED_BYTES = 32
/** What stands before the seed in the DER form of an ed25519 private key (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
/** Key versions come into JSON keys, file lines and URLs. Spec: server-server-api § Retrieving server keys. */
const VERSION = /^[A-Za-z0-9_]+$/
const KEY_VERSION_LETTERS = 4

/** A key with which this server signs. */
export interface SigningKey {
  /** Algorithm and version, `ed25519:a_AbCd`. */
  readonly id: string
  readonly version: string
  readonly seed: Buffer
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** As `/_matrix/key/v2/server` publishes it: unpadded base64. */
  readonly publicKeyBase64: string
}

/** Makes a signing key of its version and its 32-byte seed. Throws RangeError on others. */
export function makeSigningKey(version: string, seed: Buffer): SigningKey {
  if (!VERSION.test(version)) throw new RangeError('The version of a signing key may hold letters, digits and _ only')
  if (seed.length !== SEED_BYTES) throw new RangeError(`The seed of a signing key has ${SEED_BYTES} bytes, not ${seed.length}`)
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(privateKey)
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-SEED_BYTES)
  return { id: `ed25519:${version}`, version, seed, privateKey, publicKey, publicKeyBase64: encodeBase64(raw) }
}

/** Makes a new signing key with a version as Synapse gives it, `a_` and four letters. */
export function generateSigningKey(random: Random): SigningKey {
  return makeSigningKey(`a_${random.letters(KEY_VERSION_LETTERS)}`, random.bytes(SEED_BYTES))
}

/**
 * Reads a signing key file: per line `ed25519 <version> <unpadded base64 seed>`, empty lines apart. The first key is the one to
 * sign with. Throws Error naming the line. Format: Synapse's `signing_key_path`.
 */
export function parseSigningKeys(fileText: string): readonly SigningKey[] {
  const keys: SigningKey[] = []
  for (const [index, line] of fileText.split('\n').entries()) {
    const words = line.trim().split(/\s+/)
    if (words.length === 1 && words[0] === '') continue
    const [algorithm, version, seedBase64] = words
    const seed = seedBase64 === undefined ? undefined : decodeBase64(seedBase64)
    if (words.length !== 3 || algorithm !== 'ed25519' || version === undefined || seed?.length !== SEED_BYTES) {
      throw new Error(`Line ${index + 1} of the signing key file is not "ed25519 <version> <base64 of 32 bytes>"`)
    }
    keys.push(makeSigningKey(version, seed))
  }
  return keys
}

/** Writes a signing key file, as `parseSigningKeys` reads it. */
export function serializeSigningKeys(keys: readonly SigningKey[]): string {
  return keys.map((key) => `ed25519 ${key.version} ${encodeBase64(key.seed)}\n`).join('')
}
