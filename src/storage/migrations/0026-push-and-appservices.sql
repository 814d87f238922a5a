-- Sending pushes, and talking to application services.

-- A pusher is told of nothing from before it was set, and is left alone for a while when its gateway fails.
ALTER TABLE pushers
  ADD COLUMN from_pos bigint NOT NULL DEFAULT 0,
  ADD COLUMN failing_since_ts_ms bigint,
  ADD COLUMN retry_ms integer NOT NULL DEFAULT 0,
  ADD COLUMN retry_at_ts_ms bigint NOT NULL DEFAULT 0,
  -- The badge that the gateway was told last.
  ADD COLUMN last_badge integer;

-- What pushers have to send. Written with the cursor of whoever follows the streams; a row goes when the gateway has taken it.
CREATE TABLE push_queue (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pusher_id bigint NOT NULL REFERENCES pushers ON DELETE CASCADE,
  shard smallint NOT NULL,
  -- Of the event in the events stream; 0 and nulls where only the badge is to be told.
  position bigint NOT NULL,
  event_id text,
  room_id text,
  thread_id text NOT NULL DEFAULT '',
  is_highlight boolean NOT NULL DEFAULT false,
  queued_ts_ms bigint NOT NULL
);
CREATE INDEX push_queue_pusher ON push_queue (pusher_id, seq);
CREATE INDEX push_queue_shard ON push_queue (shard);

-- Transactions that an application service has not taken yet: sent in order, each as it stands here until it is acknowledged.
CREATE TABLE appservice_transactions (
  appservice_id text NOT NULL,
  txn_id bigint NOT NULL,
  body text NOT NULL,
  created_ts_ms bigint NOT NULL,
  PRIMARY KEY (appservice_id, txn_id)
);

-- The newest transaction id of each application service, and how its outage goes.
CREATE TABLE appservice_state (
  appservice_id text PRIMARY KEY,
  last_txn_id bigint NOT NULL DEFAULT 0,
  retry_ms integer NOT NULL DEFAULT 0,
  retry_at_ts_ms bigint NOT NULL DEFAULT 0
);

-- Rooms that application services show in the lists of their networks.
CREATE TABLE appservice_published_rooms (
  appservice_id text NOT NULL,
  network_id text NOT NULL,
  room_id text NOT NULL,
  PRIMARY KEY (appservice_id, network_id, room_id)
);
