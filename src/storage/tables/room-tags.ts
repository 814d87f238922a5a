import type { Queryable } from '../database.ts'

/** Account data that speaks of rooms, of several users at once. Table account_data. Schema: migrations/0012-user-data.sql. */

/** Reads the tags that users gave a room, and the lists of direct chats that name it. */
export async function getRoomSettings(
  tx: Queryable,
  key: { readonly userIds: readonly string[]; readonly roomId: string },
): Promise<{ readonly userId: string; readonly type: 'm.tag' | 'm.direct'; readonly contentJson: string }[]> {
  return tx.query(
    'get_room_settings',
    `SELECT user_id AS "userId", type, content AS "contentJson" FROM account_data
      WHERE user_id = ANY($1) AND NOT is_deleted
        AND ((room_id = $2 AND type = 'm.tag') OR (room_id = '' AND type = 'm.direct' AND strpos(content, $2) > 0))`,
    [key.userIds, key.roomId],
  )
}
