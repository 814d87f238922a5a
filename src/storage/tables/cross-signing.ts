import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables cross_signing_keys and key_signatures. Schema: migrations/0011-encryption.sql. */

export type CrossSigningUsage = 'master' | 'self_signing' | 'user_signing'

export interface CrossSigningKeyRow {
  readonly userId: UserId
  readonly usage: CrossSigningUsage
  /** Unpadded base64. */
  readonly publicKey: string
  readonly keyJson: string
}

export interface KeySignatureRow {
  readonly targetUserId: UserId
  /** A device id, or the public key of a master key. */
  readonly targetKeyId: string
  readonly signerUserId: UserId
  /** With its algorithm: `ed25519:…`. */
  readonly signerKeyId: string
  readonly signature: string
}

/** Stores cross-signing keys over those with the same usage. */
export async function upsertCrossSigningKeys(tx: Queryable, keys: readonly CrossSigningKeyRow[]): Promise<void> {
  await tx.query(
    'upsert_cross_signing_keys',
    `INSERT INTO cross_signing_keys (user_id, usage, public_key, key_json) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
     ON CONFLICT (user_id, usage) DO UPDATE SET public_key = EXCLUDED.public_key, key_json = EXCLUDED.key_json`,
    [
      keys.map((key) => key.userId),
      keys.map((key) => key.usage),
      keys.map((key) => key.publicKey),
      keys.map((key) => key.keyJson),
    ],
  )
}

/** Reads the cross-signing keys of the users. */
export async function getCrossSigningKeys(tx: Queryable, userIds: readonly UserId[]): Promise<CrossSigningKeyRow[]> {
  return tx.query<CrossSigningKeyRow>(
    'get_cross_signing_keys',
    `SELECT user_id AS "userId", usage, public_key AS "publicKey", key_json AS "keyJson" FROM cross_signing_keys WHERE user_id = ANY($1)`,
    [userIds],
  )
}

/** Stores signatures over those by the same key on the same target. */
export async function upsertKeySignatures(tx: Queryable, signatures: readonly KeySignatureRow[]): Promise<void> {
  await tx.query(
    'upsert_key_signatures',
    `INSERT INTO key_signatures (target_user_id, target_key_id, signer_user_id, signer_key_id, signature)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
     ON CONFLICT (target_user_id, target_key_id, signer_user_id, signer_key_id) DO UPDATE SET signature = EXCLUDED.signature`,
    [
      signatures.map((row) => row.targetUserId),
      signatures.map((row) => row.targetKeyId),
      signatures.map((row) => row.signerUserId),
      signatures.map((row) => row.signerKeyId),
      signatures.map((row) => row.signature),
    ],
  )
}

/** Reads the signatures on the users' keys that the viewer may see: those by their owners, and the viewer's own if there is one. */
export async function getKeySignatures(
  tx: Queryable,
  userIds: readonly UserId[],
  viewerId: UserId | undefined,
): Promise<KeySignatureRow[]> {
  return tx.query<KeySignatureRow>(
    'get_key_signatures',
    `SELECT target_user_id AS "targetUserId", target_key_id AS "targetKeyId", signer_user_id AS "signerUserId",
            signer_key_id AS "signerKeyId", signature
       FROM key_signatures WHERE target_user_id = ANY($1) AND (signer_user_id = target_user_id OR signer_user_id = $2)`,
    [userIds, viewerId ?? null],
  )
}
