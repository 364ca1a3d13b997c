-- What a synchronisation last saw of a person stands beside the person's identity.
-- `sync_digest`: 16 bytes over the mapped fields; NULL: to be looked at again.
-- `sync_dn`: NULL: never seen by a synchronisation.
ALTER TABLE identity ADD COLUMN sync_digest BLOB CHECK (sync_digest IS NULL OR length(sync_digest) = 16);
ALTER TABLE identity ADD COLUMN sync_shut_out INTEGER NOT NULL DEFAULT 0 CHECK (sync_shut_out IN (0, 1));
ALTER TABLE identity ADD COLUMN sync_password_changed_at TEXT;
ALTER TABLE identity ADD COLUMN sync_dn TEXT;

-- The lease of a directory, and where its next read goes on. `generation` grows with every grant.
CREATE TABLE sync_directory (
    directory    TEXT    NOT NULL PRIMARY KEY,
    generation   INTEGER NOT NULL,
    holder       TEXT,
    lease_until  INTEGER,
    position     TEXT,
    full_at      INTEGER,
    succeeded_at INTEGER,
    started_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sync_job (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    directory   TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    holder      TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    applied     INTEGER NOT NULL,
    deactivated INTEGER NOT NULL,
    overridden  INTEGER NOT NULL CHECK (overridden IN (0, 1)),
    detail      TEXT    NOT NULL
) STRICT;

CREATE INDEX sync_job_directory ON sync_job (directory, started_at, id);
CREATE INDEX sync_job_end ON sync_job (finished_at) WHERE finished_at IS NOT NULL;
