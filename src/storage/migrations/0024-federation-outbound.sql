-- What waits to be sent to other servers.

-- Events that a destination has not got yet, by their position in the events stream; written by the router, deleted when they arrived.
CREATE TABLE destination_queue (
  destination text NOT NULL,
  position bigint NOT NULL,
  room_nid bigint NOT NULL,
  PRIMARY KEY (destination, position)
);
CREATE INDEX destination_queue_room ON destination_queue (destination, room_nid, position);

-- EDUs that must arrive: messages to devices, changes of devices and keys. Of those with the same key (not '') only the newest
-- matters to a server that was away for long.
CREATE TABLE destination_edus (
  destination text NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  edu_key text NOT NULL DEFAULT '',
  -- The EDU as it is sent.
  json text NOT NULL,
  PRIMARY KEY (destination, seq)
);
CREATE INDEX destination_edus_key ON destination_edus (destination, edu_key) WHERE edu_key <> '';

-- The transaction under way to a destination. It is repeated as it is until the destination has taken it, by whichever process.
CREATE TABLE destination_transactions (
  destination text PRIMARY KEY,
  txn_id text NOT NULL,
  created_ts_ms bigint NOT NULL,
  positions bigint[] NOT NULL,
  edu_seqs bigint[] NOT NULL,
  -- Further EDUs, a JSON array: they wait nowhere else.
  edus text NOT NULL
);

-- Member events whose telling is not as usual: other servers' that this server tells the rest of the room of, because it was asked
-- to take them in (send_join, send_leave, send_knock); and ours that another server tells of. Written before the event is appended.
CREATE TABLE event_relays (
  event_id text PRIMARY KEY,
  is_told_by_us boolean NOT NULL,
  -- The server that has it already.
  peer text NOT NULL,
  created_ts_ms bigint NOT NULL
);
CREATE INDEX event_relays_created ON event_relays (created_ts_ms);

-- What was last told of a user's devices: the number of the last update, and a digest for each device; '' stands for the user's own keys.
CREATE TABLE device_lists_told (
  user_id text PRIMARY KEY,
  stream_id bigint NOT NULL,
  digests text NOT NULL
);

-- Routing begins with what comes from now on.
INSERT INTO consumer_cursor (consumer, shard, stream, lane, pos, epoch)
VALUES ('federation_router', 0, 1, 0, stream_last_value(1), 0), ('federation_router', 0, 7, 0, stream_last_value(7), 0);
