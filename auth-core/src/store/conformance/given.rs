//! Brings a store into the state that a case begins with, and reads its state back.

use crate::audit::AuditRecord;
use crate::secret::TokenHash;
use crate::store::{
    AccountId, AccountRecord, AuditQuery, CodeRedemption, LoginCompletion, NewAccount, Revocation,
    RevocationScope, SessionFilter, SessionId, SessionRecord, Store, StoreError, TokenIssue,
};

use super::sample::{self, at};

/// An active account without identity and password.
pub(super) async fn account(store: &dyn Store, n: u32) -> Result<AccountRecord, StoreError> {
    store.create_account(new_account(sample::account(n)), vec![]).await
}

pub(super) fn new_account(account: AccountRecord) -> NewAccount {
    NewAccount { account, identity: None, password: None }
}

/// A live browser session, made through a login of the same number.
pub(super) async fn browser(
    store: &dyn Store,
    account: AccountId,
    n: u32,
) -> Result<SessionRecord, StoreError> {
    browser_session(store, sample::browser_session(account, n), n).await
}

/// This browser session, made through login `n`.
pub(super) async fn browser_session(
    store: &dyn Store,
    session: SessionRecord,
    n: u32,
) -> Result<SessionRecord, StoreError> {
    store.add_login(sample::login(n)).await?;
    let done = store.complete_login(completion(n, session.clone())).await?;
    assert!(done, "complete_login of a pending login and an active account answers true");
    Ok(session)
}

/// The end of login `n` with nothing but the session.
pub(super) fn completion(n: u32, session: SessionRecord) -> LoginCompletion {
    LoginCompletion {
        login: sample::login(n),
        account: None,
        session,
        replaces: None,
        factor: None,
        clear_throttle: vec![],
        audit: vec![],
    }
}

/// A chat server's session with the hashes of what was issued for it.
pub(super) struct ClientSession {
    pub(super) record: SessionRecord,
    pub(super) code: TokenHash,
    pub(super) access: TokenHash,
    pub(super) refresh: TokenHash,
}

/// A live client session, made by redeeming a code of the same number.
pub(super) async fn client(
    store: &dyn Store,
    browser: &SessionRecord,
    n: u32,
) -> Result<ClientSession, StoreError> {
    client_session(store, browser, sample::client_session(browser, n), n).await
}

/// This client session, made by redeeming code `n`.
pub(super) async fn client_session(
    store: &dyn Store,
    browser: &SessionRecord,
    record: SessionRecord,
    n: u32,
) -> Result<ClientSession, StoreError> {
    let code = sample::code(browser, n);
    let issue = issue(record.id, n);
    let made = ClientSession {
        record: record.clone(),
        code: code.hash,
        access: issue.access.hash,
        refresh: sample::hash("refresh token", n),
    };
    store.add_code(code).await?;
    let redemption = store.redeem_code(made.code, record, issue, vec![]).await?;
    assert_eq!(redemption, CodeRedemption::Redeemed, "redeem_code of a fresh code");
    Ok(made)
}

/// Access token `n` and refresh token `n` for a session.
pub(super) fn issue(session: SessionId, n: u32) -> TokenIssue {
    TokenIssue {
        access: sample::access_token(session, n),
        refresh: Some(sample::refresh_token(session, None, n)),
    }
}

/// The whole trail.
pub(super) async fn trail(store: &dyn Store) -> Result<Vec<AuditRecord>, StoreError> {
    let query = AuditQuery { limit: 100_000, ..AuditQuery::default() };
    Ok(store.audit(query).await?.into_iter().map(|entry| entry.record).collect())
}

/// Ends one session with what came from it, reason `logout`.
pub(super) async fn revoked(
    store: &dyn Store,
    session: SessionId,
    seconds: u64,
) -> Result<Vec<SessionRecord>, StoreError> {
    let scope = RevocationScope::Session(session);
    store
        .revoke_sessions(Revocation { scope, at: at(seconds), reason: "logout".to_owned() }, vec![])
        .await
}

/// Makes an account inactive; returns it as stored.
pub(super) async fn deactivated(
    store: &dyn Store,
    account: AccountId,
    seconds: u64,
) -> Result<AccountRecord, StoreError> {
    let mut record = existing_account(store, account).await?;
    record.active = false;
    record.inactive_reason = Some("administrator".to_owned());
    record.updated_at = at(seconds);
    assert!(store.update_account(record, vec![]).await?, "update_account to inactive");
    existing_account(store, account).await
}

pub(super) async fn existing_account(
    store: &dyn Store,
    id: AccountId,
) -> Result<AccountRecord, StoreError> {
    let Some(account) = store.account(id).await? else {
        panic!("account {id} is in the store");
    };
    Ok(account)
}

pub(super) async fn existing_session(
    store: &dyn Store,
    id: SessionId,
) -> Result<SessionRecord, StoreError> {
    let Some(session) = store.session(id).await? else {
        panic!("session {id} is in the store");
    };
    Ok(session)
}

/// Expects the session to have been ended at this second for this reason, all else unchanged.
pub(super) async fn assert_ended(
    store: &dyn Store,
    session: &SessionRecord,
    seconds: u64,
    reason: &str,
) -> Result<(), StoreError> {
    let expected = SessionRecord {
        revoked_at: Some(at(seconds)),
        revoked_reason: Some(reason.to_owned()),
        ..session.clone()
    };
    assert_eq!(existing_session(store, session.id).await?, expected, "an ended session");
    Ok(())
}

/// Expects the session to be just as it was made.
pub(super) async fn assert_untouched(
    store: &dyn Store,
    session: &SessionRecord,
) -> Result<(), StoreError> {
    assert_eq!(&existing_session(store, session.id).await?, session, "a session left alone");
    Ok(())
}

/// Ids of the live sessions of one account at this second.
pub(super) async fn live_sessions(
    store: &dyn Store,
    account: AccountId,
    seconds: u64,
) -> Result<Vec<SessionId>, StoreError> {
    let filter = SessionFilter { account: Some(account), after: None, limit: 1000 };
    Ok(store.sessions(filter, at(seconds)).await?.into_iter().map(|s| s.id).collect())
}

/// Expects a `Conflict` that names `field`.
pub(super) fn assert_conflict<T>(result: Result<T, StoreError>, field: &str) {
    match result {
        Err(StoreError::Conflict { field: named }) => {
            assert_eq!(named, field, "the field that Conflict names");
        }
        Err(other) => panic!("expected Conflict of {field}, got the error: {other}"),
        Ok(_) => panic!("expected Conflict of {field}, but the call succeeded"),
    }
}
