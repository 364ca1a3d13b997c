-- The metadata that a SAML connection goes by, and a newer one that waits for approval.
CREATE TABLE saml_metadata (
    connection       TEXT    NOT NULL PRIMARY KEY,
    source           TEXT    NOT NULL,
    document         BLOB    NOT NULL,
    accepted_at      INTEGER NOT NULL,
    checked_at       INTEGER NOT NULL,
    pending_document BLOB,
    pending_found_at INTEGER,
    version          INTEGER NOT NULL,
    CHECK ((pending_document IS NULL) = (pending_found_at IS NULL))
) STRICT;

-- Private keys of ours, sealed.
CREATE TABLE saml_key (
    connection  TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    certificate BLOB    NOT NULL,
    sealed      BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    active_from INTEGER NOT NULL,
    retired_at  INTEGER,
    PRIMARY KEY (connection, id)
) STRICT;
