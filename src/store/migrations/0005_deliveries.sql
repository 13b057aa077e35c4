-- What webhooks were told. An id sorts by when its event happened. `payload` is what is to be sent while it is not over; `body` the delivery as it is shown (JSON).
CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    payload TEXT,
    body TEXT NOT NULL
);
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_by_state ON deliveries (webhook_id, state, id);
