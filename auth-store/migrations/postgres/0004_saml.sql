-- The metadata that a SAML connection goes by, and a newer one that waits for approval.
CREATE TABLE saml_metadata (
    connection       text   COLLATE "C" NOT NULL CONSTRAINT saml_metadata_connection PRIMARY KEY,
    source           text   NOT NULL,
    document         bytea  NOT NULL,
    accepted_at      bigint NOT NULL,
    checked_at       bigint NOT NULL,
    pending_document bytea,
    pending_found_at bigint,
    version          bigint NOT NULL,
    CHECK ((pending_document IS NULL) = (pending_found_at IS NULL))
);

-- Private keys of ours, sealed.
CREATE TABLE saml_keys (
    connection  text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    certificate bytea  NOT NULL,
    sealed      bytea  NOT NULL,
    created_at  bigint NOT NULL,
    active_from bigint NOT NULL,
    retired_at  bigint,
    CONSTRAINT saml_keys_id PRIMARY KEY (connection, id)
);
