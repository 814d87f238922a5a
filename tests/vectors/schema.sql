CREATE TABLE access_tokens (
  access_token_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  token_hash bytea NOT NULL,
  user_id text NOT NULL,
  device_id text,
  created_ts_ms bigint NOT NULL,
  expires_ts_ms bigint,
  refresh_token_id bigint,
  is_used boolean NOT NULL DEFAULT false,
  puppeteer text,
  confirmed_ts_ms bigint NOT NULL
);

CREATE TABLE account_data (
  user_id text NOT NULL,
  room_id text NOT NULL DEFAULT ''::text,
  type text NOT NULL,
  content text NOT NULL,
  is_deleted boolean NOT NULL DEFAULT false,
  position bigint NOT NULL
);

CREATE TABLE account_validity (
  user_id text NOT NULL,
  expires_ts_ms bigint NOT NULL,
  is_mail_sent boolean NOT NULL DEFAULT false,
  renewal_token text,
  token_used_ts_ms bigint
);

CREATE TABLE appservice_published_rooms (
  appservice_id text NOT NULL,
  network_id text NOT NULL,
  room_id text NOT NULL
);

CREATE TABLE appservice_state (
  appservice_id text NOT NULL,
  last_txn_id bigint NOT NULL DEFAULT 0,
  retry_ms integer NOT NULL DEFAULT 0,
  retry_at_ts_ms bigint NOT NULL DEFAULT 0
);

CREATE TABLE appservice_transactions (
  appservice_id text NOT NULL,
  txn_id bigint NOT NULL,
  body text NOT NULL,
  created_ts_ms bigint NOT NULL
);

CREATE TABLE blocked_rooms (
  room_id text NOT NULL,
  user_id text NOT NULL
);

CREATE TABLE cache_invalidations (
  position bigint NOT NULL,
  cache text NOT NULL,
  keys text[],
  created_ts_ms bigint NOT NULL
);

CREATE TABLE consumer_cursor (
  consumer text NOT NULL,
  shard smallint NOT NULL,
  stream smallint NOT NULL,
  lane smallint NOT NULL,
  pos bigint NOT NULL,
  epoch bigint NOT NULL
);

CREATE TABLE cross_signing_keys (
  user_id text NOT NULL,
  usage text NOT NULL,
  public_key text NOT NULL,
  key_json text NOT NULL
);

CREATE TABLE dehydrated_devices (
  user_id text NOT NULL,
  device_id text NOT NULL,
  device_data text NOT NULL
);

CREATE TABLE delayed_events (
  delay_id text NOT NULL,
  user_id text NOT NULL,
  txn_device text NOT NULL,
  txn_id text NOT NULL,
  room_id text NOT NULL,
  type text NOT NULL,
  state_key text,
  origin_server_ts_ms bigint,
  content text NOT NULL,
  delay_ms bigint NOT NULL,
  running_since_ms bigint NOT NULL,
  ended_ms bigint
);

CREATE TABLE destination_edus (
  destination text NOT NULL,
  seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  edu_key text NOT NULL DEFAULT ''::text,
  json text NOT NULL
);

CREATE TABLE destination_queue (
  destination text NOT NULL,
  position bigint NOT NULL,
  room_nid bigint NOT NULL
);

CREATE TABLE destination_transactions (
  destination text NOT NULL,
  txn_id text NOT NULL,
  created_ts_ms bigint NOT NULL,
  positions bigint[] NOT NULL,
  edu_seqs bigint[] NOT NULL,
  edus text NOT NULL
);

CREATE TABLE destinations (
  destination text NOT NULL,
  retry_last_ts bigint NOT NULL DEFAULT 0,
  retry_interval bigint NOT NULL DEFAULT 0,
  failure_ts bigint,
  txn_id bigint NOT NULL DEFAULT 0,
  last_pos bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 0
);

CREATE TABLE device_inbox (
  user_id text NOT NULL,
  device_id text NOT NULL,
  position bigint NOT NULL,
  message_json text NOT NULL
);

CREATE TABLE device_keys (
  user_id text NOT NULL,
  device_id text NOT NULL,
  keys_json text NOT NULL
);

CREATE TABLE device_list_changes (
  user_id text NOT NULL,
  viewer_id text NOT NULL DEFAULT ''::text,
  position bigint NOT NULL
);

CREATE TABLE device_lists_told (
  user_id text NOT NULL,
  stream_id bigint NOT NULL,
  digests text NOT NULL
);

CREATE TABLE devices (
  user_id text NOT NULL,
  device_id text NOT NULL,
  display_name text,
  created_ts_ms bigint NOT NULL,
  last_seen_ts_ms bigint,
  last_seen_ip text,
  last_seen_user_agent text
);

CREATE TABLE email_throttles (
  pusher_id bigint NOT NULL,
  room_id text NOT NULL,
  last_sent_ts_ms bigint NOT NULL,
  throttle_ms bigint NOT NULL,
  last_queued_ts_ms bigint NOT NULL
);

CREATE TABLE email_unsubscribe_tokens (
  pusher_id bigint NOT NULL,
  token text NOT NULL
);

CREATE TABLE event_auth (
  event_nid bigint NOT NULL,
  auth_nid bigint NOT NULL
);

CREATE TABLE event_push_actions (
  user_id text NOT NULL,
  room_id text NOT NULL,
  position bigint NOT NULL,
  event_id text NOT NULL,
  thread_id text NOT NULL DEFAULT ''::text,
  kind smallint NOT NULL,
  is_notify boolean NOT NULL,
  is_highlight boolean NOT NULL,
  is_class_notify boolean NOT NULL,
  is_class_highlight boolean NOT NULL
);

CREATE TABLE event_relays (
  event_id text NOT NULL,
  is_told_by_us boolean NOT NULL,
  peer text NOT NULL,
  created_ts_ms bigint NOT NULL
);

CREATE TABLE event_reports (
  report_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  received_ts_ms bigint NOT NULL,
  room_id text NOT NULL,
  event_id text NOT NULL,
  reporter text NOT NULL,
  reason text,
  score integer
);

CREATE TABLE event_search (
  event_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  position bigint NOT NULL,
  key text NOT NULL,
  sender text NOT NULL,
  origin_server_ts bigint NOT NULL,
  body text NOT NULL,
  document tsvector NOT NULL
);

CREATE TABLE events (
  event_nid bigint NOT NULL,
  room_nid bigint NOT NULL,
  event_id text NOT NULL,
  lane smallint NOT NULL,
  position bigint,
  depth bigint NOT NULL,
  type text NOT NULL,
  state_key text,
  sender text NOT NULL,
  origin_server_ts bigint NOT NULL,
  relation_type text,
  relates_to text,
  redacts text,
  redacted_by text,
  base_pos bigint NOT NULL,
  overlay_id bigint,
  flags smallint NOT NULL DEFAULT 0,
  notify_ordinal bigint NOT NULL DEFAULT 0,
  thread_id text,
  replaces_nid bigint,
  txn_device text,
  txn_id text,
  txn_scope text,
  json text NOT NULL,
  ordinal bigint NOT NULL DEFAULT 0,
  prev_nids bigint[] NOT NULL DEFAULT '{}'::bigint[]
);

CREATE TABLE fallback_keys (
  user_id text NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  key_json text NOT NULL,
  is_used boolean NOT NULL DEFAULT false
);

CREATE TABLE federation_staging (
  staging_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  room_id text NOT NULL,
  event_id text NOT NULL,
  origin text NOT NULL,
  received_ts_ms bigint NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  retry_ts_ms bigint NOT NULL DEFAULT 0,
  json text NOT NULL
);

CREATE TABLE federation_transactions (
  origin text NOT NULL,
  txn_id text NOT NULL,
  received_ts_ms bigint NOT NULL,
  response text NOT NULL
);

CREATE TABLE filters (
  filter_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  user_id text NOT NULL,
  digest bytea NOT NULL,
  json text NOT NULL
);

