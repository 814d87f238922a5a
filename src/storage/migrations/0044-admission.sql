-- Who may use the server: agreement to the policy, accounts that end, and how many people are active.

-- The version of the policy that its owner has agreed to.
ALTER TABLE users ADD COLUMN consent_version text, ADD COLUMN consent_ts_ms bigint;

-- Until when accounts are valid, where they must be renewed.
CREATE TABLE account_validity (
  user_id text PRIMARY KEY,
  expires_ts_ms bigint NOT NULL,
  -- The mail that asks for renewal was sent, or is not wanted.
  is_mail_sent boolean NOT NULL DEFAULT false,
  renewal_token text UNIQUE,
  -- When the token was used.
  token_used_ts_ms bigint
);
CREATE INDEX account_validity_due ON account_validity (expires_ts_ms) WHERE NOT is_mail_sent;

CREATE TABLE monthly_active_users (
  user_id text PRIMARY KEY,
  last_active_ts_ms bigint NOT NULL
);
CREATE INDEX monthly_active_users_last ON monthly_active_users (last_active_ts_ms);
