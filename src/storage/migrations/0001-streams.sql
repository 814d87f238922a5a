-- Streams: commit-ordered positions in lanes (replication design, section 1.3).
-- Within one (stream, lane), the order of commits is the order of positions, because the lane's advisory lock is taken
-- before the first position is drawn and released only after the commit is visible.

CREATE TABLE stream_def (
  stream smallint PRIMARY KEY,
  name text UNIQUE NOT NULL,
  lanes smallint NOT NULL DEFAULT 1,
  map_version int NOT NULL DEFAULT 1
);

INSERT INTO stream_def (stream, name) VALUES
  (1, 'events'), (2, 'receipts'), (3, 'account_data'), (4, 'push_rules'), (5, 'pushers'), (6, 'to_device'),
  (7, 'device_lists'), (8, 'presence'), (9, 'typing'), (10, 'caches'), (11, 'thread_subscriptions'), (12, 'profiles');

CREATE SEQUENCE stream_1_pos CACHE 1;
CREATE SEQUENCE stream_2_pos CACHE 1;
CREATE SEQUENCE stream_3_pos CACHE 1;
CREATE SEQUENCE stream_4_pos CACHE 1;
CREATE SEQUENCE stream_5_pos CACHE 1;
CREATE SEQUENCE stream_6_pos CACHE 1;
CREATE SEQUENCE stream_7_pos CACHE 1;
CREATE SEQUENCE stream_8_pos CACHE 1;
CREATE SEQUENCE stream_9_pos CACHE 1;
CREATE SEQUENCE stream_10_pos CACHE 1;
CREATE SEQUENCE stream_11_pos CACHE 1;
CREATE SEQUENCE stream_12_pos CACHE 1;

CREATE TABLE role_lease (
  role text PRIMARY KEY,
  holder text NOT NULL,
  boot uuid NOT NULL,
  epoch bigint NOT NULL DEFAULT 1,
  expires_at timestamptz NOT NULL
);

CREATE TABLE consumer_cursor (
  consumer text,
  shard smallint,
  stream smallint,
  lane smallint,
  pos bigint NOT NULL,
  epoch bigint NOT NULL,
  PRIMARY KEY (consumer, shard, stream, lane)
);

-- The newest position drawn in a stream; 0 when none was.
CREATE FUNCTION stream_last_value(p_stream int) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE result bigint;
BEGIN
  EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %I', 'stream_' || p_stream || '_pos') INTO result;
  RETURN result;
END $$;

-- Claims positions in several lanes, which must be given in ascending (stream, lane) order. Later statements of the same
-- transaction read them with claimed_pos(). `prev` is the head before this claim.
CREATE FUNCTION lane_claim(p_streams int[], p_lanes int[], p_counts int[], p_role text DEFAULT NULL, p_epoch bigint DEFAULT NULL)
RETURNS TABLE (stream int, lane int, prev bigint, pos bigint[]) LANGUAGE plpgsql VOLATILE AS $$
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
END $$;

-- The n-th position (from 1) that this transaction claimed in the lane.
CREATE FUNCTION claimed_pos(p_stream int, p_lane int, p_index int) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT (current_setting('ganglion.pos_' || p_stream || '_' || p_lane)::bigint[])[p_index]
$$;

-- The head of a lane: every position up to it is committed or lost for good. Waits for a commit under way.
CREATE FUNCTION lane_head(p_stream int, p_lane int) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1297237248 + p_stream, p_lane);
  RETURN stream_last_value(p_stream);
END $$;
