-- The processes of this server (replication design, section 3). Only the database's clock decides who lives.

CREATE TABLE member (
  instance text PRIMARY KEY,
  boot uuid NOT NULL,
  url text,
  roles text[] NOT NULL,
  version text NOT NULL,
  schema int NOT NULL,
  config_hash text NOT NULL,
  is_draining boolean NOT NULL DEFAULT false,
  started_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);

-- Key of the session advisory lock that a process holds for as long as it lives.
CREATE FUNCTION liveness_key(p_boot uuid) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT (('x' || left(hex, 16))::bit(64) # ('x' || right(hex, 16))::bit(64))::bigint FROM replace(p_boot::text, '-', '') AS hex
$$;

-- Tells whether the process of that boot is gone. Shared, so that two who ask at once do not take each other for the process;
-- let go of at the end of the asking statement's transaction.
CREATE FUNCTION is_boot_gone(p_boot uuid) RETURNS boolean LANGUAGE sql VOLATILE STRICT AS $$
  SELECT pg_try_advisory_xact_lock_shared(liveness_key(p_boot))
$$;
