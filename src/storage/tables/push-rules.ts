import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table push_rules. Schema: migrations/0014-receipts-and-push.sql. */

const STREAM = STREAMS.push_rules.number

export interface PushRulesRow {
  readonly userId: string
  readonly rulesJson: string
  readonly position: StreamPosition
}

/** Reads the rules of those users that have some of their own. */
export async function getPushRules(tx: Queryable, userIds: readonly string[]): Promise<PushRulesRow[]> {
  return tx.query<PushRulesRow>(
    'get_push_rules',
    'SELECT user_id AS "userId", rules AS "rulesJson", position FROM push_rules WHERE user_id = ANY($1)',
    [userIds],
  )
}

/**
 * Replaces a user's rules only if they are still those at `expected` (0: there are none). Returns whether they were.
 */
export async function replacePushRules(
  tx: Queryable,
  index: number,
  row: { userId: string; rulesJson: string; expected: number },
): Promise<boolean> {
  const rows = await tx.query(
    'replace_push_rules',
    `INSERT INTO push_rules (user_id, rules, position)
     SELECT $1, $2, claimed_pos(${STREAM}, 0, $3)
      WHERE coalesce((SELECT position FROM push_rules WHERE user_id = $1), 0) = $4
     ON CONFLICT (user_id) DO UPDATE SET rules = EXCLUDED.rules, position = EXCLUDED.position WHERE push_rules.position = $4
     RETURNING 1`,
    [row.userId, row.rulesJson, index, row.expected],
  )
  return rows.length > 0
}

/** Reads whose rules changed with after < position <= upTo, in order. */
export async function getPushRulesRowsSince(
  tx: Queryable,
  range: { after: StreamPosition; upTo: StreamPosition },
): Promise<{ position: StreamPosition; userId: string }[]> {
  return tx.query(
    'get_push_rules_rows_since',
    'SELECT position, user_id AS "userId" FROM push_rules WHERE position > $1 AND position <= $2 ORDER BY position',
    [range.after, range.upTo],
  )
}
