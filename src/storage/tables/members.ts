import type { Queryable } from '../database.ts'

/** Table member. Schema: migrations/0020-members.sql. */

/** What a process tells the others of itself. */
export interface MemberRecord {
  readonly instance: string
  /** A UUID drawn at its start. */
  readonly boot: string
  /** Where its replication listener is: `http://host:port`, `https://host:port` or `unix:/path`. */
  readonly url: string | undefined
  readonly roles: readonly string[]
  readonly version: string
  readonly schema: number
  readonly configHash: string
}

/** A member as the table has it. */
export interface MemberRow extends Omit<MemberRecord, 'url'> {
  readonly url: string | null
  readonly isDraining: boolean
  /** How long it counts as alive without another sign; 0 or less when it is dead. By the database's clock. */
  readonly leftMs: number
}

/**
 * Writes the row of a process that starts, in the place of a dead one of its name. Does nothing and returns when the other one
 * started if that one lives (its liveness lock is held). `tx` must be a transaction.
 */
export async function registerMember(tx: Queryable, member: MemberRecord, ttlMs: number): Promise<Date | undefined> {
  // Of two that start together under one name, the second one must see the first one's row.
  await tx.query('lock_member_name', `SELECT pg_advisory_xact_lock(hashtextextended('member ' || $1, 0))`, [member.instance])
  const [rival] = await tx.query<{ startedAt: Date }>(
    'get_living_rival',
    `SELECT started_at AS "startedAt" FROM member WHERE instance = $1 AND boot <> $2 AND NOT is_boot_gone(boot)`,
    [member.instance, member.boot],
  )
  if (rival) return rival.startedAt
  await tx.query(
    'upsert_member',
    `INSERT INTO member (instance, boot, url, roles, version, schema, config_hash, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::float8 * interval '1 ms')
     ON CONFLICT (instance) DO UPDATE
       SET boot = EXCLUDED.boot, url = EXCLUDED.url, roles = EXCLUDED.roles, version = EXCLUDED.version, schema = EXCLUDED.schema,
           config_hash = EXCLUDED.config_hash, expires_at = EXCLUDED.expires_at,
           is_draining = member.is_draining AND member.boot = EXCLUDED.boot,
           started_at = CASE WHEN member.boot = EXCLUDED.boot THEN member.started_at ELSE now() END`,
    [member.instance, member.boot, member.url ?? null, member.roles, member.version, member.schema, member.configHash, ttlMs],
  )
  return undefined
}

/** Prolongs a member's life. False when the row is gone or belongs to another boot. */
export async function prolongMember(
  tx: Queryable,
  member: { readonly instance: string; readonly boot: string },
  ttlMs: number,
): Promise<boolean> {
  const rows = await tx.query(
    'prolong_member',
    `UPDATE member SET expires_at = now() + $3::float8 * interval '1 ms' WHERE instance = $1 AND boot = $2 RETURNING 1`,
    [member.instance, member.boot, ttlMs],
  )
  return rows.length > 0
}

/** Reads all members, dead ones too. */
export async function getMembers(tx: Queryable): Promise<MemberRow[]> {
  return tx.query(
    'get_members',
    `SELECT instance, boot, url, roles, version, schema, config_hash AS "configHash", is_draining AS "isDraining",
            (extract(epoch FROM expires_at - now()) * 1000)::float8 AS "leftMs"
       FROM member ORDER BY instance`,
  )
}

/** Ends a member's life if its process is gone (its liveness lock is free). False when it lives, or was replaced. */
export async function markMemberDead(
  tx: Queryable,
  member: { readonly instance: string; readonly boot: string },
): Promise<boolean> {
  const rows = await tx.query(
    'mark_member_dead',
    `UPDATE member SET expires_at = LEAST(expires_at, now()) WHERE instance = $1 AND boot = $2 AND is_boot_gone(boot) RETURNING 1`,
    [member.instance, member.boot],
  )
  return rows.length > 0
}

/** Tells the others to give this member no new work. */
export async function setMemberDraining(
  tx: Queryable,
  member: { readonly instance: string; readonly boot: string },
): Promise<void> {
  await tx.query('set_member_draining', `UPDATE member SET is_draining = true WHERE instance = $1 AND boot = $2`, [
    member.instance,
    member.boot,
  ])
}

/** Removes the row of a process that ends. */
export async function deleteMember(tx: Queryable, member: { readonly instance: string; readonly boot: string }): Promise<void> {
  await tx.query('delete_member', `DELETE FROM member WHERE instance = $1 AND boot = $2`, [member.instance, member.boot])
}