CREATE TABLE key_backup_sessions (
  user_id text NOT NULL,
  version bigint NOT NULL,
  room_id text NOT NULL,
  session_id text NOT NULL,
  is_verified boolean NOT NULL,
  first_message_index bigint NOT NULL,
  forwarded_count bigint NOT NULL,
  session_data text NOT NULL
);

CREATE TABLE key_backups (
  user_id text NOT NULL,
  version bigint NOT NULL,
  algorithm text NOT NULL,
  auth_data text NOT NULL,
  etag bigint NOT NULL DEFAULT 0,
  session_count bigint NOT NULL DEFAULT 0,
  is_deleted boolean NOT NULL DEFAULT false
);

CREATE TABLE key_signatures (
  target_user_id text NOT NULL,
  target_key_id text NOT NULL,
  signer_user_id text NOT NULL,
  signer_key_id text NOT NULL,
  signature text NOT NULL
);

CREATE TABLE local_media (
  media_id text NOT NULL,
  user_id text,
  created_ts_ms bigint NOT NULL,
  size_bytes bigint,
  uploaded_ts_ms bigint,
  unused_expires_ts_ms bigint,
  content_type text,
  upload_name text,
  sha256 bytea,
  last_access_ts_ms bigint,
  is_authenticated boolean NOT NULL,
  quarantined_by text,
  is_safe_from_quarantine boolean NOT NULL DEFAULT false,
  url_cache text
);

CREATE TABLE local_media_thumbnails (
  media_id text NOT NULL,
  width integer NOT NULL,
  height integer NOT NULL,
  method text NOT NULL,
  is_animated boolean NOT NULL,
  content_type text NOT NULL,
  size_bytes bigint NOT NULL
);

CREATE TABLE login_tokens (
  token_hash bytea NOT NULL,
  user_id text NOT NULL,
  expires_ts_ms bigint NOT NULL
);

CREATE TABLE member (
  instance text NOT NULL,
  boot uuid NOT NULL,
  url text,
  roles text[] NOT NULL,
  version text NOT NULL,
  schema integer NOT NULL,
  config_hash text NOT NULL,
  is_draining boolean NOT NULL DEFAULT false,
  started_at timestamp with time zone NOT NULL DEFAULT now(),
  expires_at timestamp with time zone NOT NULL
);

CREATE TABLE memberships (
  room_nid bigint NOT NULL,
  user_id text NOT NULL,
  membership text NOT NULL,
  event_id text NOT NULL,
  position bigint NOT NULL,
  sender text NOT NULL,
  is_forgotten boolean NOT NULL DEFAULT false
);

CREATE TABLE missing_prev_events (
  event_nid bigint NOT NULL,
  prev_id text NOT NULL,
  room_nid bigint NOT NULL
);

CREATE TABLE monthly_active_users (
  user_id text NOT NULL,
  last_active_ts_ms bigint NOT NULL
);

CREATE TABLE one_time_keys (
  user_id text NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  upload bigint NOT NULL,
  fingerprint bytea NOT NULL,
  key_json text NOT NULL,
  claimed_ts_ms bigint
);

CREATE TABLE openid_tokens (
  token_hash bytea NOT NULL,
  user_id text NOT NULL,
  expires_ts_ms bigint NOT NULL
);

CREATE TABLE outside_room_state (
  room_nid bigint NOT NULL,
  user_id text NOT NULL,
  event_id text NOT NULL,
  state_json text NOT NULL
);

CREATE TABLE pending_deactivations (
  user_id text NOT NULL,
  is_erased boolean NOT NULL
);

CREATE TABLE presence (
  user_id text NOT NULL,
  state text NOT NULL,
  status_msg text,
  last_active_ts_ms bigint NOT NULL,
  is_currently_active boolean NOT NULL,
  position bigint NOT NULL
);

CREATE TABLE profile_fields (
  user_id text NOT NULL,
  name text NOT NULL,
  value text,
  position bigint NOT NULL
);

CREATE TABLE published_rooms (
  room_id text NOT NULL,
  published_by text NOT NULL,
  published_ts_ms bigint NOT NULL
);

CREATE TABLE push_queue (
  seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  pusher_id bigint NOT NULL,
  shard smallint NOT NULL,
  position bigint NOT NULL,
  event_id text,
  room_id text,
  thread_id text NOT NULL DEFAULT ''::text,
  is_highlight boolean NOT NULL DEFAULT false,
  queued_ts_ms bigint NOT NULL
);

CREATE TABLE push_rules (
  user_id text NOT NULL,
  rules text NOT NULL,
  position bigint NOT NULL
);

CREATE TABLE pushers (
  pusher_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  user_id text NOT NULL,
  app_id text NOT NULL,
  pushkey text NOT NULL,
  kind text NOT NULL,
  app_display_name text NOT NULL,
  device_display_name text NOT NULL,
  profile_tag text NOT NULL,
  lang text NOT NULL,
  data text NOT NULL,
  device_id text,
  created_ts_ms bigint NOT NULL,
  position bigint NOT NULL,
  from_pos bigint NOT NULL DEFAULT 0,
  failing_since_ts_ms bigint,
  retry_ms integer NOT NULL DEFAULT 0,
  retry_at_ts_ms bigint NOT NULL DEFAULT 0,
  last_badge integer
);

CREATE TABLE quarantine_changes (
  change_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  origin text,
  media_id text NOT NULL,
  is_quarantined boolean NOT NULL
);

CREATE TABLE receipts (
  room_id text NOT NULL,
  user_id text NOT NULL,
  receipt_type text NOT NULL,
  thread_id text NOT NULL DEFAULT ''::text,
  event_id text NOT NULL,
  event_position bigint NOT NULL,
  notify_ordinal bigint NOT NULL,
  received_ts_ms bigint NOT NULL,
  position bigint NOT NULL
);

CREATE TABLE refresh_tokens (
  refresh_token_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  token_hash bytea NOT NULL,
  user_id text NOT NULL,
  device_id text NOT NULL,
  next_refresh_token_id bigint,
  expires_ts_ms bigint,
  session_expires_ts_ms bigint
);

CREATE TABLE registration_nonces (
  nonce text NOT NULL,
  expires_ts_ms bigint NOT NULL
);

CREATE TABLE registration_tokens (
  token text NOT NULL,
  uses_allowed integer,
  pending integer NOT NULL DEFAULT 0,
  completed integer NOT NULL DEFAULT 0,
  expires_ts_ms bigint
);

CREATE TABLE remote_cross_signing_keys (
  user_id text NOT NULL,
  usage text NOT NULL,
  public_key text NOT NULL,
  key_json text NOT NULL
);

CREATE TABLE remote_device_lists (
  user_id text NOT NULL,
  stream_id bigint NOT NULL,
  is_stale boolean NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  retry_ts_ms bigint NOT NULL DEFAULT 0
);

CREATE TABLE remote_devices (
  user_id text NOT NULL,
  device_id text NOT NULL,
  keys_json text,
  display_name_json text
);

CREATE TABLE remote_media (
  origin text NOT NULL,
  media_id text NOT NULL,
  file_id text NOT NULL,
  size_bytes bigint NOT NULL,
  content_type text NOT NULL,
  upload_name text,
  sha256 bytea NOT NULL,
  created_ts_ms bigint NOT NULL,
  last_access_ts_ms bigint NOT NULL,
  is_authenticated boolean NOT NULL,
  quarantined_by text
);

CREATE TABLE remote_media_thumbnails (
  origin text NOT NULL,
  media_id text NOT NULL,
  width integer NOT NULL,
  height integer NOT NULL,
  method text NOT NULL,
  is_animated boolean NOT NULL,
  content_type text NOT NULL,
  size_bytes bigint NOT NULL
);

CREATE TABLE role_lease (
  role text NOT NULL,
  holder text NOT NULL,
  boot uuid NOT NULL,
  epoch bigint NOT NULL DEFAULT 1,
  expires_at timestamp with time zone NOT NULL
);

CREATE TABLE room_aliases (
  alias text NOT NULL,
  room_id text NOT NULL,
  creator text NOT NULL,
  created_ts_ms bigint NOT NULL
);

