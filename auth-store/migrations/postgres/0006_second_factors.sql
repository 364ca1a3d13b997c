-- Passkeys: SHA-256 of the credential's id, and the authenticator's counter.
ALTER TABLE factors ADD COLUMN credential bytea, ADD COLUMN sign_count bigint;
CREATE UNIQUE INDEX factors_credential ON factors (credential) WHERE credential IS NOT NULL;

CREATE TABLE enrolments (
    handle     bytea  NOT NULL CONSTRAINT enrolments_handle PRIMARY KEY,
    account    uuid   NOT NULL CONSTRAINT enrolments_account REFERENCES accounts (id),
    session    uuid   NOT NULL,
    kind       text   NOT NULL,
    sealed     bytea  NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX enrolments_by_account ON enrolments (account);
CREATE INDEX enrolments_by_session ON enrolments (session, kind);
CREATE INDEX enrolments_by_expiry  ON enrolments (expires_at);

CREATE TABLE postponements (
    session uuid   NOT NULL CONSTRAINT postponements_session PRIMARY KEY,
    account uuid   NOT NULL CONSTRAINT postponements_account REFERENCES accounts (id),
    at      bigint NOT NULL
);
CREATE INDEX postponements_by_account ON postponements (account, at, session);

CREATE TABLE devices (
    token        bytea  NOT NULL CONSTRAINT devices_token PRIMARY KEY,
    id           uuid   NOT NULL CONSTRAINT devices_id UNIQUE,
    account      uuid   NOT NULL CONSTRAINT devices_account REFERENCES accounts (id),
    created_at   bigint NOT NULL,
    last_used_at bigint,
    expires_at   bigint NOT NULL,
    ip           text,
    user_agent   text
) WITH (fillfactor = 85);
CREATE INDEX devices_by_account ON devices (account, created_at, id);
CREATE INDEX devices_by_expiry  ON devices (expires_at);
