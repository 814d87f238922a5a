import type { UserId } from '../../protocol/ids.ts'
import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table device_list_changes. Schema: migrations/0011-encryption.sql. */

/** Whose keys changed, and who is told: everyone who shares a room (undefined), or one user. */
export interface DeviceListChange {
  readonly userId: UserId
  readonly viewerId: UserId | undefined
}

/** Moves the users' newest change to the positions that the transaction claimed, one each from `firstIndex` on. */
export async function upsertDeviceListChanges(
  tx: Queryable,
  firstIndex: number,
  changes: readonly DeviceListChange[],
): Promise<void> {
  await tx.query(
    'upsert_device_list_changes',
    `INSERT INTO device_list_changes (user_id, viewer_id, position)
     SELECT c.user_id, c.viewer_id, claimed_pos($1, 0, $2 + c.ordinal::int - 1)
       FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS c (user_id, viewer_id, ordinal)
     ON CONFLICT (user_id, viewer_id) DO UPDATE SET position = EXCLUDED.position`,
    [
      STREAMS.device_lists.number,
      firstIndex,
      changes.map((change) => change.userId),
      changes.map((change) => change.viewerId ?? ''),
    ],
  )
}

/**
 * Reads what changed with `after < position <= upTo`, in order. An older change of the same user has given way to the newer one.
 */
export async function getDeviceListChanges(
  tx: Queryable,
  after: StreamPosition,
  upTo: StreamPosition,
): Promise<{ position: StreamPosition; userId: UserId; viewerId: UserId | undefined }[]> {
  const rows = await tx.query<{ position: StreamPosition; userId: UserId; viewerId: UserId | '' }>(
    'get_device_list_changes',
    `SELECT position, user_id AS "userId", viewer_id AS "viewerId" FROM device_list_changes
      WHERE position > $1 AND position <= $2 ORDER BY position`,
    [after, upTo],
  )
  return rows.map((row) => ({ ...row, viewerId: row.viewerId === '' ? undefined : row.viewerId }))
}

/** Reads the position of the user's newest change that everyone is told of; 0 where there was none. */
export async function getDeviceListPosition(tx: Queryable, userId: UserId): Promise<StreamPosition> {
  const [row] = await tx.query<{ position: StreamPosition }>(
    'get_device_list_position',
    `SELECT position FROM device_list_changes WHERE user_id = $1 AND viewer_id = ''`,
    [userId],
  )
  return row?.position ?? (0 as StreamPosition)
}

/** Finds which of the users changed after the position, as far as the viewer is told. */
export async function getChangedUsers(
  tx: Queryable,
  after: StreamPosition,
  userIds: readonly UserId[],
  viewerId: UserId,
): Promise<UserId[]> {
  const rows = await tx.query<{ userId: UserId }>(
    'get_changed_users',
    `SELECT DISTINCT user_id AS "userId" FROM device_list_changes
      WHERE position > $1 AND ((viewer_id = '' AND user_id = ANY($2)) OR viewer_id = $3)`,
    [after, userIds, viewerId],
  )
  return rows.map((row) => row.userId)
}

/**
 * Finds who came into and who went out of rooms that the user is in, after the position of the events stream; and the people of
 * rooms
 * that the user came into or went out of. A change of a member's name counts as coming: the answer may hold more than it must.
 */
export async function getSharingChanges(
  tx: Queryable,
  userId: UserId,
  after: StreamPosition,
): Promise<{ userId: UserId; hasCome: boolean }[]> {
  return tx.query(
    'get_sharing_changes',
    `SELECT DISTINCT m.user_id AS "userId", (mine.membership = 'join' AND m.membership = 'join') AS "hasCome"
       FROM memberships mine JOIN memberships m USING (room_nid)
      WHERE mine.user_id = $1 AND m.user_id <> $1
        AND ((mine.membership = 'join' AND (m.position > $2 OR mine.position > $2) AND m.membership IN ('join', 'leave', 'ban'))
          OR (mine.membership IN ('leave', 'ban') AND mine.position > $2 AND (m.membership = 'join' OR m.position > $2)))`,
    [userId, after],
  )
}

/** Reads the newest changes, newest first. */
export async function getNewestDeviceListChanges(
  tx: Queryable,
  page: { readonly upTo: StreamPosition; readonly limit: number },
): Promise<{ position: StreamPosition; userId: UserId; viewerId: UserId | undefined }[]> {
  const rows = await tx.query<{ position: StreamPosition; userId: UserId; viewerId: UserId | '' }>(
    'get_newest_device_list_changes',
    `SELECT position, user_id AS "userId", viewer_id AS "viewerId" FROM device_list_changes WHERE position <= $1 ORDER BY position DESC LIMIT $2`,
    [page.upTo, page.limit],
  )
  return rows.map((row) => ({ ...row, viewerId: row.viewerId === '' ? undefined : row.viewerId }))
}
