-- Recordings, those that go on too. Their files lie in a folder; `body` is the recording as it is shown (JSON).
CREATE TABLE recordings (
    id TEXT NOT NULL PRIMARY KEY,
    room_id TEXT,
    room_name TEXT,
    call_id TEXT,
    leg_id TEXT,
    state TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX recordings_by_room ON recordings (room_id, id);
CREATE INDEX recordings_by_room_name ON recordings (room_name, id);
CREATE INDEX recordings_by_call ON recordings (call_id, id);
CREATE INDEX recordings_by_leg ON recordings (leg_id, id);
CREATE INDEX recordings_by_state ON recordings (state, id);
