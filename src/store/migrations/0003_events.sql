-- The numbered log. What can be asked for has a column of its own, and no index where an event has none of it; `body` is the event's `data` (JSON).
CREATE TABLE events (
    seq BIGINT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    time TEXT NOT NULL,
    room_id TEXT,
    left_room_id TEXT,
    leg_id TEXT,
    call_id TEXT,
    body TEXT NOT NULL
);
CREATE INDEX events_by_room ON events (room_id, seq) WHERE room_id IS NOT NULL;
CREATE INDEX events_by_left_room ON events (left_room_id, seq) WHERE left_room_id IS NOT NULL;
CREATE INDEX events_by_leg ON events (leg_id, seq) WHERE leg_id IS NOT NULL;
CREATE INDEX events_by_call ON events (call_id, seq) WHERE call_id IS NOT NULL;
