//! Local passwords: the connector `local`, whose subject is the account's own id.
//!
//! It is handed what the store holds and judges it; it never reads the store. Hashing runs on the
//! threads of [`HashPool`], never on async ones. Whoever has no password here (unknown, or an
//! account of another connector) costs the same hash as everybody else.

mod hash;
mod pool;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use hash::{
    Argon2Parameters, MAX_PASSWORD_BYTES, ParametersError, StoredHashError, needs_rehash,
};
pub use pool::{HashPool, HashPoolSettings, PoolError, StartError, Verification};
pub use rules::{PasswordRules, RulesError, WeakPassword, own_words};

use super::{ConnectorError, LOCAL, Profile, Refusal, VerifiedIdentity};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::{AccountRecord, PasswordRecord};

/// Verifies local passwords.
#[derive(Clone)]
pub struct PasswordConnector {
    pool: Arc<HashPool>,
}

impl PasswordConnector {
    /// A connector that hashes on `pool`.
    #[must_use]
    pub const fn new(pool: Arc<HashPool>) -> Self {
        Self { pool }
    }

    /// The pool, for setting passwords and for metrics.
    #[must_use]
    pub fn pool(&self) -> &HashPool {
        &self.pool
    }

    /// Judges `password` for the account that was typed: what the store found under that name,
    /// and its password record, each `None` when there is none.
    ///
    /// With the identity comes a new hash when the stored one has other parameters than the
    /// configured ones; write it by [`crate::store::AccountStore::rehash_password`].
    ///
    /// # Errors
    /// `Refused` with `EmptyPassword`, `MalformedInput`, `UnknownUser` or `WrongPassword`;
    /// `Unavailable` with `hash_queue_full` when too many wait (answer 503 and Retry-After),
    /// `password_hash_damaged`, `hash_failed` or `shutting_down`.
    pub async fn authenticate(
        &self,
        account: Option<&AccountRecord>,
        record: Option<&PasswordRecord>,
        password: Secret,
        now: Timestamp,
    ) -> Result<(VerifiedIdentity, Option<String>), ConnectorError> {
        hash::check_presented(&password).map_err(ConnectorError::refused)?;
        let known = account.zip(record).filter(|(account, record)| account.id == record.account);
        let Some((account, record)) = known else {
            self.pool.verify_dummy(password).await?;
            let detail = account.map(|_| "the account has no local password".to_owned());
            return Err(ConnectorError::Refused { reason: Refusal::UnknownUser, detail });
        };
        match self.pool.verify(password, record.hash.clone()).await? {
            Verification::Right { rehashed } => Ok((identity(account, now), rehashed)),
            Verification::Wrong => Err(ConnectorError::refused(Refusal::WrongPassword)),
        }
    }
}

/// The profile says what the account says already, so that applying it changes nothing.
fn identity(account: &AccountRecord, now: Timestamp) -> VerifiedIdentity {
    let profile = Profile {
        username: account.username.clone(),
        email: account.email.clone(),
        email_verified: account.email_verified,
        first_name: account.first_name.clone(),
        last_name: account.last_name.clone(),
        nickname: account.nickname.clone(),
        position: account.position.clone(),
        locale: account.locale.clone(),
        groups: account.groups.clone(),
        roles: account.roles.clone(),
        claims: BTreeMap::new(),
    };
    VerifiedIdentity::new(LOCAL, account.id.to_string(), profile, &["pwd"], now)
}

impl From<PoolError> for ConnectorError {
    fn from(error: PoolError) -> Self {
        let reason = match error {
            PoolError::Busy => "hash_queue_full",
            PoolError::Closed => "shutting_down",
            PoolError::Failed(_) => "hash_failed",
            PoolError::StoredHash(_) => "password_hash_damaged",
        };
        Self::Unavailable { reason, message: error.to_string() }
    }
}
