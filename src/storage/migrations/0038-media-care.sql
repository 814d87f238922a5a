-- Link previews, what administrators do to media, and what old media are found by.

-- Previews of web pages, until they expire. The key is the SHA-256 of the URL, which may be long.
CREATE TABLE url_previews (
  url_sha256 bytea PRIMARY KEY,
  url text NOT NULL,
  preview text NOT NULL,
  fetched_ts_ms bigint NOT NULL,
  expires_ts_ms bigint NOT NULL
);
CREATE INDEX url_previews_expiry ON url_previews (expires_ts_ms);

-- The web address of a picture that a preview shows; null for uploads.
ALTER TABLE local_media ADD COLUMN url_cache text;
CREATE INDEX local_media_url_cache ON local_media (created_ts_ms) WHERE url_cache IS NOT NULL;
CREATE INDEX local_media_access ON local_media (COALESCE(last_access_ts_ms, created_ts_ms));

-- Who was put under quarantine and taken out of it, in order.
CREATE TABLE quarantine_changes (
  change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Null for our own media.
  origin text,
  media_id text NOT NULL,
  is_quarantined boolean NOT NULL
);