CREATE TABLE room_head (
  room_nid bigint NOT NULL,
  version bigint NOT NULL,
  extremities bigint[] NOT NULL,
  depth bigint NOT NULL,
  joined_count integer NOT NULL,
  invited_count integer NOT NULL,
  notify_ordinal bigint NOT NULL DEFAULT 0,
  purge_gen integer NOT NULL DEFAULT 0,
  purged_pos bigint NOT NULL DEFAULT 0,
  purged_ordinal bigint NOT NULL DEFAULT 0
);

CREATE TABLE room_reports (
  report_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  received_ts_ms bigint NOT NULL,
  room_id text NOT NULL,
  reporter text NOT NULL,
  reason text NOT NULL
);

CREATE TABLE rooms (
  room_nid bigint NOT NULL,
  room_id text NOT NULL,
  room_version text NOT NULL,
  creator text NOT NULL,
  created_ts_ms bigint NOT NULL
);

CREATE TABLE scheduled_tasks (
  task_id text NOT NULL,
  action text NOT NULL,
  status text NOT NULL,
  timestamp_ms bigint NOT NULL,
  resource_id text,
  params text NOT NULL,
  progress text NOT NULL DEFAULT '{}'::text,
  result text,
  error text
);

CREATE TABLE schema_migrations (
  file text NOT NULL,
  applied_at timestamp with time zone NOT NULL DEFAULT now()
);

CREATE TABLE server_keys (
  server_name text NOT NULL,
  key_id text NOT NULL,
  public_key text NOT NULL,
  valid_until_ts_ms bigint NOT NULL,
  is_old boolean NOT NULL,
  source text NOT NULL,
  fetched_ts_ms bigint NOT NULL,
  response text NOT NULL
);

CREATE TABLE server_notice_rooms (
  user_id text NOT NULL,
  room_id text NOT NULL
);

CREATE TABLE server_switches (
  name text NOT NULL,
  is_on boolean NOT NULL
);

CREATE TABLE sliding_sync_connections (
  connection_nid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  user_id text NOT NULL,
  device_id text NOT NULL,
  conn_id text NOT NULL,
  base_position bigint NOT NULL,
  last_used_ts_ms bigint NOT NULL
);

CREATE TABLE sliding_sync_required_states (
  connection_nid bigint NOT NULL,
  digest text NOT NULL,
  required_state text NOT NULL
);

CREATE TABLE sliding_sync_rooms (
  connection_nid bigint NOT NULL,
  generation bigint NOT NULL,
  room_id text NOT NULL,
  told text NOT NULL
);

CREATE TABLE state_intervals (
  room_nid bigint NOT NULL,
  slot_nid bigint NOT NULL,
  event_nid bigint NOT NULL,
  from_pos bigint NOT NULL,
  to_pos bigint NOT NULL DEFAULT '9223372036854775807'::bigint
);

CREATE TABLE state_overlays (
  overlay_id bigint NOT NULL,
  room_nid bigint NOT NULL,
  slot_nids bigint[] NOT NULL,
  event_nids bigint[] NOT NULL
);

CREATE TABLE state_slots (
  slot_nid bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  type text NOT NULL,
  state_key text NOT NULL
);

CREATE TABLE stream_def (
  stream smallint NOT NULL,
  name text NOT NULL,
  lanes smallint NOT NULL DEFAULT 1,
  map_version integer NOT NULL DEFAULT 1
);

CREATE TABLE stream_times (
  sampled_ts_ms bigint NOT NULL,
  position bigint NOT NULL
);

CREATE TABLE threepid_bindings (
  user_id text NOT NULL,
  medium text NOT NULL,
  address text NOT NULL,
  id_server text NOT NULL
);

CREATE TABLE threepid_sessions (
  session_id text NOT NULL,
  medium text NOT NULL,
  address text NOT NULL,
  client_secret text NOT NULL,
  purpose text NOT NULL,
  last_send_attempt bigint NOT NULL DEFAULT '-1'::integer,
  validated_ts_ms bigint,
  expires_ts_ms bigint NOT NULL
);

CREATE TABLE threepid_tokens (
  token_hash bytea NOT NULL,
  session_id text NOT NULL,
  next_link text,
  expires_ts_ms bigint NOT NULL
);

CREATE TABLE to_device_transactions (
  user_id text NOT NULL,
  sender_device text NOT NULL,
  txn_id text NOT NULL,
  event_type text NOT NULL,
  created_ts_ms bigint NOT NULL
);

CREATE TABLE ui_auth_sessions (
  session_id text NOT NULL,
  created_ts_ms bigint NOT NULL,
  expires_ts_ms bigint NOT NULL,
  method text NOT NULL,
  path text NOT NULL,
  user_id text,
  completed jsonb NOT NULL DEFAULT '{}'::jsonb,
  notes jsonb NOT NULL DEFAULT '{}'::jsonb
);

CREATE TABLE url_previews (
  url_sha256 bytea NOT NULL,
  url text NOT NULL,
  preview text NOT NULL,
  fetched_ts_ms bigint NOT NULL,
  expires_ts_ms bigint NOT NULL
);

CREATE TABLE user_directory (
  user_id text NOT NULL,
  display_name text,
  avatar_url text,
  search_text text NOT NULL
);

CREATE TABLE user_directory_public_rooms (
  room_nid bigint NOT NULL
);

CREATE TABLE user_experimental_features (
  user_id text NOT NULL,
  feature text NOT NULL,
  is_enabled boolean NOT NULL
);

CREATE TABLE user_external_ids (
  auth_provider text NOT NULL,
  external_id text NOT NULL,
  user_id text NOT NULL
);

CREATE TABLE user_ips (
  user_id text NOT NULL,
  device_id text NOT NULL,
  ip text NOT NULL,
  user_agent text NOT NULL,
  last_seen_ts_ms bigint NOT NULL
);

CREATE TABLE user_reports (
  report_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  received_ts_ms bigint NOT NULL,
  user_id text NOT NULL,
  reporter text NOT NULL,
  reason text NOT NULL
);

CREATE TABLE user_threepids (
  medium text NOT NULL,
  address text NOT NULL,
  user_id text NOT NULL,
  validated_ts_ms bigint NOT NULL,
  added_ts_ms bigint NOT NULL
);

CREATE TABLE users (
  user_id text NOT NULL,
  password_hash text,
  created_ts_ms bigint NOT NULL,
  is_admin boolean NOT NULL DEFAULT false,
  is_guest boolean NOT NULL DEFAULT false,
  is_deactivated boolean NOT NULL DEFAULT false,
  is_erased boolean NOT NULL DEFAULT false,
  is_locked boolean NOT NULL DEFAULT false,
  is_suspended boolean NOT NULL DEFAULT false,
  is_shadow_banned boolean NOT NULL DEFAULT false,
  is_rate_limited boolean NOT NULL DEFAULT true,
  user_type text,
  appservice_id text,
  messages_per_second integer,
  burst_count integer,
  keys_replaceable_until_ms bigint,
  consent_version text,
  consent_ts_ms bigint
);

ALTER TABLE access_tokens ADD FOREIGN KEY (refresh_token_id) REFERENCES refresh_tokens(refresh_token_id) ON DELETE CASCADE;

ALTER TABLE access_tokens ADD PRIMARY KEY (access_token_id);

ALTER TABLE access_tokens ADD UNIQUE (token_hash);

ALTER TABLE account_data ADD PRIMARY KEY (user_id, room_id, type);

ALTER TABLE account_validity ADD PRIMARY KEY (user_id);

ALTER TABLE account_validity ADD UNIQUE (renewal_token);

ALTER TABLE appservice_published_rooms ADD PRIMARY KEY (appservice_id, network_id, room_id);

ALTER TABLE appservice_state ADD PRIMARY KEY (appservice_id);

ALTER TABLE appservice_transactions ADD PRIMARY KEY (appservice_id, txn_id);

ALTER TABLE blocked_rooms ADD PRIMARY KEY (room_id);

