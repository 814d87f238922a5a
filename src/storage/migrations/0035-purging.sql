-- Deleting rooms, purging their history, blocking them. Reasons: docs/decisions/0050-purging.md.

-- Work that outlives the request and the process that began it. All JSON as text: it may hold U+0000.
CREATE TABLE scheduled_tasks (
  task_id text PRIMARY KEY,
  action text NOT NULL,
  -- scheduled, active, complete, failed, cancelled.
  status text NOT NULL,
  -- When it is to begin; later, when its status changed.
  timestamp_ms bigint NOT NULL,
  -- What it works on: a room. Of one resource one task runs at a time.
  resource_id text,
  params text NOT NULL,
  -- How far it has come, for whoever goes on with it.
  progress text NOT NULL DEFAULT '{}',
  result text,
  error text
);
CREATE INDEX scheduled_tasks_status ON scheduled_tasks (status, timestamp_ms);
CREATE INDEX scheduled_tasks_resource ON scheduled_tasks (resource_id);

-- Rooms that nobody of ours may enter, known or not.
CREATE TABLE blocked_rooms (
  room_id text PRIMARY KEY,
  user_id text NOT NULL
);

-- History up to this position was purged: it counts as read by everybody. The ordinal is the room's count of notifying events there.
ALTER TABLE room_head ADD COLUMN purged_pos bigint NOT NULL DEFAULT 0, ADD COLUMN purged_ordinal bigint NOT NULL DEFAULT 0;

CREATE INDEX events_overlay ON events (overlay_id) WHERE overlay_id IS NOT NULL;
CREATE INDEX state_overlays_room ON state_overlays (room_nid);

-- Where the events stream stood at some times by our own clock: what other servers write into events proves nothing.
CREATE TABLE stream_times (
  sampled_ts_ms bigint PRIMARY KEY,
  position bigint NOT NULL
);

-- Switches that administrators turn while the server runs.
CREATE TABLE server_switches (
  name text PRIMARY KEY,
  is_on boolean NOT NULL
);

-- A text of a state event's content, for lists of rooms; null where it is none, or one that PostgreSQL cannot hold.
CREATE FUNCTION state_text(p_json text, p_key text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN strpos(p_json, '\u0000') > 0 THEN NULL
              WHEN json_typeof(p_json::json -> 'content' -> p_key) = 'string' THEN p_json::json -> 'content' ->> p_key END
$$;
