import type { MatrixEvent } from '../events/event.ts'
import { isJsonObject, type JsonObject } from '../json.ts'
import { signedJsonText, verifySignatureText } from '../signatures.ts'
import { ALLOWED, type AuthResult, type AuthStateLookup, denied } from './auth-result.ts'

/**
 * How many pairs of signature and key one invite may make us try. An honest invite has one or two; without a limit, one
 * event of 64 KiB could ask for a hundred thousand. Beyond it, the invite is refused.
 */
export const THIRD_PARTY_INVITE_VERIFICATIONS_MAX = 64

/** 4.4.1. Rules on an invite that redeems a third-party invite, numbered as in rooms/v11. */
export function checkThirdPartyInvite(event: MatrixEvent, state: AuthStateLookup): AuthResult {
  const thirdPartyInvite = event.content['third_party_invite']
  const signed = isJsonObject(thirdPartyInvite) ? thirdPartyInvite['signed'] : undefined
  if (!isJsonObject(signed)) return denied('third_party_invite has no signed property') // 4.4.1.2
  const { mxid, token } = signed
  if (typeof mxid !== 'string' || typeof token !== 'string') return denied('signed has no mxid and token') // 4.4.1.3
  if (mxid !== event.stateKey) return denied('The third-party invite is for another user') // 4.4.1.4
  const invite = state('m.room.third_party_invite', token)
  if (invite === undefined) return denied('The third-party invite is not known to the room') // 4.4.1.5
  if (invite.sender !== event.sender) return denied('The third-party invite is of another sender') // 4.4.1.6
  if (hasMatchingSignature(signed, publicKeysOf(invite.content))) return ALLOWED // 4.4.1.7
  return denied('The third-party invite is not signed by a key of the invite') // 4.4.1.8
}

/** Lists the keys of an `m.room.third_party_invite`: `public_key` and the entries of `public_keys`. */
function publicKeysOf(content: JsonObject): readonly string[] {
  const keys: string[] = []
  if (typeof content['public_key'] === 'string') keys.push(content['public_key'])
  const list = content['public_keys']
  if (!Array.isArray(list)) return keys
  for (const entry of list) {
    if (isJsonObject(entry) && typeof entry['public_key'] === 'string') keys.push(entry['public_key'])
  }
  return keys
}

function hasMatchingSignature(signed: JsonObject, publicKeys: readonly string[]): boolean {
  const signatures = ed25519SignaturesOf(signed)
  if (signatures.length * publicKeys.length > THIRD_PARTY_INVITE_VERIFICATIONS_MAX) return false
  const text = signedJsonText(signed)
  return signatures.some((signature) => publicKeys.some((publicKey) => verifySignatureText(text, signature, publicKey)))
}

function ed25519SignaturesOf(signed: JsonObject): readonly string[] {
  const found: string[] = []
  if (!isJsonObject(signed['signatures'])) return found
  for (const ofServer of Object.values(signed['signatures'])) {
    if (!isJsonObject(ofServer)) continue
    for (const [keyId, signature] of Object.entries(ofServer)) {
      if (keyId.startsWith('ed25519:') && typeof signature === 'string') found.push(signature)
    }
  }
  return found
}
