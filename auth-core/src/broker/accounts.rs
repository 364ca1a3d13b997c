//! What an administrator does with accounts. Every change leaves an audit event.

use super::sessions::RevokeTarget;
use super::{Broker, BrokerError};
use crate::account::{InvalidName, ROLES, email_key, normalise, validate_username};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::LOCAL;
use crate::connector::password::{PasswordRules, PoolError, own_words};
use crate::factor::MfaPolicy;
use crate::login::throttle;
use crate::secret::Secret;
use crate::store::{
    AccountId, AccountPage, AccountRecord, FactorRecord, IdentityRecord, NewAccount,
    PasswordRecord, StoreError,
};

/// A local account to be made.
#[derive(Debug, Default)]
pub struct NewLocalAccount {
    /// User name, unique over all accounts.
    pub username: String,
    /// E-mail address, unique over all accounts.
    pub email: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Nickname.
    pub nickname: Option<String>,
    /// Position.
    pub position: Option<String>,
    /// BCP 47 language tag.
    pub locale: Option<String>,
    /// Roles; none means `member`.
    pub roles: Vec<String>,
    /// Groups as claims for clients.
    pub groups: Vec<String>,
    /// Password; an account without one cannot sign in by itself.
    pub password: Option<Secret>,
    /// Number for clients of kind gitlab, 1 to [`HIGHEST_CHOSEN_NUMBER`]; none takes the next one.
    pub numeric_id: Option<i64>,
    /// Whether it may not sign in.
    pub inactive: bool,
    /// The identity that it is made for, as connector and stable subject; none makes it local.
    pub identity: Option<(String, String)>,
}

/// The highest number that may be chosen: half of those that clients can take stay for the
/// sequence, which goes on above the highest one.
pub const HIGHEST_CHOSEN_NUMBER: i64 = 1 << 52;

/// An account with what hangs on it.
#[derive(Debug)]
pub struct AccountDetails {
    /// The account.
    pub account: AccountRecord,
    /// Its identities.
    pub identities: Vec<IdentityRecord>,
    /// Its second factors.
    pub factors: Vec<FactorRecord>,
}

