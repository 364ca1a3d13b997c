-- Pushed authorization requests (RFC 9126) and device grants (RFC 8628).

CREATE TABLE pushed_requests (
    hash       bytea  NOT NULL CONSTRAINT pushed_requests_hash PRIMARY KEY,
    client     text   COLLATE "C" NOT NULL,
    parameters text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX pushed_requests_by_expiry ON pushed_requests (expires_at);

CREATE TABLE device_grants (
    hash       bytea  NOT NULL CONSTRAINT device_grants_hash PRIMARY KEY,
    user_code  bytea  NOT NULL CONSTRAINT device_grants_user_code UNIQUE,
    client     text   COLLATE "C" NOT NULL,
    scope      text   NOT NULL,
    ip         text,
    user_agent text,
    state      text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    polled_at  bigint
) WITH (fillfactor = 70);
CREATE INDEX device_grants_by_expiry ON device_grants (expires_at);
