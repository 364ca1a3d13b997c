-- What clients have to hear of. Triggers write the events, so that whatever changes an account or
-- ends a session tells of it in its own transaction, and all nodes hear that there is something.
-- Events are kept for seven days.

CREATE TABLE outbox_events (
    sequence   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_events_sequence PRIMARY KEY,
    -- Given by the worker, in order and without gaps; none before it saw the event.
    position   bigint CONSTRAINT outbox_events_position UNIQUE,
    id         text   COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    kind       text   NOT NULL,
    account    uuid,
    client     text   COLLATE "C",
    session    uuid,
    reason     text,
    expires_at bigint NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX outbox_events_new       ON outbox_events (sequence) WHERE position IS NULL;
CREATE INDEX outbox_events_by_expiry ON outbox_events (expires_at);

CREATE TABLE outbox_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_deliveries_id PRIMARY KEY,
    destination text   COLLATE "C" NOT NULL,
    subject     text   COLLATE "C" NOT NULL,
    body        text   NOT NULL,
    created_at  bigint NOT NULL,
    due_at      bigint NOT NULL,
    expires_at  bigint NOT NULL,
    attempts    bigint NOT NULL,
    dead_at     bigint,
    last_error  text
) WITH (fillfactor = 85);
CREATE INDEX outbox_deliveries_pending ON outbox_deliveries (destination, subject, id) WHERE dead_at IS NULL;
CREATE INDEX outbox_deliveries_due     ON outbox_deliveries (destination, due_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_deliveries_listed  ON outbox_deliveries (destination, id);
CREATE INDEX outbox_deliveries_expiry  ON outbox_deliveries (expires_at);

-- One row: who works on the outbox, and the last position that was given.
CREATE TABLE outbox_lease (
    id         integer NOT NULL CONSTRAINT outbox_lease_id PRIMARY KEY CHECK (id = 1),
    holder     uuid    NOT NULL,
    generation bigint  NOT NULL,
    until      bigint  NOT NULL,
    position   bigint  NOT NULL
);

-- Accounts as clients know them: user name, and id in the client's own store.
CREATE TABLE client_accounts (
    client      text    COLLATE "C" NOT NULL,
    account     uuid    NOT NULL CONSTRAINT client_accounts_of_account REFERENCES accounts (id),
    username    text    COLLATE "C",
    remote_id   text    COLLATE "C",
    deactivated boolean NOT NULL,
    memberships text    NOT NULL,
    updated_at  bigint  NOT NULL,
    version     bigint  NOT NULL,
    CONSTRAINT client_accounts_key PRIMARY KEY (client, account),
    CONSTRAINT client_accounts_username UNIQUE (client, username),
    CONSTRAINT client_accounts_remote UNIQUE (client, remote_id)
);
CREATE INDEX client_accounts_by_account ON client_accounts (account);

CREATE FUNCTION outbox_of_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_events (id, at, kind, account, reason, expires_at)
    VALUES (replace(CAST(gen_random_uuid() AS text), '-', ''), NEW.updated_at,
            CASE WHEN OLD.active AND NEW.active THEN 'account.updated'
                 WHEN NEW.active THEN 'account.enabled' ELSE 'account.disabled' END,
            NEW.id, CASE WHEN OLD.active <> NEW.active THEN NEW.inactive_reason END,
            NEW.updated_at + 604800000);
    PERFORM pg_notify('auth_outbox', '');
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_account AFTER UPDATE ON accounts FOR EACH ROW
WHEN (OLD.active <> NEW.active OR (NEW.active AND (
    OLD.username, OLD.email, OLD.email_verified, OLD.first_name, OLD.last_name, OLD.nickname,
    OLD.position, OLD.locale, OLD.roles, OLD.groups) IS DISTINCT FROM (
    NEW.username, NEW.email, NEW.email_verified, NEW.first_name, NEW.last_name, NEW.nickname,
    NEW.position, NEW.locale, NEW.roles, NEW.groups)))
EXECUTE FUNCTION outbox_of_account();

CREATE FUNCTION outbox_of_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_events (id, at, kind, account, client, session, reason, expires_at)
    VALUES (replace(CAST(gen_random_uuid() AS text), '-', ''), NEW.revoked_at, 'session.revoked',
            NEW.account, NEW.client, NEW.id, NEW.revoked_reason, NEW.revoked_at + 604800000);
    PERFORM pg_notify('auth_outbox', '');
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_session AFTER UPDATE OF revoked_at ON sessions FOR EACH ROW
WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL AND NEW.client IS NOT NULL)
EXECUTE FUNCTION outbox_of_session();
