-- Receipts, push rules, what events mean for notification counts, pushers (design: sync and push, sections 3 and 4).

-- Only what differs from the default rules; users who changed nothing have no row. JSON as text: it may hold U+0000.
CREATE TABLE push_rules (
  user_id text PRIMARY KEY,
  rules text NOT NULL,
  position bigint NOT NULL
);
CREATE INDEX push_rules_position ON push_rules (position);

-- The newest receipt of each kind. thread_id is '' for unthreaded ones. A receipt never goes back to an older event.
CREATE TABLE receipts (
  room_id text NOT NULL,
  user_id text NOT NULL,
  receipt_type text NOT NULL,
  thread_id text NOT NULL DEFAULT '',
  event_id text NOT NULL,
  -- Position of the event in the events stream, and the room's count of notifying events up to it.
  event_position bigint NOT NULL,
  notify_ordinal bigint NOT NULL,
  received_ts_ms bigint NOT NULL,
  position bigint NOT NULL,
  PRIMARY KEY (room_id, user_id, receipt_type, thread_id)
);
CREATE INDEX receipts_position ON receipts (position);

-- How an event differs for a user from what his baseline says (kind 0); user_id '' stands for everybody on default rules
-- and has rows only for notifying events in threads and for those that highlight for all. Kind 1: the user's join, where
-- his counting begins. Nothing is written per member.
CREATE TABLE event_push_actions (
  user_id text NOT NULL,
  room_id text NOT NULL,
  position bigint NOT NULL,
  event_id text NOT NULL,
  thread_id text NOT NULL DEFAULT '',
  kind smallint NOT NULL,
  is_notify boolean NOT NULL,
  is_highlight boolean NOT NULL,
  is_class_notify boolean NOT NULL,
  is_class_highlight boolean NOT NULL,
  PRIMARY KEY (user_id, room_id, position)
);
CREATE INDEX event_push_actions_joins ON event_push_actions (user_id, room_id, position) WHERE kind = 1;

-- A user's own messages count as read receipts: the newest one is found by these.
CREATE INDEX events_sender ON events (room_nid, sender, position) WHERE state_key IS NULL AND thread_id IS NULL AND position IS NOT NULL;
CREATE INDEX events_thread_sender ON events (room_nid, sender, thread_id, position) WHERE thread_id IS NOT NULL AND position IS NOT NULL;

CREATE TABLE pushers (
  pusher_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id text NOT NULL,
  app_id text NOT NULL,
  pushkey text NOT NULL,
  kind text NOT NULL,
  app_display_name text NOT NULL,
  device_display_name text NOT NULL,
  profile_tag text NOT NULL,
  lang text NOT NULL,
  -- JSON as text.
  data text NOT NULL,
  -- The device whose token set it; the pusher goes with it.
  device_id text,
  created_ts_ms bigint NOT NULL,
  position bigint NOT NULL,
  UNIQUE (app_id, pushkey, user_id)
);
CREATE INDEX pushers_user ON pushers (user_id);
CREATE INDEX pushers_position ON pushers (position);
