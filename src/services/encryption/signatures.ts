import type { UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { KeySignatureRow } from '../../storage/tables/cross-signing.ts'

/** Signatures that came by themselves, by the key that they are on. */
export class SignatureIndex {
  readonly #byTarget = new Map<string, KeySignatureRow[]>()

  constructor(rows: readonly KeySignatureRow[]) {
    for (const row of rows) {
      const key = targetKey(row.targetUserId, row.targetKeyId)
      const list = this.#byTarget.get(key)
      if (list) list.push(row)
      else this.#byTarget.set(key, [row])
    }
  }

  /** Returns the key with these signatures besides those that it was uploaded with. */
  merge(key: JsonObject, target: { readonly userId: UserId; readonly keyId: string }): JsonObject {
    const rows = this.#byTarget.get(targetKey(target.userId, target.keyId))
    if (!rows) return key
    const signatures = new Map<string, JsonObject>(
      Object.entries(isJsonObject(key['signatures']) ? key['signatures'] : {}).map(([signer, ofSigner]) => [
        signer,
        isJsonObject(ofSigner) ? ofSigner : {},
      ]),
    )
    for (const { signerUserId, signerKeyId, signature } of rows) {
      signatures.set(signerUserId, { ...signatures.get(signerUserId), [signerKeyId]: signature })
    }
    return { ...key, signatures: Object.fromEntries(signatures) }
  }
}

function targetKey(userId: UserId, keyId: string): string {
  return `${userId} ${keyId}`
}
