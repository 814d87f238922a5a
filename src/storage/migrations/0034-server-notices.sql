-- The room in which each user gets the server's notices.
CREATE TABLE server_notice_rooms (
  user_id text PRIMARY KEY,
  room_id text NOT NULL
);
CREATE INDEX server_notice_rooms_room ON server_notice_rooms (room_id);
