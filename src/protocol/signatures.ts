import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '../util/base64.ts'
import { canonicalJson } from './canonical-json.ts'
import type { MatrixEvent, Pdu } from './events/event.ts'
import { signedEventText } from './hashes.ts'
import { type ServerName, serverNameOf } from './ids.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import type { RoomVersion } from './room-versions/room-version.ts'
import type { SigningKey } from './signing-key.ts'

const NOT_SIGNED = ['signatures', 'unsigned'] as const
const PUBLIC_KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** What stands before the raw key in the DER form of an ed25519 public key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** A public key, imported once: making its KeyObject costs a quarter of a verification. */
export interface VerifyKey {
  /** Algorithm and version, `ed25519:a_AbCd`. */
  readonly id: string
  readonly keyObject: KeyObject
}

/** Imports an ed25519 public key in base64; undefined where it is none. Spec: appendices § Cryptographic key representation. */
export function importVerifyKey(id: string, publicKeyBase64: string): VerifyKey | undefined {
  const keyObject = id.startsWith('ed25519:') ? importPublicKey(publicKeyBase64) : undefined
  return keyObject === undefined ? undefined : { id, keyObject }
}

function importPublicKey(publicKeyBase64: string): KeyObject | undefined {
  // Identity servers are known to write their keys URL-safe.
  const raw = decodeBase64(publicKeyBase64.replaceAll('-', '+').replaceAll('_', '/'))
  if (raw?.length !== PUBLIC_KEY_BYTES) return undefined
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' })
}

/** Signs a text, as unpadded base64. About 36 µs. */
export function signText(text: string, key: SigningKey): string {
  return encodeBase64(sign(null, Buffer.from(text), key.privateKey))
}

/** Checks a base64 signature of a text with an imported key. About 113 µs. */
export function verifyText(text: string, signatureBase64: string, key: KeyObject): boolean {
  const signature = decodeBase64(signatureBase64)
  return signature?.length === SIGNATURE_BYTES && verify(null, Buffer.from(text), key, signature)
}

/** Checks a base64 signature with a key that is used once, such as that of a third-party invite. */
export function verifySignatureText(text: string, signatureBase64: string, publicKeyBase64: string): boolean {
  const key = importPublicKey(publicKeyBase64)
  return key !== undefined && verifyText(text, signatureBase64, key)
}

/**
 * Writes what a signature on a received object covers: all but `signatures` and `unsigned`. Never throws on odd numbers,
 * which old room versions may hold: such a signature is judged, not refused. Spec: appendices § Signing Details.
 */
export function signedJsonText(json: JsonObject): string {
  return canonicalJson(json, { omit: NOT_SIGNED, allowAnyNumber: true })
}

/** Returns the object with our signature added to those that it has. Spec: appendices § Signing Details. */
export function signJson(json: JsonObject, serverName: ServerName | string, key: SigningKey): JsonObject {
  return withSignature(json, serverName, key.id, signText(canonicalJson(json, { omit: NOT_SIGNED }), key))
}

/**
 * Checks the signature that `serverName` made with the given key; the `signatures` entry and the key must have the same id.
 * Spec: appendices § Checking for a Signature.
 */
export function verifySignedJson(json: JsonObject, serverName: ServerName | string, key: VerifyKey): boolean {
  const signature = signatureOf(json, serverName, key.id)
  return signature !== undefined && verifyText(signedJsonText(json), signature, key.keyObject)
}

/** Returns the signature that stands under server name and key id. */
export function signatureOf(json: JsonObject | Pdu, serverName: ServerName | string, keyId: string): string | undefined {
  const signature = signaturesOf(json, serverName)?.[keyId]
  return typeof signature === 'string' ? signature : undefined
}

/** Lists the ids of the ed25519 keys with which the server signed. */
export function signingKeyIdsOf(json: JsonObject | Pdu, serverName: ServerName | string): readonly string[] {
  const ofServer = signaturesOf(json, serverName)
  if (ofServer === undefined) return []
  return Object.keys(ofServer).filter((id) => id.startsWith('ed25519:') && typeof ofServer[id] === 'string')
}

function signaturesOf(json: JsonObject | Pdu, serverName: ServerName | string): JsonObject | undefined {
  const all = json['signatures'] as JsonValue | undefined
  if (!isJsonObject(all) || !Object.hasOwn(all, serverName)) return undefined
  const ofServer = all[serverName]
  return isJsonObject(ofServer) ? ofServer : undefined
}

function withSignature(json: JsonObject, serverName: string, keyId: string, signature: string): JsonObject {
  const all = isJsonObject(json['signatures']) ? json['signatures'] : {}
  const ofServer = signaturesOf(json, serverName) ?? {}
  return { ...json, signatures: { ...all, [serverName]: { ...ofServer, [keyId]: signature } } }
}

/** Returns the event with our signature added; its `hashes` must be there. Spec: server-server-api § Signing Events. */
export function signEvent(roomVersion: RoomVersion, pdu: Pdu, serverName: ServerName | string, key: SigningKey): Pdu {
  const signature = signText(signedEventText(roomVersion, pdu), key)
  return withSignature(pdu as unknown as JsonObject, serverName, key.id, signature) as unknown as Pdu
}

/** Checks the signature that `serverName` made on the redacted event. Spec: server-server-api § Signing Events. */
export function verifyEventSignature(
  roomVersion: RoomVersion,
  pdu: Pdu,
  serverName: ServerName | string,
  key: VerifyKey,
): boolean {
  const signature = signatureOf(pdu, serverName, key.id)
  return signature !== undefined && verifyText(signedEventText(roomVersion, pdu), signature, key.keyObject)
}

/**
 * Lists the servers whose valid signature an event needs: that of the sender, but for third-party invites; that of the event
 * id in room versions 1 and 2; that of the user who authorises a restricted join (auth rule 4.2).
 * Spec: server-server-api § Validating hashes and signatures on received events; rooms/v8.
 */
export function requiredSigners(roomVersion: RoomVersion, event: MatrixEvent): readonly ServerName[] {
  const signers = new Set<ServerName>()
  const isMember = event.type === 'm.room.member'
  const isThirdPartyInvite =
    isMember && event.content['membership'] === 'invite' && Object.hasOwn(event.content, 'third_party_invite')
  if (!isThirdPartyInvite) addServer(signers, event.sender)
  if (roomVersion.eventIdFormat === 1) addServer(signers, event.eventId)
  const authoriser = event.content['join_authorised_via_users_server']
  if (isMember && roomVersion.hasRestrictedJoin && typeof authoriser === 'string') addServer(signers, authoriser)
  return [...signers]
}

function addServer(signers: Set<ServerName>, id: string): void {
  const serverName = serverNameOf(id)
  if (serverName !== undefined) signers.add(serverName)
}
