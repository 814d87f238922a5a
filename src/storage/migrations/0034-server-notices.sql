-- The room in which each user gets the server's notices.
CREATE TABLE server_notice_rooms (
  user_id text PRIMARY KEY,
  room_id text NOT NULL
);
CREATE INDEX server_notice_rooms_room ON server_notice_rooms (room_id);

-- What administrators switch for single users.
CREATE TABLE user_experimental_features (
  user_id text NOT NULL,
  feature text NOT NULL,
  is_enabled boolean NOT NULL,
  PRIMARY KEY (user_id, feature)
);
