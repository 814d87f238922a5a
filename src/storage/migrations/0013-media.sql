-- Media that our users uploaded, and thumbnails of them. The bytes lie on disk, under media_store_path.

CREATE TABLE local_media (
  media_id text PRIMARY KEY,
  user_id text,
  created_ts_ms bigint NOT NULL,
  -- Null while the media is created but not uploaded.
  size_bytes bigint,
  uploaded_ts_ms bigint,
  -- When an upload is refused that did not come until then; null for uploads in one step.
  unused_expires_ts_ms bigint,
  content_type text,
  upload_name text,
  sha256 bytea,
  last_access_ts_ms bigint,
  -- Only served to those with an access token.
  is_authenticated boolean NOT NULL,
  quarantined_by text,
  is_safe_from_quarantine boolean NOT NULL DEFAULT false
);
CREATE INDEX local_media_user ON local_media (user_id, created_ts_ms);
CREATE INDEX local_media_pending ON local_media (user_id) WHERE size_bytes IS NULL;
CREATE INDEX local_media_sha256 ON local_media (sha256);

CREATE TABLE local_media_thumbnails (
  media_id text NOT NULL REFERENCES local_media ON DELETE CASCADE,
  width integer NOT NULL,
  height integer NOT NULL,
  method text NOT NULL,
  is_animated boolean NOT NULL,
  content_type text NOT NULL,
  size_bytes bigint NOT NULL,
  PRIMARY KEY (media_id, width, height, method, is_animated)
);
