-- Rooms, events, state intervals, memberships (design: rooms and state). Numbers inside, ids outside.

CREATE TABLE rooms (
  room_nid bigint PRIMARY KEY,
  room_id text NOT NULL UNIQUE,
  room_version text NOT NULL,
  creator text NOT NULL,
  created_ts_ms bigint NOT NULL
);

-- The room's version is compared and raised by every commit that appends to the room: two writers cost a retry, never a fork.
CREATE TABLE room_head (
  room_nid bigint PRIMARY KEY REFERENCES rooms,
  version bigint NOT NULL,
  extremities bigint[] NOT NULL,
  depth bigint NOT NULL,
  joined_count integer NOT NULL,
  invited_count integer NOT NULL,
  -- Events so far that notify under the default push rules (design: sync and push, section 3).
  notify_ordinal bigint NOT NULL DEFAULT 0,
  purge_gen integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Numbers of rooms and events, drawn in blocks of 256, so that an event costs no query for its number.
CREATE SEQUENCE nids INCREMENT BY 256;

-- Raises the versions of all rooms that a commit appends to. Raises MX002 where another writer was faster.
CREATE FUNCTION advance_room_heads(p_room_nids bigint[], p_versions bigint[], p_extremities text[], p_depths bigint[],
                                   p_joined int[], p_invited int[], p_ordinals bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE advanced int;
BEGIN
  UPDATE room_head h
     SET version = h.version + 1, extremities = n.extremities::bigint[], depth = n.depth, joined_count = n.joined,
         invited_count = n.invited, notify_ordinal = n.ordinal
    FROM unnest(p_room_nids, p_versions, p_extremities, p_depths, p_joined, p_invited, p_ordinals)
         AS n(room_nid, version, extremities, depth, joined, invited, ordinal)
   WHERE h.room_nid = n.room_nid AND h.version = n.version;
  GET DIAGNOSTICS advanced = ROW_COUNT;
  IF advanced <> array_length(p_room_nids, 1) THEN
    RAISE EXCEPTION 'room head moved' USING ERRCODE = 'MX002';
  END IF;
END $$;

CREATE TABLE events (
  event_nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  event_id text NOT NULL UNIQUE,
  lane smallint NOT NULL,
  -- Null for events that are known but not part of the room's timeline here (rejected, fetched for their own sake).
  position bigint,
  depth bigint NOT NULL,
  type text NOT NULL,
  state_key text,
  sender text NOT NULL,
  origin_server_ts bigint NOT NULL,
  relation_type text,
  relates_to text,
  redacts text,
  -- The redaction that took effect on this event.
  redacted_by text,
  -- State before the event: the room's state as of base_pos, with the overlay's slots instead where there is one.
  base_pos bigint NOT NULL,
  overlay_id bigint,
  -- 1 outlier, 2 rejected, 4 soft-failed.
  flags smallint NOT NULL DEFAULT 0,
  notify_ordinal bigint NOT NULL DEFAULT 0,
  thread_id text,
  -- The state event that this one took the slot from.
  replaces_nid bigint,
  -- Which device sent it with which transaction id; scope tells the endpoint (event type, or redaction target).
  txn_device text,
  txn_id text,
  txn_scope text,
  json text NOT NULL
);
CREATE UNIQUE INDEX events_position ON events (lane, position) WHERE position IS NOT NULL;
CREATE INDEX events_room_position ON events (room_nid, position);
CREATE INDEX events_room_ts ON events (room_nid, origin_server_ts);
CREATE INDEX events_relates_to ON events (room_nid, relates_to, relation_type) WHERE relates_to IS NOT NULL;
CREATE UNIQUE INDEX events_txn ON events (sender, txn_device, txn_id, txn_scope, room_nid) WHERE txn_id IS NOT NULL;

CREATE TABLE state_slots (
  slot_nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type text NOT NULL,
  state_key text NOT NULL,
  UNIQUE (type, state_key)
);

-- The slot held the event for all positions p with from_pos <= p < to_pos; to_pos is the largest bigint while it still does.
CREATE TABLE state_intervals (
  room_nid bigint NOT NULL,
  slot_nid bigint NOT NULL,
  event_nid bigint NOT NULL,
  from_pos bigint NOT NULL,
  to_pos bigint NOT NULL DEFAULT 9223372036854775807,
  PRIMARY KEY (room_nid, slot_nid, from_pos)
);
CREATE UNIQUE INDEX state_intervals_current ON state_intervals (room_nid, slot_nid) WHERE to_pos = 9223372036854775807;
CREATE INDEX state_intervals_from ON state_intervals (room_nid, from_pos);

CREATE TABLE state_overlays (
  overlay_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  room_nid bigint NOT NULL,
  slot_nids bigint[] NOT NULL,
  event_nids bigint[] NOT NULL
);

-- Derived from the state in the same transaction: a user's place in a room, without looking at the state.
CREATE TABLE memberships (
  room_nid bigint NOT NULL,
  user_id text NOT NULL,
  membership text NOT NULL,
  event_id text NOT NULL,
  position bigint NOT NULL,
  sender text NOT NULL,
  is_forgotten boolean NOT NULL DEFAULT false,
  PRIMARY KEY (room_nid, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id, membership);
