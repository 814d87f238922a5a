-- Federation: the keys of other servers, and how other servers have been reached lately.

-- Keys that other servers sign with, or did. `valid_until_ts_ms` is the end of what they may sign: for an old key when it was
-- retired, for one in use what its server says, but never more than seven days after it was fetched.
-- `response` is the signed answer that told of it, as we hand it on when we are asked as a notary.
CREATE TABLE server_keys (
  server_name text NOT NULL,
  key_id text NOT NULL,
  public_key text NOT NULL,
  valid_until_ts_ms bigint NOT NULL,
  is_old boolean NOT NULL,
  -- The server that told us: the key's own, or a notary.
  source text NOT NULL,
  fetched_ts_ms bigint NOT NULL,
  response text NOT NULL,
  PRIMARY KEY (server_name, key_id)
);

-- Other servers, one row for each that failed or that we send to. In back-off until retry_last_ts + retry_interval, both in
-- milliseconds and 0 when all is well. failure_ts: since when nothing succeeded.
-- The sender of a destination: the number of its next transaction; the last position of its queue that arrived; and the epoch
-- that fences off a sender that was replaced.
CREATE TABLE destinations (
  destination text PRIMARY KEY,
  retry_last_ts bigint NOT NULL DEFAULT 0,
  retry_interval bigint NOT NULL DEFAULT 0,
  failure_ts bigint,
  txn_id bigint NOT NULL DEFAULT 0,
  last_pos bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 0
);
-- Who is in back-off, for those that wake senders up.
CREATE INDEX destinations_failing ON destinations (retry_last_ts) WHERE retry_interval > 0;