ALTER TABLE cache_invalidations ADD PRIMARY KEY ("position");

ALTER TABLE consumer_cursor ADD PRIMARY KEY (consumer, shard, stream, lane);

ALTER TABLE cross_signing_keys ADD PRIMARY KEY (user_id, usage);

ALTER TABLE dehydrated_devices ADD PRIMARY KEY (user_id);

ALTER TABLE delayed_events ADD PRIMARY KEY (delay_id);

ALTER TABLE destination_edus ADD PRIMARY KEY (destination, seq);

ALTER TABLE destination_queue ADD PRIMARY KEY (destination, "position");

ALTER TABLE destination_transactions ADD PRIMARY KEY (destination);

ALTER TABLE destinations ADD PRIMARY KEY (destination);

ALTER TABLE device_inbox ADD PRIMARY KEY (user_id, device_id, "position");

ALTER TABLE device_keys ADD PRIMARY KEY (user_id, device_id);

ALTER TABLE device_list_changes ADD PRIMARY KEY (user_id, viewer_id);

ALTER TABLE device_lists_told ADD PRIMARY KEY (user_id);

ALTER TABLE devices ADD PRIMARY KEY (user_id, device_id);

ALTER TABLE email_throttles ADD FOREIGN KEY (pusher_id) REFERENCES pushers(pusher_id) ON DELETE CASCADE;

ALTER TABLE email_throttles ADD PRIMARY KEY (pusher_id, room_id);

ALTER TABLE email_unsubscribe_tokens ADD FOREIGN KEY (pusher_id) REFERENCES pushers(pusher_id) ON DELETE CASCADE;

ALTER TABLE email_unsubscribe_tokens ADD PRIMARY KEY (pusher_id);

ALTER TABLE email_unsubscribe_tokens ADD UNIQUE (token);

ALTER TABLE event_auth ADD PRIMARY KEY (event_nid, auth_nid);

ALTER TABLE event_push_actions ADD PRIMARY KEY (user_id, room_id, "position");

ALTER TABLE event_relays ADD PRIMARY KEY (event_id);

ALTER TABLE event_reports ADD PRIMARY KEY (report_id);

ALTER TABLE event_search ADD PRIMARY KEY (event_nid);

ALTER TABLE events ADD PRIMARY KEY (event_nid);

ALTER TABLE events ADD UNIQUE (event_id);

ALTER TABLE fallback_keys ADD PRIMARY KEY (user_id, device_id, algorithm);

ALTER TABLE federation_staging ADD PRIMARY KEY (staging_id);

ALTER TABLE federation_staging ADD UNIQUE (room_id, event_id);

ALTER TABLE federation_transactions ADD PRIMARY KEY (origin, txn_id);

ALTER TABLE filters ADD PRIMARY KEY (filter_id);

ALTER TABLE filters ADD UNIQUE (user_id, digest);

ALTER TABLE key_backup_sessions ADD PRIMARY KEY (user_id, version, room_id, session_id);

ALTER TABLE key_backups ADD PRIMARY KEY (user_id, version);

ALTER TABLE key_signatures ADD PRIMARY KEY (target_user_id, target_key_id, signer_user_id, signer_key_id);

ALTER TABLE local_media ADD PRIMARY KEY (media_id);

ALTER TABLE local_media_thumbnails ADD FOREIGN KEY (media_id) REFERENCES local_media(media_id) ON DELETE CASCADE;

ALTER TABLE local_media_thumbnails ADD PRIMARY KEY (media_id, width, height, method, is_animated);

ALTER TABLE login_tokens ADD PRIMARY KEY (token_hash);

ALTER TABLE member ADD PRIMARY KEY (instance);

ALTER TABLE memberships ADD PRIMARY KEY (room_nid, user_id);

ALTER TABLE missing_prev_events ADD PRIMARY KEY (event_nid, prev_id);

ALTER TABLE monthly_active_users ADD PRIMARY KEY (user_id);

ALTER TABLE one_time_keys ADD PRIMARY KEY (user_id, device_id, algorithm, key_id);

ALTER TABLE openid_tokens ADD PRIMARY KEY (token_hash);

ALTER TABLE outside_room_state ADD PRIMARY KEY (room_nid, user_id);

ALTER TABLE pending_deactivations ADD PRIMARY KEY (user_id);

ALTER TABLE presence ADD PRIMARY KEY (user_id);

ALTER TABLE profile_fields ADD PRIMARY KEY (user_id, name);

ALTER TABLE published_rooms ADD PRIMARY KEY (room_id);

ALTER TABLE push_queue ADD FOREIGN KEY (pusher_id) REFERENCES pushers(pusher_id) ON DELETE CASCADE;

ALTER TABLE push_queue ADD PRIMARY KEY (seq);

ALTER TABLE push_rules ADD PRIMARY KEY (user_id);

ALTER TABLE pushers ADD PRIMARY KEY (pusher_id);

ALTER TABLE pushers ADD UNIQUE (app_id, pushkey, user_id);

ALTER TABLE quarantine_changes ADD PRIMARY KEY (change_id);

ALTER TABLE receipts ADD PRIMARY KEY (room_id, user_id, receipt_type, thread_id);

ALTER TABLE refresh_tokens ADD PRIMARY KEY (refresh_token_id);

ALTER TABLE refresh_tokens ADD UNIQUE (token_hash);

ALTER TABLE registration_nonces ADD PRIMARY KEY (nonce);

ALTER TABLE registration_tokens ADD PRIMARY KEY (token);

ALTER TABLE remote_cross_signing_keys ADD PRIMARY KEY (user_id, usage);

ALTER TABLE remote_device_lists ADD PRIMARY KEY (user_id);

ALTER TABLE remote_devices ADD PRIMARY KEY (user_id, device_id);

ALTER TABLE remote_media ADD PRIMARY KEY (origin, media_id);

ALTER TABLE remote_media_thumbnails ADD FOREIGN KEY (origin, media_id) REFERENCES remote_media(origin, media_id) ON DELETE CASCADE;

ALTER TABLE remote_media_thumbnails ADD PRIMARY KEY (origin, media_id, width, height, method, is_animated);

ALTER TABLE role_lease ADD PRIMARY KEY (role);

ALTER TABLE room_aliases ADD PRIMARY KEY (alias);

ALTER TABLE room_head ADD FOREIGN KEY (room_nid) REFERENCES rooms(room_nid);

ALTER TABLE room_head ADD PRIMARY KEY (room_nid);

ALTER TABLE room_reports ADD PRIMARY KEY (report_id);

ALTER TABLE rooms ADD PRIMARY KEY (room_nid);

ALTER TABLE rooms ADD UNIQUE (room_id);

ALTER TABLE scheduled_tasks ADD PRIMARY KEY (task_id);

ALTER TABLE schema_migrations ADD PRIMARY KEY (file);

ALTER TABLE server_keys ADD PRIMARY KEY (server_name, key_id);

ALTER TABLE server_notice_rooms ADD PRIMARY KEY (user_id);

ALTER TABLE server_switches ADD PRIMARY KEY (name);

ALTER TABLE sliding_sync_connections ADD PRIMARY KEY (connection_nid);

ALTER TABLE sliding_sync_connections ADD UNIQUE (user_id, device_id, conn_id);

ALTER TABLE sliding_sync_required_states ADD FOREIGN KEY (connection_nid) REFERENCES sliding_sync_connections(connection_nid) ON DELETE CASCADE;

ALTER TABLE sliding_sync_required_states ADD PRIMARY KEY (connection_nid, digest);

ALTER TABLE sliding_sync_rooms ADD FOREIGN KEY (connection_nid) REFERENCES sliding_sync_connections(connection_nid) ON DELETE CASCADE;

ALTER TABLE sliding_sync_rooms ADD PRIMARY KEY (connection_nid, generation, room_id);

ALTER TABLE state_intervals ADD PRIMARY KEY (room_nid, slot_nid, from_pos);

ALTER TABLE state_overlays ADD PRIMARY KEY (overlay_id);

