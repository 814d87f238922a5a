import type { ServerName } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table server_keys. Schema: migrations/0021-federation.sql. */

/** A key of another server, as stored. */
export interface ServerKeyRow {
  readonly serverName: ServerName
  readonly keyId: string
  /** Unpadded base64. */
  readonly publicKey: string
  /** The end of what it may sign. */
  readonly validUntilTsMs: number
  /** Its server does not sign with it any more. */
  readonly isOld: boolean
  readonly source: ServerName
  readonly fetchedTsMs: number
  /** The signed answer that told of it, JSON. */
  readonly response: string
}

/** A row without what only notaries need. */
export type StoredServerKey = Pick<ServerKeyRow, 'serverName' | 'keyId' | 'publicKey' | 'validUntilTsMs' | 'isOld'>

/** Reads keys by pairs of server and key id. */
export async function getServerKeys(
  tx: Queryable,
  wanted: { readonly serverNames: readonly ServerName[]; readonly keyIds: readonly string[] },
): Promise<readonly StoredServerKey[]> {
  return tx.query<StoredServerKey>(
    'get_server_keys',
    `SELECT k.server_name AS "serverName", k.key_id AS "keyId", k.public_key AS "publicKey",
            k.valid_until_ts_ms AS "validUntilTsMs", k.is_old AS "isOld"
       FROM unnest($1::text[], $2::text[]) AS w (server_name, key_id) JOIN server_keys k USING (server_name, key_id)`,
    [wanted.serverNames, wanted.keyIds],
  )
}

/** Reads the answers that told of a server's keys, the newest first, with the time that they are valid until. */
export async function getServerKeyResponses(
  tx: Queryable,
  serverNames: readonly ServerName[],
): Promise<readonly Pick<ServerKeyRow, 'serverName' | 'keyId' | 'validUntilTsMs' | 'isOld' | 'fetchedTsMs' | 'response'>[]> {
  return tx.query(
    'get_server_key_responses',
    `SELECT server_name AS "serverName", key_id AS "keyId", valid_until_ts_ms AS "validUntilTsMs", is_old AS "isOld",
            fetched_ts_ms AS "fetchedTsMs", response
       FROM server_keys WHERE server_name = ANY ($1::text[]) ORDER BY fetched_ts_ms DESC, key_id`,
    [serverNames],
  )
}

/**
 * Stores keys. What a server says of itself replaces everything; what a notary says never revives a key that was retired, nor
 * shortens the validity of one in use, since its answer may be older than ours.
 */
export async function upsertServerKeys(tx: Queryable, keys: readonly ServerKeyRow[]): Promise<void> {
  await tx.query(
    'upsert_server_keys',
    `INSERT INTO server_keys AS k
       (server_name, key_id, public_key, valid_until_ts_ms, is_old, source, fetched_ts_ms, response)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::text[], $7::bigint[], $8::text[])
     ON CONFLICT (server_name, key_id) DO UPDATE
       SET public_key = EXCLUDED.public_key, valid_until_ts_ms = EXCLUDED.valid_until_ts_ms, is_old = EXCLUDED.is_old,
           source = EXCLUDED.source, fetched_ts_ms = EXCLUDED.fetched_ts_ms, response = EXCLUDED.response
       WHERE EXCLUDED.source = EXCLUDED.server_name
          OR (k.is_old <= EXCLUDED.is_old AND (EXCLUDED.is_old OR k.valid_until_ts_ms <= EXCLUDED.valid_until_ts_ms))`,
    [
      keys.map((key) => key.serverName),
      keys.map((key) => key.keyId),
      keys.map((key) => key.publicKey),
      keys.map((key) => key.validUntilTsMs),
      keys.map((key) => key.isOld),
      keys.map((key) => key.source),
      keys.map((key) => key.fetchedTsMs),
      keys.map((key) => key.response),
    ],
  )
}
