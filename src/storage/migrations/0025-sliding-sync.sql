-- Connections of sliding sync (MSC4186): what each client was told of its rooms, so that any process serves its next request.

CREATE TABLE sliding_sync_connections (
  connection_nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id text NOT NULL,
  device_id text NOT NULL,
  conn_id text NOT NULL,
  -- The position that the rooms of generation 0 describe: an answer that the client has certainly got.
  base_position bigint NOT NULL,
  last_used_ts_ms bigint NOT NULL,
  UNIQUE (user_id, device_id, conn_id)
);
CREATE INDEX sliding_sync_connections_last_used ON sliding_sync_connections (last_used_ts_ms);

CREATE SEQUENCE sliding_sync_positions;

-- generation 0: the connection's base. Others: what an answer with this position changed against the base; whether it has arrived
-- is known when the client comes back with it.
CREATE TABLE sliding_sync_rooms (
  connection_nid bigint NOT NULL REFERENCES sliding_sync_connections ON DELETE CASCADE,
  generation bigint NOT NULL,
  room_id text NOT NULL,
  told text NOT NULL,
  PRIMARY KEY (connection_nid, generation, room_id)
);

-- What rooms' `required_state` was, once for all rooms that share it.
CREATE TABLE sliding_sync_required_states (
  connection_nid bigint NOT NULL REFERENCES sliding_sync_connections ON DELETE CASCADE,
  digest text NOT NULL,
  required_state text NOT NULL,
  PRIMARY KEY (connection_nid, digest)
);

-- Begins a connection anew and returns its position. The device's connections above p_max that rested longest are dropped.
CREATE FUNCTION sliding_sync_begin(p_user text, p_device text, p_conn text, p_now_ms bigint, p_max int, p_rooms text[], p_told text[],
                                   p_digests text[], p_states text[]) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- Stores what an answer changed against the one with position p_parent and returns its position; null where p_parent is not known.
-- The client has got p_parent, so this becomes the base.
CREATE FUNCTION sliding_sync_advance(p_user text, p_device text, p_conn text, p_now_ms bigint, p_parent bigint, p_rooms text[],
                                     p_told text[], p_digests text[], p_states text[]) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;
