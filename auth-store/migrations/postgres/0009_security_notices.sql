-- Changes of an account's protection are told of. The audit trail knows them all, in the transaction
-- of the change, and names accounts by their user name.

CREATE INDEX accounts_by_username ON accounts (username);

CREATE FUNCTION outbox_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_events (id, at, kind, account, reason, expires_at)
    SELECT replace(CAST(gen_random_uuid() AS text), '-', ''), NEW.at, 'account.security_changed',
           accounts.id, NEW.event, NEW.at + 604800000
    FROM accounts WHERE accounts.username = NEW.account;
    PERFORM pg_notify('auth_outbox', '');
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_security AFTER INSERT ON audit FOR EACH ROW
WHEN (NEW.account IS NOT NULL AND NEW.outcome = 'success' AND NEW.event IN ('account.factors_reset', 'account.password_changed', 'factor.added',
    'factor.recovery_code_used', 'factor.recovery_codes_replaced', 'factor.removed',
    'identity.linked', 'identity.unlinked'))
EXECUTE FUNCTION outbox_of_audit();
