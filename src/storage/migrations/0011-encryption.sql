-- End-to-end encryption and messages to devices. Keys and messages stand as JSON text: jsonb would refuse U+0000 and lose the order of keys.

-- Identity keys of local devices, as they were uploaded.
CREATE TABLE device_keys (
  user_id text NOT NULL,
  device_id text NOT NULL,
  keys_json text NOT NULL,
  PRIMARY KEY (user_id, device_id)
);

-- One number for each upload: keys are handed out in this order.
CREATE SEQUENCE one_time_key_upload;

-- A claimed key stays for a while without its JSON, so that an upload which is retried after the claim can not bring it back.
CREATE TABLE one_time_keys (
  user_id text NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  upload bigint NOT NULL,
  -- SHA-256 of the key without its signatures.
  fingerprint bytea NOT NULL,
  key_json text NOT NULL,
  claimed_ts_ms bigint,
  PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE INDEX one_time_keys_unclaimed ON one_time_keys (user_id, device_id, algorithm, upload, key_id) WHERE claimed_ts_ms IS NULL;
CREATE INDEX one_time_keys_claimed ON one_time_keys (user_id, device_id, claimed_ts_ms) WHERE claimed_ts_ms IS NOT NULL;

CREATE TABLE fallback_keys (
  user_id text NOT NULL,
  device_id text NOT NULL,
  algorithm text NOT NULL,
  key_id text NOT NULL,
  key_json text NOT NULL,
  is_used boolean NOT NULL DEFAULT false,
  PRIMARY KEY (user_id, device_id, algorithm)
);

-- usage: master, self_signing, user_signing.
CREATE TABLE cross_signing_keys (
  user_id text NOT NULL,
  usage text NOT NULL,
  -- Unpadded base64, without the algorithm.
  public_key text NOT NULL,
  key_json text NOT NULL,
  PRIMARY KEY (user_id, usage)
);

-- Signatures that came by themselves. The target is a device id, or the public key of a master key.
CREATE TABLE key_signatures (
  target_user_id text NOT NULL,
  target_key_id text NOT NULL,
  signer_user_id text NOT NULL,
  -- With its algorithm, `ed25519:…`.
  signer_key_id text NOT NULL,
  signature text NOT NULL,
  PRIMARY KEY (target_user_id, target_key_id, signer_user_id, signer_key_id)
);

-- The newest change of each user's device list. viewer_id '' is for everyone who shares a room; else only that user is told.
CREATE TABLE device_list_changes (
  user_id text NOT NULL,
  viewer_id text NOT NULL DEFAULT '',
  position bigint NOT NULL,
  PRIMARY KEY (user_id, viewer_id)
);
CREATE INDEX device_list_changes_position ON device_list_changes (position);

-- Messages that wait for devices; deleted when the device has come back with a token that covers them.
CREATE TABLE device_inbox (
  user_id text NOT NULL,
  device_id text NOT NULL,
  position bigint NOT NULL,
  message_json text NOT NULL,
  PRIMARY KEY (user_id, device_id, position)
);
CREATE INDEX device_inbox_position ON device_inbox (position);

-- Requests to /sendToDevice that are done. `sender_device` is `d` and the device id, or `t` and the token's id where there is no device.
CREATE TABLE to_device_transactions (
  user_id text NOT NULL,
  sender_device text NOT NULL,
  txn_id text NOT NULL,
  event_type text NOT NULL,
  created_ts_ms bigint NOT NULL,
  PRIMARY KEY (user_id, sender_device, txn_id, event_type)
);
CREATE INDEX to_device_transactions_created ON to_device_transactions (created_ts_ms);

-- A deleted version keeps its row, so that its number is not given again.
CREATE TABLE key_backups (
  user_id text NOT NULL,
  version bigint NOT NULL,
  algorithm text NOT NULL,
  auth_data text NOT NULL,
  etag bigint NOT NULL DEFAULT 0,
  session_count bigint NOT NULL DEFAULT 0,
  is_deleted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (user_id, version)
);

CREATE TABLE key_backup_sessions (
  user_id text NOT NULL,
  version bigint NOT NULL,
  room_id text NOT NULL,
  session_id text NOT NULL,
  is_verified boolean NOT NULL,
  first_message_index bigint NOT NULL,
  forwarded_count bigint NOT NULL,
  session_data text NOT NULL,
  PRIMARY KEY (user_id, version, room_id, session_id)
);

-- MSC3814: at most one for each user. It is also a row of devices.
CREATE TABLE dehydrated_devices (
  user_id text PRIMARY KEY,
  device_id text NOT NULL,
  device_data text NOT NULL
);
