-- What clients have to hear of. Triggers write the events, so that whatever changes an account or
-- ends a session tells of it in its own transaction. Events are kept for seven days.

CREATE TABLE outbox_event (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Given by the worker, in order and without gaps; none before it saw the event.
    position   INTEGER UNIQUE,
    id         TEXT    NOT NULL UNIQUE,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    account    BLOB,
    client     TEXT,
    session    BLOB,
    reason     TEXT,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_event_new ON outbox_event (sequence) WHERE position IS NULL;
CREATE INDEX outbox_event_expiry ON outbox_event (expires_at);

CREATE TABLE outbox_delivery (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    dead_at     INTEGER,
    last_error  TEXT
) STRICT;

CREATE INDEX outbox_delivery_pending ON outbox_delivery (destination, subject, id) WHERE dead_at IS NULL;
CREATE INDEX outbox_delivery_due ON outbox_delivery (destination, due_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_delivery_listed ON outbox_delivery (destination, id);
CREATE INDEX outbox_delivery_expiry ON outbox_delivery (expires_at);

-- One row: who works on the outbox, and the last position that was given.
CREATE TABLE outbox_lease (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    holder     BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    until      INTEGER NOT NULL,
    position   INTEGER NOT NULL
) STRICT;

-- Accounts as clients know them: user name, and id in the client's own store.
CREATE TABLE client_account (
    client      TEXT    NOT NULL,
    account     BLOB    NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    username    TEXT,
    remote_id   TEXT,
    deactivated INTEGER NOT NULL CHECK (deactivated IN (0, 1)),
    memberships TEXT    NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (client, account)
) STRICT, WITHOUT ROWID;

CREATE INDEX client_account_account ON client_account (account);
CREATE UNIQUE INDEX client_account_username ON client_account (client, username)
    WHERE username IS NOT NULL;
CREATE UNIQUE INDEX client_account_remote ON client_account (client, remote_id)
    WHERE remote_id IS NOT NULL;

CREATE TRIGGER outbox_account_active AFTER UPDATE OF active ON account
WHEN old.active <> new.active
BEGIN
    INSERT INTO outbox_event (id, at, kind, account, reason, expires_at)
    VALUES (lower(hex(randomblob(16))), new.updated_at,
            CASE new.active WHEN 1 THEN 'account.enabled' ELSE 'account.disabled' END,
            new.id, new.inactive_reason, new.updated_at + 604800000);
END;

CREATE TRIGGER outbox_account_profile AFTER UPDATE ON account
WHEN old.active = 1 AND new.active = 1 AND (
    old.username IS NOT new.username OR old.email IS NOT new.email
    OR old.email_verified IS NOT new.email_verified
    OR old.first_name IS NOT new.first_name OR old.last_name IS NOT new.last_name
    OR old.nickname IS NOT new.nickname OR old.position IS NOT new.position
    OR old.locale IS NOT new.locale OR old.roles IS NOT new.roles OR old.groups IS NOT new.groups)
BEGIN
    INSERT INTO outbox_event (id, at, kind, account, expires_at)
    VALUES (lower(hex(randomblob(16))), new.updated_at, 'account.updated', new.id,
            new.updated_at + 604800000);
END;

CREATE TRIGGER outbox_session_revoked AFTER UPDATE OF revoked_at ON session
WHEN old.revoked_at IS NULL AND new.revoked_at IS NOT NULL AND new.client IS NOT NULL
BEGIN
    INSERT INTO outbox_event (id, at, kind, account, client, session, reason, expires_at)
    VALUES (lower(hex(randomblob(16))), new.revoked_at, 'session.revoked', new.account, new.client,
            new.id, new.revoked_reason, new.revoked_at + 604800000);
END;
