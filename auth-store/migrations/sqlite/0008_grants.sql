-- Pushed authorization requests (RFC 9126) and device grants (RFC 8628).

CREATE TABLE pushed_request (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    client     TEXT    NOT NULL,
    parameters TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pushed_request_expiry ON pushed_request (expires_at);

CREATE TABLE device_grant (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    user_code  BLOB    NOT NULL UNIQUE CHECK (length(user_code) = 32),
    client     TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    ip         TEXT,
    user_agent TEXT,
    state      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    polled_at  INTEGER
) STRICT;

CREATE INDEX device_grant_expiry ON device_grant (expires_at);
