-- Events of other servers: forks, outliers, history from before what is here. Reasons: docs/decisions/0041-forks-in-storage.md.

-- Place in the room's history: (position, ordinal). Backfilled events have the position of the event whose gap they fill, and
-- negative ordinals; only events with ordinal 0 are part of the stream.
ALTER TABLE events ADD COLUMN ordinal bigint NOT NULL DEFAULT 0;
-- The prev_events that are stored here; the others are in missing_prev_events.
ALTER TABLE events ADD COLUMN prev_nids bigint[] NOT NULL DEFAULT '{}';
-- flags: 1 outlier, 2 rejected, 4 soft-failed, 8 not shown to clients (org.matrix.dummy_event).

DROP INDEX events_position;
CREATE UNIQUE INDEX events_position ON events (lane, position) WHERE ordinal = 0 AND position IS NOT NULL;
DROP INDEX events_room_position;
CREATE INDEX events_room_position ON events (room_nid, position, ordinal);
-- A redaction may come before what it redacts.
CREATE INDEX events_redacts ON events (redacts) WHERE redacts IS NOT NULL;

-- Overlays get their numbers from the sequence nids, so that the events of the same commit can name them.
ALTER TABLE state_overlays ALTER COLUMN overlay_id DROP IDENTITY;

-- A slot that was emptied at a position has a row with event_nid 0 and from_pos = to_pos there: no position is inside, but what
-- changed between two positions is complete.

-- auth_events of state events: the auth chains.
CREATE TABLE event_auth (
  event_nid bigint NOT NULL,
  auth_nid bigint NOT NULL,
  PRIMARY KEY (event_nid, auth_nid)
);
CREATE INDEX event_auth_cited ON event_auth (auth_nid, event_nid);

-- Backward extremities: prev_events that are not stored here (or only for their own sake), by the event that names them.
CREATE TABLE missing_prev_events (
  event_nid bigint NOT NULL,
  prev_id text NOT NULL,
  room_nid bigint NOT NULL,
  PRIMARY KEY (event_nid, prev_id)
);
CREATE INDEX missing_prev_events_prev ON missing_prev_events (prev_id);
CREATE INDEX missing_prev_events_room ON missing_prev_events (room_nid);

INSERT INTO event_auth (event_nid, auth_nid)
SELECT DISTINCT e.event_nid, a.event_nid
  FROM events e CROSS JOIN LATERAL json_array_elements(e.json::json -> 'auth_events') AS x(value)
  JOIN events a ON a.event_id = CASE json_typeof(x.value) WHEN 'array' THEN x.value ->> 0 ELSE x.value #>> '{}' END
 WHERE e.state_key IS NOT NULL;

UPDATE events e SET prev_nids = p.nids
  FROM (SELECT c.event_nid, array_agg(b.event_nid) AS nids
          FROM events c CROSS JOIN LATERAL json_array_elements(c.json::json -> 'prev_events') AS x(value)
          JOIN events b ON b.event_id = CASE json_typeof(x.value) WHEN 'array' THEN x.value ->> 0 ELSE x.value #>> '{}' END
         GROUP BY c.event_nid) AS p
 WHERE p.event_nid = e.event_nid;
