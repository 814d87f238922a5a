-- Aliases, the directory of published rooms, reports, and the index of message search.

CREATE TABLE room_aliases (
  alias text PRIMARY KEY,
  room_id text NOT NULL,
  creator text NOT NULL,
  created_ts_ms bigint NOT NULL
);
CREATE INDEX room_aliases_room ON room_aliases (room_id);

-- Rooms that the directory lists.
CREATE TABLE published_rooms (
  room_id text PRIMARY KEY,
  published_by text NOT NULL,
  published_ts_ms bigint NOT NULL
);

CREATE TABLE event_reports (
  report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_ts_ms bigint NOT NULL,
  room_id text NOT NULL,
  event_id text NOT NULL,
  reporter text NOT NULL,
  reason text,
  score integer
);
CREATE INDEX event_reports_event ON event_reports (event_id);

CREATE TABLE room_reports (
  report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_ts_ms bigint NOT NULL,
  room_id text NOT NULL,
  reporter text NOT NULL,
  reason text NOT NULL
);

CREATE TABLE user_reports (
  report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_ts_ms bigint NOT NULL,
  user_id text NOT NULL,
  reporter text NOT NULL,
  reason text NOT NULL
);

-- One row for each event whose text can be found; `body` is in lower case. `key` names the place of the text in the event.
-- Redacted events have no row.
CREATE TABLE event_search (
  event_nid bigint PRIMARY KEY,
  room_nid bigint NOT NULL,
  position bigint NOT NULL,
  key text NOT NULL,
  sender text NOT NULL,
  origin_server_ts bigint NOT NULL,
  body text NOT NULL,
  document tsvector NOT NULL
);
CREATE INDEX event_search_document ON event_search USING gin (document);
CREATE INDEX event_search_room ON event_search (room_nid, position);

-- Parts of words, and writing without spaces, are found through trigrams where the extension may be had.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX event_search_body ON event_search USING gin (body gin_trgm_ops);
EXCEPTION
  WHEN insufficient_privilege OR undefined_file OR undefined_object OR feature_not_supported THEN
    RAISE NOTICE 'pg_trgm is not available: message search finds whole words and their beginnings only';
END $$;

-- Threads of a room by their newest event, and whether a thread has a newer one.
CREATE INDEX events_threads ON events (room_nid, position) WHERE relation_type = 'm.thread';
CREATE INDEX events_thread_replies ON events (room_nid, relates_to, position) WHERE relation_type = 'm.thread';
