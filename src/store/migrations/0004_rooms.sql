-- Rooms that are over.
CREATE TABLE rooms (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX rooms_by_name ON rooms (name, id);
