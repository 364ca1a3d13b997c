-- What identity providers said of their own sessions. No foreign key: a row is written before its
-- session, and goes by its time.
CREATE TABLE upstream_sessions (
    session       uuid   NOT NULL CONSTRAINT upstream_sessions_session PRIMARY KEY,
    connector     text   COLLATE "C" NOT NULL,
    subject       text   COLLATE "C" NOT NULL,
    session_index text   COLLATE "C",
    sealed_hint   bytea,
    expires_at    bigint NOT NULL
);
CREATE INDEX upstream_sessions_by_subject ON upstream_sessions (connector, subject);
CREATE INDEX upstream_sessions_by_index   ON upstream_sessions (connector, session_index);
CREATE INDEX upstream_sessions_by_expiry  ON upstream_sessions (expires_at);
