-- Passkeys: SHA-256 of the credential's id, and the authenticator's counter.
ALTER TABLE factor ADD COLUMN credential BLOB CHECK (credential IS NULL OR length(credential) = 32);
ALTER TABLE factor ADD COLUMN sign_count INTEGER;
CREATE UNIQUE INDEX factor_credential ON factor (credential) WHERE credential IS NOT NULL;

CREATE TABLE enrolment (
    handle     BLOB    NOT NULL PRIMARY KEY CHECK (length(handle) = 32),
    account    BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    session    BLOB    NOT NULL CHECK (length(session) = 16),
    kind       TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX enrolment_account ON enrolment (account);
CREATE INDEX enrolment_session ON enrolment (session, kind);
CREATE INDEX enrolment_expiry ON enrolment (expires_at);

CREATE TABLE postponement (
    session BLOB    NOT NULL PRIMARY KEY CHECK (length(session) = 16),
    account BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX postponement_account ON postponement (account, at, session);

CREATE TABLE device (
    token        BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    id           BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    account      BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at   INTEGER NOT NULL,
    ip           TEXT,
    user_agent   TEXT
) STRICT;

CREATE INDEX device_account ON device (account, created_at, id);
CREATE INDEX device_expiry ON device (expires_at);
