-- Moments are milliseconds since the Unix epoch, UTC. Ids of 16 and hashes of 32 bytes are BLOBs.
-- Lists and free-form facts are JSON text.

-- AUTOINCREMENT, so that the number of a removed account is never given out again.
CREATE TABLE account (
    numeric_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    username        TEXT    NOT NULL,
    username_key    TEXT    NOT NULL UNIQUE,
    email           TEXT,
    email_key       TEXT    UNIQUE,
    email_verified  INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    first_name      TEXT,
    last_name       TEXT,
    nickname        TEXT,
    position        TEXT,
    locale          TEXT,
    active          INTEGER NOT NULL CHECK (active IN (0, 1)),
    inactive_reason TEXT,
    roles           TEXT    NOT NULL,
    groups          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    last_login_at   INTEGER,
    checked_at      INTEGER,
    version         INTEGER NOT NULL
) STRICT;

CREATE TABLE identity (
    connector TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    account   BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    linked_at INTEGER NOT NULL,
    PRIMARY KEY (connector, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX identity_account ON identity (account, connector, subject);

CREATE TABLE password (
    account    BLOB    NOT NULL PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    hash       TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE factor (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    account      BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    kind         TEXT    NOT NULL,
    name         TEXT,
    sealed       BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    last_step    INTEGER
) STRICT;

CREATE INDEX factor_account ON factor (account, created_at, id);

CREATE TABLE recovery_code (
    account BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE login (
    handle     BLOB    NOT NULL PRIMARY KEY CHECK (length(handle) = 32),
    browser    BLOB    NOT NULL CHECK (length(browser) = 32),
    version    INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX login_expiry ON login (expires_at);

-- `parent` is no foreign key: a client's session may outlive the row of an expired browser session.
CREATE TABLE session (
    id                  BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    account             BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    client              TEXT,
    parent              BLOB,
    kind                TEXT    NOT NULL,
    connector           TEXT    NOT NULL,
    amr                 TEXT    NOT NULL,
    acr                 TEXT    NOT NULL,
    scope               TEXT    NOT NULL,
    authenticated_at    INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    last_seen_at        INTEGER NOT NULL,
    idle_timeout_millis INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    ip                  TEXT,
    user_agent          TEXT,
    revoked_at          INTEGER,
    revoked_reason      TEXT
) STRICT;

CREATE INDEX session_account ON session (account, id);
CREATE INDEX session_parent ON session (parent) WHERE parent IS NOT NULL;
CREATE INDEX session_client ON session (client) WHERE client IS NOT NULL;
CREATE INDEX session_expiry ON session (expires_at);
CREATE INDEX session_revoked ON session (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX session_idle_end ON session (last_seen_at + idle_timeout_millis)
    WHERE idle_timeout_millis > 0;

CREATE TABLE cookie (
    id_hash    BLOB    NOT NULL PRIMARY KEY CHECK (length(id_hash) = 32),
    data       TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX cookie_expiry ON cookie (expires_at);

CREATE TABLE code (
    hash           BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    client         TEXT    NOT NULL,
    account        BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    session        BLOB    NOT NULL,
    redirect_uri   TEXT    NOT NULL,
    code_challenge TEXT,
    nonce          TEXT,
    scope          TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    redeemed_for   BLOB
) STRICT;

CREATE INDEX code_account ON code (account);
CREATE INDEX code_expiry ON code (expires_at);

CREATE TABLE access_token (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    session    BLOB    NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    scope      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX access_token_session ON access_token (session);
CREATE INDEX access_token_expiry ON access_token (expires_at);

CREATE TABLE refresh_token (
    hash        BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    session     BLOB    NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    predecessor BLOB,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_token_session ON refresh_token (session);
CREATE INDEX refresh_token_predecessor ON refresh_token (predecessor)
    WHERE predecessor IS NOT NULL;
CREATE INDEX refresh_token_expiry ON refresh_token (expires_at);

CREATE TABLE replay (
    scope      TEXT    NOT NULL,
    key        BLOB    NOT NULL CHECK (length(key) = 32),
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX replay_expiry ON replay (expires_at);

-- `expires_at` is when a counter that nobody touched again is forgotten.
CREATE TABLE throttle (
    key        TEXT    NOT NULL PRIMARY KEY,
    count      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX throttle_expiry ON throttle (expires_at);

CREATE TABLE signing_key (
    kid         TEXT    NOT NULL PRIMARY KEY,
    algorithm   TEXT    NOT NULL,
    sealed      BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    retired_at  INTEGER
) STRICT;

CREATE TABLE client (
    id            TEXT    NOT NULL PRIMARY KEY,
    settings      TEXT    NOT NULL,
    sealed_secret BLOB,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE named_value (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    event      TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    reason     TEXT,
    account    TEXT,
    connector  TEXT,
    client     TEXT,
    ip         TEXT,
    request_id TEXT,
    detail     TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_account ON audit (account, sequence) WHERE account IS NOT NULL;
CREATE INDEX audit_at ON audit (at);

-- One row that the readiness check writes, so that a full disk shows.
CREATE TABLE readiness (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    writes INTEGER NOT NULL
) STRICT;

INSERT INTO readiness (id, writes) VALUES (1, 0);
