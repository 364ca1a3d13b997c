-- Changes of an account's protection are told of. The audit trail knows them all, in the transaction
-- of the change, and names accounts by their user name.

CREATE INDEX account_username ON account (username);

CREATE TRIGGER outbox_security AFTER INSERT ON audit
WHEN new.account IS NOT NULL AND new.outcome = 'success' AND new.event IN ('account.factors_reset', 'account.password_changed', 'factor.added',
    'factor.recovery_code_used', 'factor.recovery_codes_replaced', 'factor.removed',
    'identity.linked', 'identity.unlinked')
BEGIN
    INSERT INTO outbox_event (id, at, kind, account, reason, expires_at)
    SELECT lower(hex(randomblob(16))), new.at, 'account.security_changed', account.id, new.event,
           new.at + 604800000
    FROM account WHERE account.username = new.account;
END;
