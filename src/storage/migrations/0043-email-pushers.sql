-- Mails about missed messages.

-- How often a pusher of mails tells of a room.
CREATE TABLE email_throttles (
  pusher_id bigint NOT NULL REFERENCES pushers ON DELETE CASCADE,
  room_id text NOT NULL,
  last_sent_ts_ms bigint NOT NULL,
  -- How long nothing more is sent for the room alone.
  throttle_ms bigint NOT NULL,
  -- When the newest event came that was told of.
  last_queued_ts_ms bigint NOT NULL,
  PRIMARY KEY (pusher_id, room_id)
);

-- What stands in the links that stop the mails of a pusher.
CREATE TABLE email_unsubscribe_tokens (
  pusher_id bigint PRIMARY KEY REFERENCES pushers ON DELETE CASCADE,
  token text NOT NULL UNIQUE
);
