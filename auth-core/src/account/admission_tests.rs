//! Accounts for the tests of these rules.

use crate::account::{email_key, normalise};
use crate::clock::Timestamp;
use crate::store::{AccountId, AccountRecord};

/// An active account.
pub(crate) fn record(id: AccountId, username: &str, email: &str, verified: bool) -> AccountRecord {
    let at = Timestamp::from_seconds(1_764_000_000);
    AccountRecord {
        id,
        numeric_id: 1,
        username: username.to_owned(),
        username_key: normalise(username),
        email: Some(email.to_owned()),
        email_key: email_key(email),
        email_verified: verified,
        first_name: None,
        last_name: None,
        nickname: None,
        position: None,
        locale: None,
        active: true,
        inactive_reason: None,
        roles: vec!["member".to_owned()],
        groups: Vec::new(),
        created_at: at,
        updated_at: at,
        last_login_at: None,
        checked_at: None,
        version: 1,
    }
}
