//! Whether a verified identity gets an account: the rules of provisioning, in one place.
//!
//! An identity is (connector, stable subject). Nobody is ever linked to an existing account by a
//! name or an e-mail address alone: a new identity whose name or address belongs to another
//! account is refused, and the audit event says which account holds it.

use uuid::Uuid;

use super::name::{email_key, normalise};
use crate::clock::Timestamp;
use crate::connector::{Profile, VerifiedIdentity};
use crate::store::{AccountId, AccountRecord, IdentityRecord, NewAccount};

/// What is to be done with the account of a verified identity.
#[derive(Debug)]
pub enum Admission {
    /// Known: write the account with the profile brought up to date.
    Update(Box<AccountRecord>),
    /// New: make this account.
    Create(Box<NewAccount>),
}

/// Why a verified identity is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmissionRefusal {
    /// The account is inactive.
    Inactive {
        /// Its user name.
        username: String,
        /// Who made it inactive.
        reason: String,
    },
    /// The connector gave no user name.
    NoUsername,
}

impl AdmissionRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Inactive { .. } => "account_inactive",
            Self::NoUsername => "no_username",
        }
    }
}

/// Decides what becomes of `identity`, for which the store found `known`. `profile` is what the
/// connector says of it, with the roles that the rules give; it is written into a known account
/// only when the identity leads its profile.
///
/// `new_id` is the id of an account to be made. Uniqueness of name and address is left to the
/// store's constraint, which alone can decide it when two people come at once.
///
/// # Errors
/// When the person is not let in.
pub fn admit(
    identity: &VerifiedIdentity,
    profile: &Profile,
    leads: bool,
    known: Option<AccountRecord>,
    new_id: Uuid,
    now: Timestamp,
) -> Result<Admission, AdmissionRefusal> {
    if let Some(mut account) = known {
        if !account.active {
            let reason = account.inactive_reason.unwrap_or_else(|| "unknown".to_owned());
            return Err(AdmissionRefusal::Inactive { username: account.username, reason });
        }
        if leads {
            apply_profile(&mut account, profile);
        }
        account.updated_at = now;
        account.last_login_at = Some(now);
        account.checked_at = Some(now);
        return Ok(Admission::Update(Box::new(account)));
    }
    if profile.username.trim().is_empty() {
        return Err(AdmissionRefusal::NoUsername);
    }
    Ok(Admission::Create(Box::new(new_account(
        identity.connector(),
        identity.subject(),
        identity.profile(),
        new_id,
        now,
    ))))
}

/// An account for somebody whom a connector vouches for and who has none yet, with the identity
/// that links the two.
#[must_use]
pub fn new_account(
    connector: &str,
    subject: &str,
    profile: &Profile,
    new_id: Uuid,
    now: Timestamp,
) -> NewAccount {
    let id = AccountId(new_id);
    let mut account = AccountRecord {
        id,
        numeric_id: 0,
        username: String::new(),
        username_key: String::new(),
        email: None,
        email_key: None,
        email_verified: false,
        first_name: None,
        last_name: None,
        nickname: None,
        position: None,
        locale: None,
        active: true,
        inactive_reason: None,
        roles: Vec::new(),
        groups: Vec::new(),
        created_at: now,
        updated_at: now,
        last_login_at: None,
        checked_at: Some(now),
        version: 0,
    };
    apply_profile(&mut account, profile);
    let link = IdentityRecord {
        connector: connector.to_owned(),
        subject: subject.to_owned(),
        account: id,
        linked_at: now,
    };
    NewAccount { account, identity: Some(link), password: None }
}

/// Writes what the connector says into the account. What the connector does not give is cleared,
/// so that the account never shows a mixture of old and new; an address that is not a plain one
/// is left out.
pub fn apply_profile(account: &mut AccountRecord, profile: &Profile) {
    if !profile.username.trim().is_empty() {
        account.username = profile.username.trim().to_owned();
        account.username_key = normalise(&profile.username);
    }
    account.email_key = profile.email.as_deref().and_then(email_key);
    account.email =
        account.email_key.as_ref().and(profile.email.clone()).map(|e| e.trim().to_owned());
    account.email_verified = account.email.is_some() && profile.email_verified;
    account.first_name.clone_from(&profile.first_name);
    account.last_name.clone_from(&profile.last_name);
    account.nickname.clone_from(&profile.nickname);
    account.position.clone_from(&profile.position);
    account.locale.clone_from(&profile.locale);
    account.groups.clone_from(&profile.groups);
    account.roles =
        if profile.roles.is_empty() { vec!["member".to_owned()] } else { profile.roles.clone() };
}
