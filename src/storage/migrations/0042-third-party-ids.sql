-- Verifying e-mail addresses, and where addresses of accounts are known.

-- An address that somebody has to prove to own. In the database, so that any process may take the next step.
CREATE TABLE threepid_sessions (
  session_id text PRIMARY KEY,
  medium text NOT NULL,
  address text NOT NULL,
  client_secret text NOT NULL,
  -- What a proof is good for: registration, password_reset, add_threepid.
  purpose text NOT NULL,
  last_send_attempt bigint NOT NULL DEFAULT -1,
  validated_ts_ms bigint,
  expires_ts_ms bigint NOT NULL
);
CREATE UNIQUE INDEX threepid_sessions_open ON threepid_sessions (medium, address, client_secret, purpose)
  WHERE validated_ts_ms IS NULL;
CREATE INDEX threepid_sessions_expires ON threepid_sessions (expires_ts_ms);

-- What stands in the links of mails; stored as SHA-256.
CREATE TABLE threepid_tokens (
  token_hash bytea PRIMARY KEY,
  session_id text NOT NULL REFERENCES threepid_sessions ON DELETE CASCADE,
  -- Where the browser goes afterwards.
  next_link text,
  expires_ts_ms bigint NOT NULL
);
CREATE INDEX threepid_tokens_session ON threepid_tokens (session_id);

-- Identity servers that know an address of an account.
CREATE TABLE threepid_bindings (
  user_id text NOT NULL,
  medium text NOT NULL,
  address text NOT NULL,
  id_server text NOT NULL,
  PRIMARY KEY (user_id, medium, address, id_server)
);
