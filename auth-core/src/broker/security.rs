//! What people do with their own factors and devices. A change takes the proof of a fresh login
//! ([`FreshSession`]), writes its audit event with it, and is told to [`SecurityNotice`].

use super::{Broker, BrokerError};
use crate::audit::{AuditRecord, Origin};
use crate::connector::LOCAL;
use crate::factor::{MfaFacts, requirement};
use crate::secret::Secret;
use crate::session::{FreshSession, Session};
use crate::store::{AccountRecord, DeviceId, DeviceRecord, FactorId, FactorRecord, FactorRemoval};

#[cfg(doc)]
use super::SecurityNotice;

/// What guards an account.
#[derive(Debug)]
pub struct SecurityOverview {
    /// Its second factors, oldest first.
    pub factors: Vec<FactorRecord>,
    /// Recovery codes that are left.
    pub recovery_codes_left: u64,
    /// Devices that are remembered, oldest first.
    pub devices: Vec<DeviceRecord>,
    /// Whether its password can be changed here.
    pub has_local_password: bool,
    /// Whether a passkey can be added here.
    pub passkeys_offered: bool,
    /// Whether a change may be made now, or the person has to sign in again first.
    pub is_fresh: bool,
    /// Whether the policy may ask this person for a second factor somewhere: then the last one
    /// stays.
    pub factor_demanded: bool,
}

impl Broker {
    /// What guards the account of this session.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn security_overview(
        &self,
        session: &Session,
    ) -> Result<SecurityOverview, BrokerError> {
        let account = session.account();
        let now = self.now();
        let factors = self.store.factors(&[account.id]).await?;
        let devices = self.store.devices(account.id).await?;
        let identities = self.store.identities(&[account.id]).await?;
        Ok(SecurityOverview {
            recovery_codes_left: self.store.recovery_codes_left(account.id).await?,
            devices: devices.into_iter().filter(|device| now < device.expires_at).collect(),
            has_local_password: self.connectors.local.is_some()
                && identities.iter().any(|identity| identity.connector == LOCAL),
            passkeys_offered: self.has_passkeys(),
            is_fresh: FreshSession::judge(session, !factors.is_empty(), now).is_some(),
            factor_demanded: self.factor_demanded(session),
            factors,
        })
    }

    /// The proof that this session's person signed in just now, with every factor that they have.
    /// `None`: they have to sign in again (see [`Self::reauthentication`]).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fresh_session<'a>(
        &self,
        session: &'a Session,
    ) -> Result<Option<FreshSession<'a>>, BrokerError> {
        let enrolled = !self.store.factors(&[session.account().id]).await?.is_empty();
        Ok(FreshSession::judge(session, enrolled, self.now()))
    }

    /// What a login has to be begun with that makes a session fresh.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reauthentication(
        &self,
        session: &Session,
        continuation: &str,
    ) -> Result<crate::login::LoginRequest, BrokerError> {
        let account = session.account();
        Ok(crate::login::LoginRequest {
            continuation: Some(continuation.to_owned()),
            // Whoever has none is not made to enrol only to be able to enrol.
            two_factors: !self.store.factors(&[account.id]).await?.is_empty(),
            login_hint: Some(account.username.clone()),
            account: Some(account.id),
            ..crate::login::LoginRequest::default()
        })
    }

    /// Names a factor. `false` when the account has no such one, or the name is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rename_factor(
        &self,
        fresh: FreshSession<'_>,
        id: FactorId,
        name: &str,
        origin: &Origin,
    ) -> Result<bool, BrokerError> {
        let Some(name) = factor_name(name) else { return Ok(false) };
        let account = fresh.account();
        let event =
            self.own_event("factor.renamed", account, origin).with("factor", id.to_string());
        let renamed = self.store.rename_factor(account.id, id, name, vec![event.clone()]).await?;
        if renamed {
            self.tell(account, event).await;
        }
        Ok(renamed)
    }

    /// Removes a factor; the last one only where the policy asks nobody like this person for one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_factor(
        &self,
        fresh: FreshSession<'_>,
        id: FactorId,
        origin: &Origin,
    ) -> Result<FactorRemoval, BrokerError> {
        let account = fresh.account();
        let event =
            self.own_event("factor.removed", account, origin).with("factor", id.to_string());
        let keep_last = self.factor_demanded(fresh.session());
        let removal =
            self.store.remove_factor(account.id, id, keep_last, vec![event.clone()]).await?;
        if removal == FactorRemoval::Removed {
            self.tell(account, event).await;
        }
        Ok(removal)
    }

    /// Replaces the recovery codes; the old ones are dead. `None` when the account has no factor
    /// that they could stand in for.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn replace_recovery_codes(
        &self,
        fresh: FreshSession<'_>,
        origin: &Origin,
    ) -> Result<Option<Vec<Secret>>, BrokerError> {
        let account = fresh.account();
        if self.store.factors(&[account.id]).await?.is_empty() {
            return Ok(None);
        }
        let (records, shown) = self.draw_recovery_codes(account.id).await?;
        let event = self.own_event("factor.recovery_codes_replaced", account, origin);
        self.store.replace_recovery_codes(account.id, records, vec![event.clone()]).await?;
        self.tell(account, event).await;
        Ok(Some(shown))
    }

    /// Forgets one remembered device, or all. Returns how many went.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_devices(
        &self,
        fresh: FreshSession<'_>,
        id: Option<DeviceId>,
        origin: &Origin,
    ) -> Result<u64, BrokerError> {
        let account = fresh.account();
        let event = self.own_event("device.forgotten", account, origin);
        let event = match id {
            Some(id) => event.with("device", id.to_string()),
            None => event.with("all", true),
        };
        let gone = self.store.remove_devices(account.id, id, vec![event.clone()]).await?;
        self.tell(account, event).await;
        Ok(gone)
    }

    /// Whether the policy may ask the session's person for a second factor, for whatever client
    /// and from wherever.
    fn factor_demanded(&self, session: &Session) -> bool {
        let mfa = &self.settings.mfa;
        let account = session.account();
        let facts = MfaFacts {
            connector: &session.record().connector,
            roles: &account.roles,
            groups: &account.groups,
            client: None,
            ip: None,
        };
        requirement::may_be_required(&mfa.rules, mfa.policy, &facts)
    }

    fn has_passkeys(&self) -> bool {
        #[cfg(feature = "passkey")]
        return self.offers_passkeys();
        #[cfg(not(feature = "passkey"))]
        false
    }

    pub(super) fn own_event(
        &self,
        name: &str,
        account: &AccountRecord,
        origin: &Origin,
    ) -> AuditRecord {
        AuditRecord::new(self.now(), name).account(&account.username).from_request(origin)
    }

    /// Logs the event of a change that is durable, and tells whoever wants to be told.
    pub(super) async fn tell(&self, account: &AccountRecord, event: AuditRecord) {
        event.log();
        if let Some(notice) = &self.notice {
            notice.security_changed(account, &event).await;
        }
    }
}

/// A name as it is kept: trimmed, on one line, at most 64 characters; `None` for an empty one.
pub(super) fn factor_name(typed: &str) -> Option<String> {
    let plain: String = typed.chars().filter(|c| !c.is_control()).take(64).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}
