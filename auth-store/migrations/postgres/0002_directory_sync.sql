-- What a synchronisation last saw of a person stands beside the person's identity.
-- sync_digest: 16 bytes over the mapped fields; NULL: to be looked at again.
-- sync_dn: NULL: never seen by a synchronisation.
ALTER TABLE identities ADD COLUMN sync_digest bytea;
ALTER TABLE identities ADD COLUMN sync_shut_out boolean NOT NULL DEFAULT false;
ALTER TABLE identities ADD COLUMN sync_password_changed_at text;
ALTER TABLE identities ADD COLUMN sync_dn text;

-- The lease of a directory, and where its next read goes on. generation grows with every grant.
-- A batch holds a share lock on this row, so that a take-over waits for its end.
CREATE TABLE sync_directories (
    directory    text   COLLATE "C" NOT NULL CONSTRAINT sync_directories_directory PRIMARY KEY,
    generation   bigint NOT NULL,
    holder       text,
    lease_until  bigint,
    position     json,
    full_at      bigint,
    succeeded_at bigint,
    started_at   bigint
) WITH (fillfactor = 70);

CREATE TABLE sync_jobs (
    id          uuid   NOT NULL CONSTRAINT sync_jobs_id PRIMARY KEY,
    directory   text   COLLATE "C" NOT NULL,
    generation  bigint NOT NULL,
    holder      text   NOT NULL,
    state       text   NOT NULL,
    started_at  bigint NOT NULL,
    finished_at bigint,
    applied     bigint NOT NULL,
    deactivated bigint NOT NULL,
    overridden  boolean NOT NULL,
    detail      json   NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX sync_jobs_by_directory ON sync_jobs (directory, started_at, id);
CREATE INDEX sync_jobs_by_end       ON sync_jobs (finished_at) WHERE finished_at IS NOT NULL;
