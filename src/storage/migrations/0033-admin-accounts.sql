-- What administrators keep of accounts.

-- Names that accounts have at identity providers.
CREATE TABLE user_external_ids (
  auth_provider text NOT NULL,
  external_id text NOT NULL,
  user_id text NOT NULL,
  PRIMARY KEY (auth_provider, external_id)
);
CREATE INDEX user_external_ids_user ON user_external_ids (user_id);

-- Limits of messages that are not the usual ones; none at all where is_rate_limited is false.
ALTER TABLE users ADD COLUMN messages_per_second integer, ADD COLUMN burst_count integer;
-- Until then the user may replace the cross-signing keys without proof.
ALTER TABLE users ADD COLUMN keys_replaceable_until_ms bigint;
