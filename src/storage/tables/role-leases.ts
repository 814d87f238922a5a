import type { Queryable } from '../database.ts'

/** Table role_lease. Schema: migrations/0001-streams.sql. */

/** A process that holds roles. */
export interface LeaseHolder {
  readonly instance: string
  readonly boot: string
}

/** A role and the epoch in which it is held. The pair is what fences a replaced holder. */
export interface HeldEpoch {
  readonly role: string
  readonly epoch: number
}

/** A lease as the table has it. */
export interface LeaseRow extends HeldEpoch {
  readonly holder: string
  readonly boot: string
  readonly isExpired: boolean
  /** The holder's liveness lock is free. */
  readonly isHolderGone: boolean
}

/** Reads all leases, and whether their holders live. */
export async function getLeases(tx: Queryable): Promise<LeaseRow[]> {
  return tx.query(
    'get_leases',
    `WITH boots AS MATERIALIZED (SELECT boot, is_boot_gone(boot) AS is_gone FROM (SELECT DISTINCT boot FROM role_lease) AS known)
     SELECT l.role, l.holder, l.boot, l.epoch, l.expires_at <= now() AS "isExpired", b.is_gone AS "isHolderGone"
       FROM role_lease l JOIN boots b USING (boot)`,
  )
}

/** What tells cheaply whether leases have changed: each taking raises an epoch. */
export interface LeaseSummary {
  readonly count: number
  readonly epochs: number
  /** Some lease is expired or given back, or its holder's liveness lock is free. */
  readonly hasFree: boolean
}

/** Reads whether there is anything new about leases, in one row. */
export async function getLeaseSummary(tx: Queryable): Promise<LeaseSummary | undefined> {
  const rows = await tx.query<LeaseSummary>(
    'get_lease_summary',
    `WITH boots AS MATERIALIZED (
       SELECT boot, count(*) AS roles, sum(epoch) AS epochs, min(expires_at) AS expires_at FROM role_lease GROUP BY boot)
     SELECT sum(roles)::int AS count, sum(epochs)::bigint AS epochs, bool_or(expires_at <= now() OR is_boot_gone(boot)) AS "hasFree"
       FROM boots HAVING count(*) > 0`,
  )
  return rows[0]
}

/**
 * Takes those of the roles that are free: never held, expired, held under this name, or of a process that is gone.
 * Each taking raises the epoch. Returns what was taken.
 */
export async function takeLeases(
  tx: Queryable,
  holder: LeaseHolder,
  roles: readonly string[],
  ttlMs: number,
): Promise<HeldEpoch[]> {
  return tx.query(
    'take_leases',
    // In one order, or two who take the same ones could wait for each other.
    `INSERT INTO role_lease (role, holder, boot, expires_at)
     SELECT role, $1, $2::uuid, now() + $4::float8 * interval '1 ms' FROM unnest($3::text[]) AS wanted(role) ORDER BY role
     ON CONFLICT (role) DO UPDATE
       SET holder = EXCLUDED.holder, boot = EXCLUDED.boot, epoch = role_lease.epoch + 1, expires_at = EXCLUDED.expires_at
       WHERE role_lease.expires_at <= now() OR role_lease.holder = EXCLUDED.holder OR is_boot_gone(role_lease.boot)
     RETURNING role, epoch`,
    [holder.instance, holder.boot, roles, ttlMs],
  )
}

/** Prolongs leases. Returns the roles that are still held; the others have a new holder. */
export async function renewLeases(
  tx: Queryable,
  holder: LeaseHolder,
  held: readonly HeldEpoch[],
  ttlMs: number,
): Promise<string[]> {
  const rows = await tx.query<{ role: string }>(
    'renew_leases',
    `WITH mine AS (
       SELECT l.role FROM role_lease l JOIN unnest($2::text[], $3::bigint[]) AS h(role, epoch) USING (role, epoch)
        WHERE l.boot = $1 ORDER BY l.role FOR UPDATE OF l)
     UPDATE role_lease l SET expires_at = now() + $4::float8 * interval '1 ms' FROM mine WHERE l.role = mine.role RETURNING l.role`,
    [holder.boot, held.map((one) => one.role), held.map((one) => one.epoch), ttlMs],
  )
  return rows.map((row) => row.role)
}

/** Nobody's boot: a renewal that is still under way must not prolong what was given back. */
const NO_BOOT = '00000000-0000-0000-0000-000000000000'

/** Gives leases back: anybody may take them now. */
export async function releaseLeases(tx: Queryable, holder: LeaseHolder, held: readonly HeldEpoch[]): Promise<void> {
  await tx.query(
    'release_leases',
    `WITH mine AS (
       SELECT l.role FROM role_lease l JOIN unnest($2::text[], $3::bigint[]) AS h(role, epoch) USING (role, epoch)
        WHERE l.boot = $1 ORDER BY l.role FOR UPDATE OF l)
     UPDATE role_lease l SET expires_at = LEAST(expires_at, now()), boot = $4 FROM mine WHERE l.role = mine.role`,
    [holder.boot, held.map((one) => one.role), held.map((one) => one.epoch), NO_BOOT],
  )
}
