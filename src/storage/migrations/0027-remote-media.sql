-- Copies of other servers' media, and thumbnails of them. The bytes lie on disk, under media_store_path; each can be fetched again.

CREATE TABLE remote_media (
  origin text NOT NULL,
  media_id text NOT NULL,
  -- The name of the file: media ids of others may be anything.
  file_id text NOT NULL,
  size_bytes bigint NOT NULL,
  content_type text NOT NULL,
  upload_name text,
  sha256 bytea NOT NULL,
  created_ts_ms bigint NOT NULL,
  last_access_ts_ms bigint NOT NULL,
  -- Only served to those with an access token.
  is_authenticated boolean NOT NULL,
  quarantined_by text,
  PRIMARY KEY (origin, media_id)
);
CREATE INDEX remote_media_access ON remote_media (last_access_ts_ms);
CREATE INDEX remote_media_sha256 ON remote_media (sha256);

CREATE TABLE remote_media_thumbnails (
  origin text NOT NULL,
  media_id text NOT NULL,
  width integer NOT NULL,
  height integer NOT NULL,
  method text NOT NULL,
  is_animated boolean NOT NULL,
  content_type text NOT NULL,
  size_bytes bigint NOT NULL,
  PRIMARY KEY (origin, media_id, width, height, method, is_animated),
  FOREIGN KEY (origin, media_id) REFERENCES remote_media ON DELETE CASCADE
);