ALTER TABLE state_slots ADD PRIMARY KEY (slot_nid);

ALTER TABLE state_slots ADD UNIQUE (type, state_key);

ALTER TABLE stream_def ADD PRIMARY KEY (stream);

ALTER TABLE stream_def ADD UNIQUE (name);

ALTER TABLE stream_times ADD PRIMARY KEY (sampled_ts_ms);

ALTER TABLE threepid_bindings ADD PRIMARY KEY (user_id, medium, address, id_server);

ALTER TABLE threepid_sessions ADD PRIMARY KEY (session_id);

ALTER TABLE threepid_tokens ADD FOREIGN KEY (session_id) REFERENCES threepid_sessions(session_id) ON DELETE CASCADE;

ALTER TABLE threepid_tokens ADD PRIMARY KEY (token_hash);

ALTER TABLE to_device_transactions ADD PRIMARY KEY (user_id, sender_device, txn_id, event_type);

ALTER TABLE ui_auth_sessions ADD PRIMARY KEY (session_id);

ALTER TABLE url_previews ADD PRIMARY KEY (url_sha256);

ALTER TABLE user_directory ADD PRIMARY KEY (user_id);

ALTER TABLE user_directory_public_rooms ADD PRIMARY KEY (room_nid);

ALTER TABLE user_experimental_features ADD PRIMARY KEY (user_id, feature);

ALTER TABLE user_external_ids ADD PRIMARY KEY (auth_provider, external_id);

ALTER TABLE user_ips ADD PRIMARY KEY (user_id, device_id, ip, user_agent);

ALTER TABLE user_reports ADD PRIMARY KEY (report_id);

ALTER TABLE user_threepids ADD PRIMARY KEY (medium, address);

ALTER TABLE users ADD PRIMARY KEY (user_id);

CREATE INDEX access_tokens_device ON public.access_tokens USING btree (user_id, device_id);

CREATE UNIQUE INDEX access_tokens_pkey ON public.access_tokens USING btree (access_token_id);

CREATE INDEX access_tokens_refresh ON public.access_tokens USING btree (refresh_token_id) WHERE (refresh_token_id IS NOT NULL);

CREATE UNIQUE INDEX access_tokens_token_hash_key ON public.access_tokens USING btree (token_hash);

CREATE UNIQUE INDEX account_data_pkey ON public.account_data USING btree (user_id, room_id, type);

CREATE INDEX account_data_position ON public.account_data USING btree ("position");

CREATE INDEX account_data_user_position ON public.account_data USING btree (user_id, "position");

CREATE INDEX account_validity_due ON public.account_validity USING btree (expires_ts_ms) WHERE (NOT is_mail_sent);

CREATE UNIQUE INDEX account_validity_pkey ON public.account_validity USING btree (user_id);

CREATE UNIQUE INDEX account_validity_renewal_token_key ON public.account_validity USING btree (renewal_token);

CREATE UNIQUE INDEX appservice_published_rooms_pkey ON public.appservice_published_rooms USING btree (appservice_id, network_id, room_id);

CREATE UNIQUE INDEX appservice_state_pkey ON public.appservice_state USING btree (appservice_id);

CREATE UNIQUE INDEX appservice_transactions_pkey ON public.appservice_transactions USING btree (appservice_id, txn_id);

CREATE UNIQUE INDEX blocked_rooms_pkey ON public.blocked_rooms USING btree (room_id);

CREATE UNIQUE INDEX cache_invalidations_pkey ON public.cache_invalidations USING btree ("position");

CREATE UNIQUE INDEX consumer_cursor_pkey ON public.consumer_cursor USING btree (consumer, shard, stream, lane);

CREATE UNIQUE INDEX cross_signing_keys_pkey ON public.cross_signing_keys USING btree (user_id, usage);

CREATE UNIQUE INDEX dehydrated_devices_pkey ON public.dehydrated_devices USING btree (user_id);

CREATE INDEX delayed_events_due ON public.delayed_events USING btree (((running_since_ms + delay_ms))) WHERE (ended_ms IS NULL);

CREATE INDEX delayed_events_ended ON public.delayed_events USING btree (ended_ms) WHERE (ended_ms IS NOT NULL);

CREATE UNIQUE INDEX delayed_events_pkey ON public.delayed_events USING btree (delay_id);

CREATE INDEX delayed_events_slot ON public.delayed_events USING btree (room_id, type, state_key) WHERE ((ended_ms IS NULL) AND (state_key IS NOT NULL));

CREATE UNIQUE INDEX delayed_events_transaction ON public.delayed_events USING btree (user_id, txn_device, txn_id, room_id, type) WHERE (txn_id <> ''::text);

CREATE INDEX delayed_events_user ON public.delayed_events USING btree (user_id) WHERE (ended_ms IS NULL);

CREATE INDEX destination_edus_key ON public.destination_edus USING btree (destination, edu_key) WHERE (edu_key <> ''::text);

CREATE UNIQUE INDEX destination_edus_pkey ON public.destination_edus USING btree (destination, seq);

CREATE UNIQUE INDEX destination_queue_pkey ON public.destination_queue USING btree (destination, "position");

CREATE INDEX destination_queue_room ON public.destination_queue USING btree (destination, room_nid, "position");

CREATE UNIQUE INDEX destination_transactions_pkey ON public.destination_transactions USING btree (destination);

CREATE INDEX destinations_failing ON public.destinations USING btree (retry_last_ts) WHERE (retry_interval > 0);

CREATE UNIQUE INDEX destinations_pkey ON public.destinations USING btree (destination);

CREATE UNIQUE INDEX device_inbox_pkey ON public.device_inbox USING btree (user_id, device_id, "position");

CREATE INDEX device_inbox_position ON public.device_inbox USING btree ("position");

CREATE UNIQUE INDEX device_keys_pkey ON public.device_keys USING btree (user_id, device_id);

CREATE UNIQUE INDEX device_list_changes_pkey ON public.device_list_changes USING btree (user_id, viewer_id);

CREATE INDEX device_list_changes_position ON public.device_list_changes USING btree ("position");

CREATE UNIQUE INDEX device_lists_told_pkey ON public.device_lists_told USING btree (user_id);

CREATE UNIQUE INDEX devices_pkey ON public.devices USING btree (user_id, device_id);

CREATE UNIQUE INDEX email_throttles_pkey ON public.email_throttles USING btree (pusher_id, room_id);

CREATE UNIQUE INDEX email_unsubscribe_tokens_pkey ON public.email_unsubscribe_tokens USING btree (pusher_id);

CREATE UNIQUE INDEX email_unsubscribe_tokens_token_key ON public.email_unsubscribe_tokens USING btree (token);

CREATE INDEX event_auth_cited ON public.event_auth USING btree (auth_nid, event_nid);

CREATE UNIQUE INDEX event_auth_pkey ON public.event_auth USING btree (event_nid, auth_nid);

CREATE INDEX event_push_actions_joins ON public.event_push_actions USING btree (user_id, room_id, "position") WHERE (kind = 1);

CREATE UNIQUE INDEX event_push_actions_pkey ON public.event_push_actions USING btree (user_id, room_id, "position");

CREATE INDEX event_relays_created ON public.event_relays USING btree (created_ts_ms);

CREATE UNIQUE INDEX event_relays_pkey ON public.event_relays USING btree (event_id);

CREATE INDEX event_reports_event ON public.event_reports USING btree (event_id);

CREATE UNIQUE INDEX event_reports_pkey ON public.event_reports USING btree (report_id);

CREATE INDEX event_search_body ON public.event_search USING gin (body gin_trgm_ops);

CREATE INDEX event_search_document ON public.event_search USING gin (document);

CREATE UNIQUE INDEX event_search_pkey ON public.event_search USING btree (event_nid);

CREATE INDEX event_search_room ON public.event_search USING btree (room_nid, "position");

CREATE UNIQUE INDEX events_event_id_key ON public.events USING btree (event_id);

