-- What other servers send: transactions, events that wait for their room, invites to rooms that nobody here is in, devices of
-- other servers' users.

-- Transactions that were answered, so that one which is sent again gets the same answer.
CREATE TABLE federation_transactions (
  origin text NOT NULL,
  txn_id text NOT NULL,
  received_ts_ms bigint NOT NULL,
  response text NOT NULL,
  PRIMARY KEY (origin, txn_id)
);
CREATE INDEX federation_transactions_received ON federation_transactions (received_ts_ms);

-- Events that were acknowledged, and are checked, but are not in their room yet. The room's owner works through them in order.
CREATE TABLE federation_staging (
  staging_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  room_id text NOT NULL,
  event_id text NOT NULL,
  -- Who sent it first, and is asked for what it needs.
  origin text NOT NULL,
  received_ts_ms bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  -- Not tried before: what it needs could not be had.
  retry_ts_ms bigint NOT NULL DEFAULT 0,
  json text NOT NULL,
  UNIQUE (room_id, event_id)
);
CREATE INDEX federation_staging_room ON federation_staging (room_id, staging_id);
CREATE INDEX federation_staging_origin ON federation_staging (origin);
CREATE INDEX federation_staging_due ON federation_staging (retry_ts_ms);

-- What a user is shown of a room that nobody here is in: the stripped state that came with the invite, or as answer to the knock.
CREATE TABLE outside_room_state (
  room_nid bigint NOT NULL,
  user_id text NOT NULL,
  -- The member event with which it came.
  event_id text NOT NULL,
  state_json text NOT NULL,
  PRIMARY KEY (room_nid, user_id)
);

-- Device lists of other servers' users. stream_id: up to which update of their server it is true; a stale one is fetched anew.
CREATE TABLE remote_device_lists (
  user_id text PRIMARY KEY,
  stream_id bigint NOT NULL,
  is_stale boolean NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  retry_ts_ms bigint NOT NULL DEFAULT 0
);
CREATE INDEX remote_device_lists_stale ON remote_device_lists (retry_ts_ms) WHERE is_stale;

CREATE TABLE remote_devices (
  user_id text NOT NULL,
  device_id text NOT NULL,
  -- Null for a device without identity keys.
  keys_json text,
  -- As JSON text: it may hold U+0000.
  display_name_json text,
  PRIMARY KEY (user_id, device_id)
);

-- usage: master, self_signing.
CREATE TABLE remote_cross_signing_keys (
  user_id text NOT NULL,
  usage text NOT NULL,
  public_key text NOT NULL,
  key_json text NOT NULL,
  PRIMARY KEY (user_id, usage)
);
