-- Users, trunks and routes that were made over the API. What `body` holds is JSON, so that a new field is no new column.
CREATE TABLE documents (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