CREATE INDEX events_overlay ON public.events USING btree (overlay_id) WHERE (overlay_id IS NOT NULL);

CREATE UNIQUE INDEX events_pkey ON public.events USING btree (event_nid);

CREATE UNIQUE INDEX events_position ON public.events USING btree (lane, "position") WHERE ((ordinal = 0) AND ("position" IS NOT NULL));

CREATE INDEX events_redacts ON public.events USING btree (redacts) WHERE (redacts IS NOT NULL);

CREATE INDEX events_relates_to ON public.events USING btree (room_nid, relates_to, relation_type) WHERE (relates_to IS NOT NULL);

CREATE INDEX events_room_position ON public.events USING btree (room_nid, "position", ordinal);

CREATE INDEX events_room_ts ON public.events USING btree (room_nid, origin_server_ts);

CREATE INDEX events_sender ON public.events USING btree (room_nid, sender, "position") WHERE ((state_key IS NULL) AND (thread_id IS NULL) AND ("position" IS NOT NULL));

CREATE INDEX events_thread_replies ON public.events USING btree (room_nid, relates_to, "position") WHERE (relation_type = 'm.thread'::text);

CREATE INDEX events_thread_sender ON public.events USING btree (room_nid, sender, thread_id, "position") WHERE ((thread_id IS NOT NULL) AND ("position" IS NOT NULL));

CREATE INDEX events_threads ON public.events USING btree (room_nid, "position") WHERE (relation_type = 'm.thread'::text);

CREATE UNIQUE INDEX events_txn ON public.events USING btree (sender, txn_device, txn_id, txn_scope, room_nid) WHERE (txn_id IS NOT NULL);

CREATE UNIQUE INDEX fallback_keys_pkey ON public.fallback_keys USING btree (user_id, device_id, algorithm);

CREATE INDEX federation_staging_due ON public.federation_staging USING btree (retry_ts_ms);

CREATE INDEX federation_staging_origin ON public.federation_staging USING btree (origin);

CREATE UNIQUE INDEX federation_staging_pkey ON public.federation_staging USING btree (staging_id);

CREATE INDEX federation_staging_room ON public.federation_staging USING btree (room_id, staging_id);

CREATE UNIQUE INDEX federation_staging_room_id_event_id_key ON public.federation_staging USING btree (room_id, event_id);

CREATE UNIQUE INDEX federation_transactions_pkey ON public.federation_transactions USING btree (origin, txn_id);

CREATE INDEX federation_transactions_received ON public.federation_transactions USING btree (received_ts_ms);

CREATE UNIQUE INDEX filters_pkey ON public.filters USING btree (filter_id);

CREATE UNIQUE INDEX filters_user_id_digest_key ON public.filters USING btree (user_id, digest);

CREATE UNIQUE INDEX key_backup_sessions_pkey ON public.key_backup_sessions USING btree (user_id, version, room_id, session_id);

CREATE UNIQUE INDEX key_backups_pkey ON public.key_backups USING btree (user_id, version);

CREATE UNIQUE INDEX key_signatures_pkey ON public.key_signatures USING btree (target_user_id, target_key_id, signer_user_id, signer_key_id);

CREATE INDEX local_media_access ON public.local_media USING btree (COALESCE(last_access_ts_ms, created_ts_ms));

CREATE INDEX local_media_pending ON public.local_media USING btree (user_id) WHERE (size_bytes IS NULL);

CREATE UNIQUE INDEX local_media_pkey ON public.local_media USING btree (media_id);

CREATE INDEX local_media_sha256 ON public.local_media USING btree (sha256);

CREATE UNIQUE INDEX local_media_thumbnails_pkey ON public.local_media_thumbnails USING btree (media_id, width, height, method, is_animated);

CREATE INDEX local_media_url_cache ON public.local_media USING btree (created_ts_ms) WHERE (url_cache IS NOT NULL);

CREATE INDEX local_media_user ON public.local_media USING btree (user_id, created_ts_ms);

CREATE INDEX login_tokens_expires ON public.login_tokens USING btree (expires_ts_ms);

CREATE UNIQUE INDEX login_tokens_pkey ON public.login_tokens USING btree (token_hash);

CREATE INDEX login_tokens_user ON public.login_tokens USING btree (user_id);

CREATE UNIQUE INDEX member_pkey ON public.member USING btree (instance);

CREATE UNIQUE INDEX memberships_pkey ON public.memberships USING btree (room_nid, user_id);

CREATE INDEX memberships_user ON public.memberships USING btree (user_id, membership);

CREATE UNIQUE INDEX missing_prev_events_pkey ON public.missing_prev_events USING btree (event_nid, prev_id);

CREATE INDEX missing_prev_events_prev ON public.missing_prev_events USING btree (prev_id);

CREATE INDEX missing_prev_events_room ON public.missing_prev_events USING btree (room_nid);

CREATE INDEX monthly_active_users_last ON public.monthly_active_users USING btree (last_active_ts_ms);

CREATE UNIQUE INDEX monthly_active_users_pkey ON public.monthly_active_users USING btree (user_id);

CREATE INDEX one_time_keys_claimed ON public.one_time_keys USING btree (user_id, device_id, claimed_ts_ms) WHERE (claimed_ts_ms IS NOT NULL);

CREATE UNIQUE INDEX one_time_keys_pkey ON public.one_time_keys USING btree (user_id, device_id, algorithm, key_id);

CREATE INDEX one_time_keys_unclaimed ON public.one_time_keys USING btree (user_id, device_id, algorithm, upload, key_id) WHERE (claimed_ts_ms IS NULL);

CREATE INDEX openid_tokens_expires ON public.openid_tokens USING btree (expires_ts_ms);

CREATE UNIQUE INDEX openid_tokens_pkey ON public.openid_tokens USING btree (token_hash);

CREATE INDEX openid_tokens_user ON public.openid_tokens USING btree (user_id);

CREATE UNIQUE INDEX outside_room_state_pkey ON public.outside_room_state USING btree (room_nid, user_id);

CREATE UNIQUE INDEX pending_deactivations_pkey ON public.pending_deactivations USING btree (user_id);

CREATE UNIQUE INDEX presence_pkey ON public.presence USING btree (user_id);

CREATE INDEX presence_position ON public.presence USING btree ("position");

CREATE UNIQUE INDEX profile_fields_pkey ON public.profile_fields USING btree (user_id, name);

CREATE INDEX profile_fields_position ON public.profile_fields USING btree ("position");

CREATE UNIQUE INDEX published_rooms_pkey ON public.published_rooms USING btree (room_id);

CREATE UNIQUE INDEX push_queue_pkey ON public.push_queue USING btree (seq);

CREATE INDEX push_queue_pusher ON public.push_queue USING btree (pusher_id, seq);

CREATE INDEX push_queue_shard ON public.push_queue USING btree (shard);

CREATE UNIQUE INDEX push_rules_pkey ON public.push_rules USING btree (user_id);

CREATE INDEX push_rules_position ON public.push_rules USING btree ("position");

CREATE UNIQUE INDEX pushers_app_id_pushkey_user_id_key ON public.pushers USING btree (app_id, pushkey, user_id);

CREATE UNIQUE INDEX pushers_pkey ON public.pushers USING btree (pusher_id);

CREATE INDEX pushers_position ON public.pushers USING btree ("position");

CREATE INDEX pushers_user ON public.pushers USING btree (user_id);

CREATE UNIQUE INDEX quarantine_changes_pkey ON public.quarantine_changes USING btree (change_id);

CREATE UNIQUE INDEX receipts_pkey ON public.receipts USING btree (room_id, user_id, receipt_type, thread_id);

CREATE INDEX receipts_position ON public.receipts USING btree ("position");

CREATE INDEX refresh_tokens_device ON public.refresh_tokens USING btree (user_id, device_id);

CREATE INDEX refresh_tokens_next ON public.refresh_tokens USING btree (next_refresh_token_id) WHERE (next_refresh_token_id IS NOT NULL);

CREATE UNIQUE INDEX refresh_tokens_pkey ON public.refresh_tokens USING btree (refresh_token_id);

