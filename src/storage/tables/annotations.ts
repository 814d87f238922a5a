import type { Queryable } from '../database.ts'

/** Annotations among the events. Schema: migrations/0002-rooms-and-events.sql. */

const ANNOTATIONS_OF_ONE_SENDER_MAX = 200

/** Reads the JSON of the annotations that a user has put on an event and that still stand. */
export async function getAnnotationsBySender(
  tx: Queryable,
  key: { readonly roomId: string; readonly eventId: string; readonly sender: string; readonly type: string },
): Promise<string[]> {
  const rows = await tx.query<{ json: string }>(
    'get_annotations_by_sender',
    `SELECT e.json FROM events e
      WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.relates_to = $2
        AND e.relation_type = 'm.annotation'
        AND e.sender = $3 AND e.type = $4 AND e.redacted_by IS NULL AND e.flags = 0
      LIMIT $5`,
    [key.roomId, key.eventId, key.sender, key.type, ANNOTATIONS_OF_ONE_SENDER_MAX],
  )
  return rows.map((row) => row.json)
}
