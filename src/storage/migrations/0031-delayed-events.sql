-- Events that wait for their time (MSC4140). Content as JSON text: it may hold U+0000.
CREATE TABLE delayed_events (
  delay_id text PRIMARY KEY,
  user_id text NOT NULL,
  -- Who asked, and with which transaction id: the same one again is the same delayed event.
  txn_device text NOT NULL,
  txn_id text NOT NULL,
  room_id text NOT NULL,
  type text NOT NULL,
  state_key text,
  origin_server_ts_ms bigint,
  content text NOT NULL,
  delay_ms bigint NOT NULL,
  running_since_ms bigint NOT NULL,
  -- When it was sent, cancelled or refused; it is kept for a while after that.
  ended_ms bigint
);
CREATE UNIQUE INDEX delayed_events_transaction ON delayed_events (user_id, txn_device, txn_id, room_id, type) WHERE txn_id <> '';
CREATE INDEX delayed_events_due ON delayed_events ((running_since_ms + delay_ms)) WHERE ended_ms IS NULL;
CREATE INDEX delayed_events_user ON delayed_events (user_id) WHERE ended_ms IS NULL;
CREATE INDEX delayed_events_slot ON delayed_events (room_id, type, state_key) WHERE ended_ms IS NULL AND state_key IS NOT NULL;
CREATE INDEX delayed_events_ended ON delayed_events (ended_ms) WHERE ended_ms IS NOT NULL;
