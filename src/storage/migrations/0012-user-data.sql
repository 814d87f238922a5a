-- What users keep for themselves and show of themselves: account data, filters, profiles, presence, the user directory.
-- JSON stands as text, because jsonb can not hold U+0000.

-- Account data; room_id is '' for what belongs to no room. A deleted item stays as a tombstone that /sync can tell of.
CREATE TABLE account_data (
  user_id text NOT NULL,
  room_id text NOT NULL DEFAULT '',
  type text NOT NULL,
  content text NOT NULL,
  is_deleted boolean NOT NULL DEFAULT false,
  position bigint NOT NULL,
  PRIMARY KEY (user_id, room_id, type)
);
CREATE INDEX account_data_user_position ON account_data (user_id, position);
CREATE INDEX account_data_position ON account_data (position);

CREATE TABLE filters (
  filter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id text NOT NULL,
  -- SHA-256 of the text: the same filter posted again gets the same id.
  digest bytea NOT NULL,
  json text NOT NULL,
  UNIQUE (user_id, digest)
);

-- One row for each profile field; value null says that the field was taken away at that position.
CREATE TABLE profile_fields (
  user_id text NOT NULL,
  name text NOT NULL,
  value text,
  position bigint NOT NULL,
  PRIMARY KEY (user_id, name)
);
CREATE INDEX profile_fields_position ON profile_fields (position);

CREATE TABLE presence (
  user_id text PRIMARY KEY,
  state text NOT NULL,
  -- JSON of the text.
  status_msg text,
  last_active_ts_ms bigint NOT NULL,
  is_currently_active boolean NOT NULL,
  position bigint NOT NULL
);
CREATE INDEX presence_position ON presence (position);

-- Who can be found by search, under the name that everybody may know. Kept by the user directory's consumer.
CREATE TABLE user_directory (
  user_id text PRIMARY KEY,
  display_name text,
  avatar_url text,
  -- Lower case, normalised: user id, a line break, display name.
  search_text text NOT NULL
);

-- Rooms whose members everyone may find: join rule public, or history readable by the world.
CREATE TABLE user_directory_public_rooms (
  room_nid bigint PRIMARY KEY
);

-- Substring search needs the trigram extension to be fast; without it the table is read through.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX user_directory_search ON user_directory USING gin (search_text gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE 'pg_trgm is not available: user search reads the whole directory';
END $$;
