-- What is over, and who commanded what. Ids sort by time; what can be asked for has a column of its own, all else is in `body` (JSON).
CREATE TABLE legs (
    id TEXT NOT NULL PRIMARY KEY,
    call_id TEXT,
    room_id TEXT,
    user_name TEXT,
    trunk TEXT,
    body TEXT NOT NULL
);
CREATE INDEX legs_by_call ON legs (call_id, id);
CREATE INDEX legs_by_room ON legs (room_id, id);
CREATE INDEX legs_by_user ON legs (user_name, id);
CREATE INDEX legs_by_trunk ON legs (trunk, id);
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT,
    body TEXT NOT NULL
);
CREATE INDEX audit_by_key ON audit (key_id, id);
