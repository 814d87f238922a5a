-- Accounts, devices, tokens, and what proves who somebody is.

CREATE TABLE users (
  user_id text PRIMARY KEY,
  -- bcrypt; null for guests, deactivated accounts and those that sign in elsewhere.
  password_hash text,
  created_ts_ms bigint NOT NULL,
  is_admin boolean NOT NULL DEFAULT false,
  is_guest boolean NOT NULL DEFAULT false,
  is_deactivated boolean NOT NULL DEFAULT false,
  is_erased boolean NOT NULL DEFAULT false,
  is_locked boolean NOT NULL DEFAULT false,
  is_suspended boolean NOT NULL DEFAULT false,
  is_shadow_banned boolean NOT NULL DEFAULT false,
  -- False for accounts that an admin exempted from rate limits.
  is_rate_limited boolean NOT NULL DEFAULT true,
  user_type text,
  appservice_id text
);
-- Old accounts may differ in case only; new ones may not.
CREATE INDEX users_lower ON users (lower(user_id) text_pattern_ops);

CREATE TABLE user_threepids (
  medium text NOT NULL,
  address text NOT NULL,
  user_id text NOT NULL,
  validated_ts_ms bigint NOT NULL,
  added_ts_ms bigint NOT NULL,
  PRIMARY KEY (medium, address)
);
CREATE INDEX user_threepids_user ON user_threepids (user_id);

CREATE TABLE devices (
  user_id text NOT NULL,
  device_id text NOT NULL,
  display_name text,
  created_ts_ms bigint NOT NULL,
  last_seen_ts_ms bigint,
  last_seen_ip text,
  last_seen_user_agent text,
  PRIMARY KEY (user_id, device_id)
);

-- Tokens are stored as SHA-256: whoever reads the database can not use them.
CREATE TABLE refresh_tokens (
  refresh_token_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  token_hash bytea NOT NULL UNIQUE,
  user_id text NOT NULL,
  device_id text NOT NULL,
  -- What it was exchanged for. It stays valid until that is used.
  next_refresh_token_id bigint,
  expires_ts_ms bigint,
  -- When the login ends, however often it is refreshed.
  session_expires_ts_ms bigint
);
CREATE INDEX refresh_tokens_device ON refresh_tokens (user_id, device_id);
CREATE INDEX refresh_tokens_next ON refresh_tokens (next_refresh_token_id) WHERE next_refresh_token_id IS NOT NULL;

CREATE TABLE access_tokens (
  access_token_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  token_hash bytea NOT NULL UNIQUE,
  user_id text NOT NULL,
  device_id text,
  created_ts_ms bigint NOT NULL,
  expires_ts_ms bigint,
  -- The refresh token that was handed out with it.
  refresh_token_id bigint REFERENCES refresh_tokens ON DELETE CASCADE,
  -- Only kept for tokens with a refresh token.
  is_used boolean NOT NULL DEFAULT false,
  -- The admin who acts as the user by this token.
  puppeteer text,
  -- When its holder last proved to be the account's owner (option ui_auth.session_timeout).
  confirmed_ts_ms bigint NOT NULL
);
CREATE INDEX access_tokens_device ON access_tokens (user_id, device_id);
CREATE INDEX access_tokens_refresh ON access_tokens (refresh_token_id) WHERE refresh_token_id IS NOT NULL;

CREATE TABLE login_tokens (
  token_hash bytea PRIMARY KEY,
  user_id text NOT NULL,
  expires_ts_ms bigint NOT NULL
);
CREATE INDEX login_tokens_user ON login_tokens (user_id);
CREATE INDEX login_tokens_expires ON login_tokens (expires_ts_ms);

CREATE TABLE openid_tokens (
  token_hash bytea PRIMARY KEY,
  user_id text NOT NULL,
  expires_ts_ms bigint NOT NULL
);
CREATE INDEX openid_tokens_user ON openid_tokens (user_id);
CREATE INDEX openid_tokens_expires ON openid_tokens (expires_ts_ms);

-- From where and with what a device was used.
CREATE TABLE user_ips (
  user_id text NOT NULL,
  device_id text NOT NULL,
  ip text NOT NULL,
  user_agent text NOT NULL,
  last_seen_ts_ms bigint NOT NULL,
  PRIMARY KEY (user_id, device_id, ip, user_agent)
);
CREATE INDEX user_ips_last_seen ON user_ips (last_seen_ts_ms);

CREATE TABLE registration_tokens (
  token text PRIMARY KEY,
  uses_allowed integer,
  pending integer NOT NULL DEFAULT 0,
  completed integer NOT NULL DEFAULT 0,
  expires_ts_ms bigint
);

CREATE TABLE registration_nonces (
  nonce text PRIMARY KEY,
  expires_ts_ms bigint NOT NULL
);
CREATE INDEX registration_nonces_expires ON registration_nonces (expires_ts_ms);

-- User-interactive authentication under way. In the database, so that any process may take the next step.
CREATE TABLE ui_auth_sessions (
  session_id text PRIMARY KEY,
  created_ts_ms bigint NOT NULL,
  expires_ts_ms bigint NOT NULL,
  -- The operation that it confirms.
  method text NOT NULL,
  path text NOT NULL,
  user_id text,
  -- Stage -> what it proved.
  completed jsonb NOT NULL DEFAULT '{}',
  -- What the server remembers: the account that was made.
  notes jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ui_auth_sessions_expires ON ui_auth_sessions (expires_ts_ms);

-- Rows of the stream `caches`: what every process must forget.
CREATE TABLE cache_invalidations (
  position bigint PRIMARY KEY,
  cache text NOT NULL,
  -- Null: all of it.
  keys text[],
  created_ts_ms bigint NOT NULL
);

-- Accounts that are closed, but whose rooms and data have not all been dealt with; taken up again after a restart.
CREATE TABLE pending_deactivations (
  user_id text PRIMARY KEY,
  is_erased boolean NOT NULL
);