CREATE UNIQUE INDEX refresh_tokens_token_hash_key ON public.refresh_tokens USING btree (token_hash);

CREATE INDEX registration_nonces_expires ON public.registration_nonces USING btree (expires_ts_ms);

CREATE UNIQUE INDEX registration_nonces_pkey ON public.registration_nonces USING btree (nonce);

CREATE UNIQUE INDEX registration_tokens_pkey ON public.registration_tokens USING btree (token);

CREATE UNIQUE INDEX remote_cross_signing_keys_pkey ON public.remote_cross_signing_keys USING btree (user_id, usage);

CREATE UNIQUE INDEX remote_device_lists_pkey ON public.remote_device_lists USING btree (user_id);

CREATE INDEX remote_device_lists_stale ON public.remote_device_lists USING btree (retry_ts_ms) WHERE is_stale;

CREATE UNIQUE INDEX remote_devices_pkey ON public.remote_devices USING btree (user_id, device_id);

CREATE INDEX remote_media_access ON public.remote_media USING btree (last_access_ts_ms);

CREATE UNIQUE INDEX remote_media_pkey ON public.remote_media USING btree (origin, media_id);

CREATE INDEX remote_media_sha256 ON public.remote_media USING btree (sha256);

CREATE UNIQUE INDEX remote_media_thumbnails_pkey ON public.remote_media_thumbnails USING btree (origin, media_id, width, height, method, is_animated);

CREATE UNIQUE INDEX role_lease_pkey ON public.role_lease USING btree (role);

CREATE UNIQUE INDEX room_aliases_pkey ON public.room_aliases USING btree (alias);

CREATE INDEX room_aliases_room ON public.room_aliases USING btree (room_id);

CREATE UNIQUE INDEX room_head_pkey ON public.room_head USING btree (room_nid);

CREATE UNIQUE INDEX room_reports_pkey ON public.room_reports USING btree (report_id);

CREATE UNIQUE INDEX rooms_pkey ON public.rooms USING btree (room_nid);

CREATE UNIQUE INDEX rooms_room_id_key ON public.rooms USING btree (room_id);

CREATE UNIQUE INDEX scheduled_tasks_pkey ON public.scheduled_tasks USING btree (task_id);

CREATE INDEX scheduled_tasks_resource ON public.scheduled_tasks USING btree (resource_id);

CREATE INDEX scheduled_tasks_status ON public.scheduled_tasks USING btree (status, timestamp_ms);

CREATE UNIQUE INDEX schema_migrations_pkey ON public.schema_migrations USING btree (file);

CREATE UNIQUE INDEX server_keys_pkey ON public.server_keys USING btree (server_name, key_id);

CREATE UNIQUE INDEX server_notice_rooms_pkey ON public.server_notice_rooms USING btree (user_id);

CREATE INDEX server_notice_rooms_room ON public.server_notice_rooms USING btree (room_id);

CREATE UNIQUE INDEX server_switches_pkey ON public.server_switches USING btree (name);

CREATE INDEX sliding_sync_connections_last_used ON public.sliding_sync_connections USING btree (last_used_ts_ms);

CREATE UNIQUE INDEX sliding_sync_connections_pkey ON public.sliding_sync_connections USING btree (connection_nid);

CREATE UNIQUE INDEX sliding_sync_connections_user_id_device_id_conn_id_key ON public.sliding_sync_connections USING btree (user_id, device_id, conn_id);

CREATE UNIQUE INDEX sliding_sync_required_states_pkey ON public.sliding_sync_required_states USING btree (connection_nid, digest);

CREATE UNIQUE INDEX sliding_sync_rooms_pkey ON public.sliding_sync_rooms USING btree (connection_nid, generation, room_id);

CREATE UNIQUE INDEX state_intervals_current ON public.state_intervals USING btree (room_nid, slot_nid) WHERE (to_pos = '9223372036854775807'::bigint);

CREATE INDEX state_intervals_from ON public.state_intervals USING btree (room_nid, from_pos);

CREATE UNIQUE INDEX state_intervals_pkey ON public.state_intervals USING btree (room_nid, slot_nid, from_pos);

CREATE UNIQUE INDEX state_overlays_pkey ON public.state_overlays USING btree (overlay_id);

CREATE INDEX state_overlays_room ON public.state_overlays USING btree (room_nid);

CREATE UNIQUE INDEX state_slots_pkey ON public.state_slots USING btree (slot_nid);

CREATE UNIQUE INDEX state_slots_type_state_key_key ON public.state_slots USING btree (type, state_key);

CREATE UNIQUE INDEX stream_def_name_key ON public.stream_def USING btree (name);

CREATE UNIQUE INDEX stream_def_pkey ON public.stream_def USING btree (stream);

CREATE UNIQUE INDEX stream_times_pkey ON public.stream_times USING btree (sampled_ts_ms);

CREATE UNIQUE INDEX threepid_bindings_pkey ON public.threepid_bindings USING btree (user_id, medium, address, id_server);

CREATE INDEX threepid_sessions_expires ON public.threepid_sessions USING btree (expires_ts_ms);

CREATE UNIQUE INDEX threepid_sessions_open ON public.threepid_sessions USING btree (medium, address, client_secret, purpose) WHERE (validated_ts_ms IS NULL);

CREATE UNIQUE INDEX threepid_sessions_pkey ON public.threepid_sessions USING btree (session_id);

CREATE UNIQUE INDEX threepid_tokens_pkey ON public.threepid_tokens USING btree (token_hash);

CREATE INDEX threepid_tokens_session ON public.threepid_tokens USING btree (session_id);

CREATE INDEX to_device_transactions_created ON public.to_device_transactions USING btree (created_ts_ms);

CREATE UNIQUE INDEX to_device_transactions_pkey ON public.to_device_transactions USING btree (user_id, sender_device, txn_id, event_type);

CREATE INDEX ui_auth_sessions_expires ON public.ui_auth_sessions USING btree (expires_ts_ms);

CREATE UNIQUE INDEX ui_auth_sessions_pkey ON public.ui_auth_sessions USING btree (session_id);

CREATE INDEX url_previews_expiry ON public.url_previews USING btree (expires_ts_ms);

CREATE UNIQUE INDEX url_previews_pkey ON public.url_previews USING btree (url_sha256);

CREATE UNIQUE INDEX user_directory_pkey ON public.user_directory USING btree (user_id);

CREATE UNIQUE INDEX user_directory_public_rooms_pkey ON public.user_directory_public_rooms USING btree (room_nid);

CREATE INDEX user_directory_search ON public.user_directory USING gin (search_text gin_trgm_ops);

CREATE UNIQUE INDEX user_experimental_features_pkey ON public.user_experimental_features USING btree (user_id, feature);

CREATE UNIQUE INDEX user_external_ids_pkey ON public.user_external_ids USING btree (auth_provider, external_id);

CREATE INDEX user_external_ids_user ON public.user_external_ids USING btree (user_id);

CREATE INDEX user_ips_last_seen ON public.user_ips USING btree (last_seen_ts_ms);

CREATE UNIQUE INDEX user_ips_pkey ON public.user_ips USING btree (user_id, device_id, ip, user_agent);

CREATE UNIQUE INDEX user_reports_pkey ON public.user_reports USING btree (report_id);

CREATE UNIQUE INDEX user_threepids_pkey ON public.user_threepids USING btree (medium, address);

CREATE INDEX user_threepids_user ON public.user_threepids USING btree (user_id);

CREATE INDEX users_lower ON public.users USING btree (lower(user_id) text_pattern_ops);

CREATE UNIQUE INDEX users_pkey ON public.users USING btree (user_id);

CREATE SEQUENCE access_tokens_access_token_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE destination_edus_seq_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE event_reports_report_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE federation_staging_staging_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE filters_filter_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE nids INCREMENT 256 CACHE 1;

CREATE SEQUENCE one_time_key_upload INCREMENT 1 CACHE 1;

