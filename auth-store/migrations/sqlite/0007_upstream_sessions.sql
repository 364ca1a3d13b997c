-- What identity providers said of their own sessions. No foreign key: a row is written before its
-- session, and goes by its time.
CREATE TABLE upstream_session (
    session       BLOB    NOT NULL PRIMARY KEY CHECK (length(session) = 16),
    connector     TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    session_index TEXT,
    sealed_hint   BLOB,
    expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX upstream_session_subject ON upstream_session (connector, subject);
CREATE INDEX upstream_session_index ON upstream_session (connector, session_index);
CREATE INDEX upstream_session_expiry ON upstream_session (expires_at);