impl Broker {
    /// One page of accounts with their identities and factors.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_accounts(
        &self,
        page: AccountPage,
    ) -> Result<Vec<AccountDetails>, BrokerError> {
        let accounts = self.store.accounts(page).await?;
        self.with_details(accounts).await
    }

    /// The account with this user name, e-mail address or id.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn find_account(&self, name: &str) -> Result<AccountRecord, BrokerError> {
        if let Some(account) = self.store.account_by_username(&normalise(name)).await? {
            return Ok(account);
        }
        if let Some(key) = email_key(name)
            && let Some(account) = self.store.account_by_email(&key).await?
        {
            return Ok(account);
        }
        if let Ok(id) = name.parse()
            && let Some(account) = self.store.account(AccountId(id)).await?
        {
            return Ok(account);
        }
        Err(invalid(
            &format!("account {name:?}"),
            "there is none with this user name, e-mail address or id; `user list` shows them",
        ))
    }

    /// An account with what hangs on it.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn show_account(&self, name: &str) -> Result<AccountDetails, BrokerError> {
        let account = self.find_account(name).await?;
        let mut details = self.with_details(vec![account]).await?;
        details.pop().ok_or_else(|| BrokerError::Internal("account without details".to_owned()))
    }

    async fn with_details(
        &self,
        accounts: Vec<AccountRecord>,
    ) -> Result<Vec<AccountDetails>, BrokerError> {
        let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
        let mut identities = self.store.identities(&ids).await?;
        let mut factors = self.store.factors(&ids).await?;
        Ok(accounts
            .into_iter()
            .map(|account| AccountDetails {
                identities: identities.extract_if(.., |i| i.account == account.id).collect(),
                factors: factors.extract_if(.., |f| f.account == account.id).collect(),
                account,
            })
            .collect())
    }

    /// Makes a local account.
    ///
    /// # Errors
    /// When a value is not acceptable or taken (names the field and how to mend it), password
    /// hashing is busy, or the store fails. Nothing is made then.
    pub async fn create_local_account(
        &self,
        new: NewLocalAccount,
        rules: &PasswordRules,
        origin: &Origin,
    ) -> Result<AccountRecord, BrokerError> {
        let now = self.now();
        let username = new.username.trim().to_owned();
        validate_username(&username)
            .map_err(|error: InvalidName| invalid("username", &error.to_string()))?;
        let email = new.email.map(|email| email.trim().to_owned());
        let key =
            match &email {
                Some(email) => Some(email_key(email).ok_or_else(|| {
                    invalid("email", "is no plain address of the form name@domain")
                })?),
                None => None,
            };
        let id = AccountId(self.new_id(now));
        if let Some(field) = self.shadowed(&username, key.as_deref()).await? {
            return Err(invalid(
                field,
                "is the name or the address of another account; choose another one",
            ));
        }
        if let Some(role) = new.roles.iter().find(|role| !ROLES.contains(&role.as_str())) {
            return Err(invalid("role", &format!("{role:?} is none of {}", ROLES.join(", "))));
        }
        if new.numeric_id.is_some_and(|number| !(1..=HIGHEST_CHOSEN_NUMBER).contains(&number)) {
            return Err(invalid("numeric_id", "must be from 1 to 4503599627370496"));
        }
        let account = AccountRecord {
            id,
            numeric_id: 0,
            username_key: normalise(&username),
            username,
            email_verified: email.is_some(),
            email,
            email_key: key,
            first_name: new.first_name,
            last_name: new.last_name,
            nickname: new.nickname,
            position: new.position,
            locale: new.locale,
            active: !new.inactive,
            inactive_reason: new.inactive.then(|| "administrator".to_owned()),
            roles: if new.roles.is_empty() { vec!["member".to_owned()] } else { new.roles },
            groups: new.groups,
            created_at: now,
            updated_at: now,
            last_login_at: None,
            checked_at: None,
            version: 0,
        };
        let password = match new.password {
            Some(password) => {
                let words = own_words(&account);
                Some(self.new_password(id, password, &words, rules, now).await?)
            }
            None => None,
        };
        let (connector, subject) =
            new.identity.unwrap_or_else(|| (LOCAL.to_owned(), id.to_string()));
        let event = AuditRecord::new(now, "account.created")
            .account(&account.username)
            .connector(&connector)
            .from_request(origin);
        let identity = IdentityRecord { connector, subject, account: id, linked_at: now };
        let record = NewAccount { account, identity: Some(identity), password };
        let audit = vec![event.clone()];
        let made = match new.numeric_id {
            None => self.store.create_account(record, audit).await,
            Some(number) => self.store.create_numbered_account(record, number, audit).await,
        };
        let made = made.map_err(taken)?;
        event.log();
        Ok(made)
    }

    /// Whether a new account's name is another's address, or its address another's name: what a
    /// person types must mean one account. Names the field at fault.
    pub(super) async fn shadowed(
        &self,
        username: &str,
        email: Option<&str>,
    ) -> Result<Option<&'static str>, BrokerError> {
        if let Some(address) = email_key(username)
            && email != Some(address.as_str())
            && self.store.account_by_email(&address).await?.is_some()
        {
            return Ok(Some("username"));
        }
        if let Some(address) = email
            && normalise(username) != address
            && self.store.account_by_username(address).await?.is_some()
        {
            return Ok(Some("email"));
        }
        Ok(None)
    }

    /// Sets a local account's password and ends its sessions.
    ///
    /// # Errors
    /// When the account belongs to another connector only (its password is changed there), the
    /// password breaks a rule, hashing is busy, or the store fails.
    pub async fn set_password(
        &self,
        name: &str,
        password: Secret,
        rules: &PasswordRules,
        origin: &Origin,
    ) -> Result<AccountRecord, BrokerError> {
        let now = self.now();
        let details = self.show_account(name).await?;
        let account = details.account;
        if !details.identities.iter().any(|identity| identity.connector == LOCAL) {
            let connectors: Vec<&str> =
                details.identities.iter().map(|identity| identity.connector.as_str()).collect();
            return Err(invalid(
                &format!("account {:?}", account.username),
                &format!(
                    "signs in through {}, so its password is changed there",
                    connectors.join(", ")
                ),
            ));
        }
        let words = own_words(&account);
        let record = self.new_password(account.id, password, &words, rules, now).await?;
        let event = |name: &str| {
            AuditRecord::new(now, name)
                .account(&account.username)
                .connector(LOCAL)
                .from_request(origin)
        };
        let audit = vec![
            event("account.password_changed"),
            event("session.revoked").with("reason", "password_changed").with("all", true),
        ];
        self.store.set_password(record, true, audit.clone()).await?;
        audit.iter().for_each(AuditRecord::log);
        Ok(account)
    }

    pub(super) async fn new_password(
        &self,
        account: AccountId,
        password: Secret,
        own_words: &[String],
        rules: &PasswordRules,
        now: Timestamp,
    ) -> Result<PasswordRecord, BrokerError> {
        let Some(local) = &self.connectors.local else {
            return Err(invalid("password.enabled", "is false, so no account can have a password"));
        };
        let mfa = &self.settings.mfa;
        let second_factor = mfa.policy == MfaPolicy::Required && mfa.grace.is_none();
        rules
            .check(&password, own_words, second_factor)
            .map_err(|error| invalid("password", &error.to_string()))?;
        let hash = local.pool().hash(password).await.map_err(|error| match error {
            PoolError::Busy => BrokerError::Busy,
            other => BrokerError::Internal(other.to_string()),
        })?;
        Ok(PasswordRecord { account, hash, changed_at: now })
    }

    /// Lets a person in again, or shuts them out and ends their sessions. `false` when the
    /// account was in that state already.
    ///
    /// # Errors
    /// When there is no such account or the store fails.
    pub async fn set_active(
        &self,
        name: &str,
        active: bool,
        origin: &Origin,
    ) -> Result<bool, BrokerError> {
        let now = self.now();
        for _ in 0..4 {
            let mut account = self.find_account(name).await?;
            if !is_news(&account, active) {
                return Ok(false);
            }
            account.active = active;
            account.inactive_reason = (!active).then(|| "administrator".to_owned());
            account.updated_at = now;
            let event = |name: &str| {
                AuditRecord::new(now, name).account(&account.username).from_request(origin)
            };
            let audit = if active {
                vec![event("account.enabled")]
            } else {
                vec![
                    event("account.disabled"),
                    event("session.revoked").with("reason", "account_inactive").with("all", true),
                ]
            };
            if self.store.update_account(account, audit.clone()).await? {
                audit.iter().for_each(AuditRecord::log);
                return Ok(true);
            }
        }
        Err(BrokerError::Store(StoreError::Unavailable {
            message: "the account keeps changing; try again".to_owned(),
        }))
    }

    /// Removes an account's second factors and recovery codes. Returns how many factors went.
    ///
    /// # Errors
    /// When there is no such account or the store fails.
    pub async fn reset_factors(&self, name: &str, origin: &Origin) -> Result<u64, BrokerError> {
        let now = self.now();
        let account = self.find_account(name).await?;
        let event = AuditRecord::new(now, "account.factors_reset")
            .account(&account.username)
            .from_request(origin);
        let removed = self.store.remove_factors(account.id, None, vec![event.clone()]).await?;
        let id = account.id.to_string();
        self.store.clear_attempts(&[throttle::factor(&id), throttle::factor_total(&id)]).await?;
        self.tell(&account, event).await;
        // Whoever holds a lost or stolen factor may have come in with it. After the removal, so that
        // nobody comes in by it meanwhile; where this fails, the reset is simply done again.
        let target = RevokeTarget::Account(Box::new(account));
        self.revoke_sessions(target, "factors_reset", origin).await?;
        Ok(removed)
    }
}

/// Whether enabling or disabling changes anything. Whom a synchronisation shut out it lets in
/// again; an administrator's word stands, so disabling such an account is no empty word.
#[must_use]
pub fn is_news(account: &AccountRecord, active: bool) -> bool {
    let by_sync = account.inactive_reason.as_deref().is_some_and(|it| it.starts_with("sync:"));
    account.active != active || (!active && by_sync)
}

pub(super) fn invalid(what: &str, problem: &str) -> BrokerError {
    BrokerError::Invalid { what: what.to_owned(), problem: problem.to_owned() }
}

fn taken(error: StoreError) -> BrokerError {
    match error {
        StoreError::Conflict { field } => {
            invalid(field, "is in use by another account; choose another one")
        }
        other => BrokerError::Store(other),
    }
}