CREATE SEQUENCE push_queue_seq_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE pushers_pusher_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE quarantine_changes_change_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE refresh_tokens_refresh_token_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE room_reports_report_id_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE sliding_sync_connections_connection_nid_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE sliding_sync_positions INCREMENT 1 CACHE 1;

CREATE SEQUENCE state_slots_slot_nid_seq INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_10_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_11_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_12_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_1_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_2_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_3_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_4_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_5_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_6_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_7_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_8_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE stream_9_pos INCREMENT 1 CACHE 1;

CREATE SEQUENCE user_reports_report_id_seq INCREMENT 1 CACHE 1;

CREATE OR REPLACE FUNCTION public.advance_room_heads(p_room_nids bigint[], p_versions bigint[], p_extremities text[], p_depths bigint[], p_joined integer[], p_invited integer[], p_ordinals bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE advanced int;
BEGIN
  UPDATE room_head h
     SET version = h.version + 1, extremities = n.extremities::bigint[], depth = n.depth, joined_count = n.joined,
         invited_count = n.invited, notify_ordinal = n.ordinal
    FROM unnest(p_room_nids, p_versions, p_extremities, p_depths, p_joined, p_invited, p_ordinals)
         AS n(room_nid, version, extremities, depth, joined, invited, ordinal)
   WHERE h.room_nid = n.room_nid AND h.version = n.version;
  GET DIAGNOSTICS advanced = ROW_COUNT;
  IF advanced <> array_length(p_room_nids, 1) THEN
    RAISE EXCEPTION 'room head moved' USING ERRCODE = 'MX002';
  END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.claimed_pos(p_stream integer, p_lane integer, p_index integer)
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
  SELECT (current_setting('ganglion.pos_' || p_stream || '_' || p_lane)::bigint[])[p_index]
$function$;

CREATE OR REPLACE FUNCTION public.is_boot_gone(p_boot uuid)
 RETURNS boolean
 LANGUAGE sql
 STRICT
AS $function$
  SELECT pg_try_advisory_xact_lock_shared(liveness_key(p_boot))
$function$;

CREATE OR REPLACE FUNCTION public.lane_claim(p_streams integer[], p_lanes integer[], p_counts integer[], p_role text DEFAULT NULL::text, p_epoch bigint DEFAULT NULL::bigint)
 RETURNS TABLE(stream integer, lane integer, prev bigint, pos bigint[])
 LANGUAGE plpgsql
AS $function$
BEGIN
  FOR i IN 1 .. array_length(p_streams, 1) LOOP
    PERFORM pg_advisory_xact_lock(1297237248 + p_streams[i], p_lanes[i]);
    -- Checked after the lock: a holder that was replaced while it waited is fenced.
    IF p_role IS NOT NULL AND NOT EXISTS (SELECT 1 FROM role_lease WHERE role_lease.role = p_role AND role_lease.epoch = p_epoch) THEN
      RAISE EXCEPTION 'fenced' USING ERRCODE = 'MX001';
    END IF;
    stream := p_streams[i];
    lane := p_lanes[i];
    prev := stream_last_value(p_streams[i]);
    pos := ARRAY(SELECT nextval(('stream_' || p_streams[i] || '_pos')::regclass) FROM generate_series(1, p_counts[i]));
    PERFORM set_config('ganglion.pos_' || p_streams[i] || '_' || p_lanes[i], pos::text, true);
    RETURN NEXT;
  END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION public.lane_head(p_stream integer, p_lane integer)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1297237248 + p_stream, p_lane);
  RETURN stream_last_value(p_stream);
END $function$;

CREATE OR REPLACE FUNCTION public.liveness_key(p_boot uuid)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE STRICT
AS $function$
  SELECT (('x' || left(hex, 16))::bit(64) # ('x' || right(hex, 16))::bit(64))::bigint FROM replace(p_boot::text, '-', '') AS hex
$function$;

CREATE OR REPLACE FUNCTION public.sliding_sync_advance(p_user text, p_device text, p_conn text, p_now_ms bigint, p_parent bigint, p_rooms text[], p_told text[], p_digests text[], p_states text[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
  v_nid bigint;
  v_base bigint;
  v_newest bigint;
  v_position bigint;
BEGIN
  SELECT connection_nid, base_position INTO v_nid, v_base FROM sliding_sync_connections
   WHERE user_id = p_user AND device_id = p_device AND conn_id = p_conn FOR UPDATE;
  IF v_nid IS NULL THEN RETURN NULL; END IF;
  IF v_base <> p_parent THEN
    IF NOT EXISTS (SELECT 1 FROM sliding_sync_rooms WHERE connection_nid = v_nid AND generation = p_parent) THEN RETURN NULL; END IF;
    DELETE FROM sliding_sync_rooms b USING sliding_sync_rooms n
     WHERE b.connection_nid = v_nid AND b.generation = 0 AND n.connection_nid = v_nid AND n.generation = p_parent AND n.room_id = b.room_id;
    UPDATE sliding_sync_rooms SET generation = 0 WHERE connection_nid = v_nid AND generation = p_parent;
    DELETE FROM sliding_sync_rooms WHERE connection_nid = v_nid AND generation <> 0;
  ELSE
    -- Of answers to the same position the client may have got the newest, or this one.
    SELECT max(generation) INTO v_newest FROM sliding_sync_rooms WHERE connection_nid = v_nid;
    DELETE FROM sliding_sync_rooms WHERE connection_nid = v_nid AND generation <> 0 AND generation < v_newest;
  END IF;
  v_position := nextval('sliding_sync_positions');
  UPDATE sliding_sync_connections SET base_position = p_parent, last_used_ts_ms = p_now_ms WHERE connection_nid = v_nid;
  INSERT INTO sliding_sync_rooms SELECT v_nid, v_position, * FROM unnest(p_rooms, p_told);
  INSERT INTO sliding_sync_required_states SELECT v_nid, * FROM unnest(p_digests, p_states) ON CONFLICT DO NOTHING;
  RETURN v_position;
END $function$;

CREATE OR REPLACE FUNCTION public.sliding_sync_begin(p_user text, p_device text, p_conn text, p_now_ms bigint, p_max integer, p_rooms text[], p_told text[], p_digests text[], p_states text[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
  v_nid bigint;
  v_position bigint := nextval('sliding_sync_positions');
BEGIN
  INSERT INTO sliding_sync_connections (user_id, device_id, conn_id, base_position, last_used_ts_ms)
  VALUES (p_user, p_device, p_conn, v_position, p_now_ms)
  ON CONFLICT (user_id, device_id, conn_id) DO UPDATE SET base_position = v_position, last_used_ts_ms = p_now_ms
  RETURNING connection_nid INTO v_nid;
  DELETE FROM sliding_sync_rooms WHERE connection_nid = v_nid;
  DELETE FROM sliding_sync_required_states WHERE connection_nid = v_nid;
  INSERT INTO sliding_sync_rooms SELECT v_nid, 0, * FROM unnest(p_rooms, p_told);
  INSERT INTO sliding_sync_required_states SELECT v_nid, * FROM unnest(p_digests, p_states);
  DELETE FROM sliding_sync_connections c USING (
    SELECT connection_nid FROM sliding_sync_connections WHERE user_id = p_user AND device_id = p_device
     ORDER BY last_used_ts_ms DESC, connection_nid DESC OFFSET p_max) AS old
   WHERE c.connection_nid = old.connection_nid AND c.connection_nid <> v_nid;
  RETURN v_position;
END $function$;

CREATE OR REPLACE FUNCTION public.state_text(p_json text, p_key text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT CASE WHEN strpos(p_json, '\u0000') > 0 THEN NULL
              WHEN json_typeof(p_json::json -> 'content' -> p_key) = 'string' THEN p_json::json -> 'content' ->> p_key END
$function$;

CREATE OR REPLACE FUNCTION public.stream_last_value(p_stream integer)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE result bigint;
BEGIN
  EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %I', 'stream_' || p_stream || '_pos') INTO result;
  RETURN result;
END $function$;
