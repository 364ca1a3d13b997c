//! Changing one's own local password: the old one is asked for, under the login's own limiter.

use super::{Broker, BrokerError};
use crate::audit::Origin;
use crate::connector::password::{PasswordRules, own_words};
use crate::connector::{ConnectorError, LOCAL};
use crate::login::{TypedName, throttle};
use crate::secret::Secret;
use crate::session::FreshSession;
use crate::store::{Attempt, ThrottleRule};

/// What came of changing a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// It is changed; every session of the account is over, and every remembered device.
    Changed,
    /// The old password is wrong, or was tried too often.
    WrongPassword,
    /// The new one breaks a rule; the text says which.
    NotAcceptable(String),
}

impl Broker {
    /// Changes the password of the session's account.
    ///
    /// # Errors
    /// When the account has no local password, hashing is busy, or the store fails.
    pub async fn change_own_password(
        &self,
        fresh: FreshSession<'_>,
        old: Secret,
        new: Secret,
        rules: &PasswordRules,
        origin: &Origin,
    ) -> Result<PasswordChange, BrokerError> {
        let account = fresh.account();
        let now = self.now();
        let stored = self.store.password(account.id).await?;
        let (Some(local), Some(stored)) = (&self.connectors.local, stored) else {
            return Err(super::accounts::invalid("password", "the account has none here"));
        };
        let counters =
            throttle::password(&TypedName::new(LOCAL, &account.username), origin.ip, None);
        let rule = self.settings.throttle;
        let counted = self.store.count_attempt(&counters.by_source, rule, now).await?;
        let unlimited = ThrottleRule { limit: i64::MAX, lockout: rule.lockout };
        if let Attempt::Allowed { count } =
            self.store.count_attempt(&counters.over_all, unlimited, now).await?
        {
            tokio::time::sleep(throttle::delay(count, rule.limit)).await;
        }
        let reason = match counted {
            Attempt::Locked { .. } => Some("throttled"),
            Attempt::Allowed { .. } => {
                match local.authenticate(Some(account), Some(&stored), old, now).await {
                    Ok(_) => None,
                    Err(ConnectorError::Refused { reason, .. }) => Some(reason.as_str()),
                    Err(ConnectorError::Unavailable { .. }) => return Err(BrokerError::Busy),
                }
            }
        };
        if let Some(reason) = reason {
            let event =
                self.own_event("account.password_change_refused", account, origin).refused(reason);
            self.note(event).await?;
            return Ok(PasswordChange::WrongPassword);
        }
        self.store.clear_attempts(&[counters.by_source, counters.over_all]).await?;
        let words = own_words(account);
        let record = match self.new_password(account.id, new, &words, rules, now).await {
            Ok(record) => record,
            Err(BrokerError::Invalid { problem, .. }) => {
                return Ok(PasswordChange::NotAcceptable(problem));
            }
            Err(error) => return Err(error),
        };
        let event = self.own_event("account.password_changed", account, origin).connector(LOCAL);
        let ended = self
            .own_event("session.revoked", account, origin)
            .with("reason", "password_changed")
            .with("all", true);
        self.store.set_password(record, true, vec![event.clone(), ended.clone()]).await?;
        ended.log();
        self.tell(account, event).await;
        Ok(PasswordChange::Changed)
    }
}
