import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** What an administrator looks at when accounts may have been made by robots; from tables users, user_threepids, user_ips, memberships. */
export interface RecentSignup {
  readonly userId: UserId
  readonly createdTsMs: number
  readonly emails: readonly string[]
  readonly ips: readonly string[]
  /** Each joined room with the current events that name and open it, as JSON. */
  readonly rooms: readonly { readonly roomId: string; readonly state: readonly string[] }[]
}

/** Reads the accounts in use that were made since a time, oldest first. Four queries, however many they are. */
export async function getRecentSignups(
  tx: Queryable,
  { sinceTsMs, isWithoutAppservices }: { readonly sinceTsMs: number; readonly isWithoutAppservices: boolean },
): Promise<RecentSignup[]> {
  const users = await tx.query<{ userId: UserId; createdTsMs: number }>(
    'get_recent_users',
    `SELECT user_id AS "userId", created_ts_ms AS "createdTsMs" FROM users
      WHERE created_ts_ms >= $1 AND NOT is_deactivated AND (appservice_id IS NULL OR NOT $2) ORDER BY created_ts_ms, user_id`,
    [sinceTsMs, isWithoutAppservices],
  )
  const ids = [users.map(({ userId }) => userId)]
  const emails = await tx.query<{ userId: string; values: string[] }>(
    'get_emails_of_users',
    `SELECT user_id AS "userId", array_agg(address ORDER BY address) AS "values" FROM user_threepids
      WHERE user_id = ANY($1) AND medium = 'email' GROUP BY user_id`,
    ids,
  )
  const ips = await tx.query<{ userId: string; values: string[] }>(
    'get_ips_of_users',
    `SELECT user_id AS "userId", array_agg(DISTINCT ip) AS "values" FROM user_ips WHERE user_id = ANY($1) GROUP BY user_id`,
    ids,
  )
  const rooms = await tx.query<{ userId: string; roomId: string; state: string[] }>(
    'get_rooms_of_users',
    `SELECT m.user_id AS "userId", r.room_id AS "roomId", ARRAY(
              SELECT e.json FROM state_slots s JOIN state_intervals i USING (slot_nid) JOIN events e USING (event_nid)
               WHERE s.type IN ('m.room.canonical_alias', 'm.room.name', 'm.room.join_rules') AND s.state_key = ''
                 AND i.room_nid = m.room_nid AND i.to_pos = 9223372036854775807) AS state
       FROM memberships m JOIN rooms r USING (room_nid) WHERE m.user_id = ANY($1) AND m.membership = 'join' ORDER BY r.room_id`,
    ids,
  )
  const emailsOf = new Map(emails.map(({ userId, values }) => [userId, values]))
  const ipsOf = new Map(ips.map(({ userId, values }) => [userId, values]))
  const roomsOf = Map.groupBy(rooms, ({ userId }) => userId)
  return users.map(({ userId, createdTsMs }) => ({
    userId,
    createdTsMs,
    emails: emailsOf.get(userId) ?? [],
    ips: ipsOf.get(userId) ?? [],
    rooms: roomsOf.get(userId) ?? [],
  }))
}
