//! Adding a factor while signed in: begun under a handle that belongs to the session, confirmed by
//! its first code or by the authenticator's answer.

use super::enrolment::factor_added;
use super::{Broker, BrokerError, Enrolment};
use crate::audit::Origin;
use crate::factor::totp;
use crate::key_ring::SealContext;
use crate::login::throttle;
use crate::secret::{Secret, Token};
use crate::session::FreshSession;
use crate::store::{AccountRecord, Attempt, EnrolmentRecord, FactorKind, FactorRecord, StoreError};

/// What came of confirming a factor.
#[derive(Debug)]
pub enum Confirmation {
    /// It counts from now on. With an account's first factor come its recovery codes, to be shown
    /// once.
    Added {
        /// The codes; empty when the account had a factor before.
        recovery_codes: Vec<Secret>,
    },
    /// The code or answer was not right; it may be tried again.
    Refused,
    /// The enrolment is over: it took too long, was replaced, or is another session's.
    Over,
}

impl Broker {
    /// Begins to set up an authenticator app. Returns the handle for the form and what to show.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_totp(
        &self,
        fresh: FreshSession<'_>,
    ) -> Result<(Token, Enrolment), BrokerError> {
        let handle = Token::generate(self.random.as_ref());
        let seed = self.fresh_seed()?;
        let row = row_of(&handle);
        let context = SealContext { table: "enrolment", column: "seed", row: &row };
        let sealed = self.ring.seal(context, &seed.to_bytes(), self.random.as_ref());
        self.add_enrolment(fresh, &handle, FactorKind::Totp, sealed).await?;
        let shown = self.show_seed(&seed, &fresh.account().username)?;
        Ok((handle, shown))
    }

    /// Shows an authenticator app's enrolment again. `None` when it is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn show_totp(
        &self,
        fresh: FreshSession<'_>,
        handle: &Token,
    ) -> Result<Option<Enrolment>, BrokerError> {
        let Some(enrolment) = self.own_enrolment(fresh, handle, FactorKind::Totp).await? else {
            return Ok(None);
        };
        let seed = self.seed_of(handle, &enrolment)?;
        self.show_seed(&seed, &fresh.account().username).map(Some)
    }

    /// Confirms an authenticator app by its first code.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn confirm_totp(
        &self,
        fresh: FreshSession<'_>,
        handle: &Token,
        code: &Secret,
        origin: &Origin,
    ) -> Result<Confirmation, BrokerError> {
        let Some(enrolment) = self.own_enrolment(fresh, handle, FactorKind::Totp).await? else {
            return Ok(Confirmation::Over);
        };
        let account = fresh.account();
        let now = self.now();
        // The same counter as at a login, so that it cannot be guessed around it here.
        let counter = throttle::factor(&account.id.to_string());
        let counted = self.store.count_attempt(&counter, self.code_rule(), now).await?;
        let seed = self.seed_of(handle, &enrolment)?;
        let matched = totp::verify(&seed, code.expose(), now, None).ok();
        let step = matched.filter(|_| matches!(counted, Attempt::Allowed { .. }));
        let Some(step) = step else {
            let event = self.own_event("factor.refused", account, origin).refused("wrong_code");
            event.log();
            self.store.append_audit(vec![event]).await?;
            return Ok(Confirmation::Refused);
        };
        self.store.forgive_attempt(&counter).await?;
        let factor = self.totp_factor(account.id, &seed, Some(&step), now);
        self.add_own(account, handle, factor, origin).await
    }

    /// Adds a confirmed factor, with recovery codes if the account had none to stand in for.
    async fn add_own(
        &self,
        account: &AccountRecord,
        handle: &Token,
        factor: FactorRecord,
        origin: &Origin,
    ) -> Result<Confirmation, BrokerError> {
        let first = self.store.factors(&[account.id]).await?.is_empty();
        let (recovery, recovery_codes) = match first {
            true => {
                let (records, shown) = self.draw_recovery_codes(account.id).await?;
                (Some(records), shown)
            }
            false => (None, Vec::new()),
        };
        let event = factor_added(account, &factor, origin, self.now());
        let audit = vec![event.clone()];
        match self.store.confirm_enrolment(handle.hash(), factor, recovery, audit).await {
            Ok(true) => {
                self.tell(account, event).await;
                Ok(Confirmation::Added { recovery_codes })
            }
            Ok(false) => Ok(Confirmation::Over),
            Err(StoreError::Conflict { field: "factor" }) => Ok(Confirmation::Refused),
            Err(error) => Err(error.into()),
        }
    }

    async fn add_enrolment(
        &self,
        fresh: FreshSession<'_>,
        handle: &Token,
        kind: FactorKind,
        sealed: Vec<u8>,
    ) -> Result<(), BrokerError> {
        let enrolment = EnrolmentRecord {
            handle: handle.hash(),
            account: fresh.account().id,
            session: fresh.id(),
            kind,
            sealed,
            expires_at: self.now() + self.settings.login_lifetime,
        };
        Ok(self.store.add_enrolment(enrolment).await?)
    }

    /// The enrolment behind a handle, if it is this session's and not over.
    async fn own_enrolment(
        &self,
        fresh: FreshSession<'_>,
        handle: &Token,
        kind: FactorKind,
    ) -> Result<Option<EnrolmentRecord>, BrokerError> {
        let found = self.store.enrolment(handle.hash()).await?;
        let now = self.now();
        Ok(found.filter(|enrolment| {
            enrolment.session == fresh.id()
                && enrolment.account == fresh.account().id
                && enrolment.kind == kind
                && now < enrolment.expires_at
        }))
    }

    fn seed_of(
        &self,
        handle: &Token,
        enrolment: &EnrolmentRecord,
    ) -> Result<totp::TotpSeed, BrokerError> {
        let row = row_of(handle);
        let context = SealContext { table: "enrolment", column: "seed", row: &row };
        self.open_seed_of(context, &enrolment.sealed)
    }
}

#[cfg(feature = "passkey")]
impl Broker {
    /// Begins to set up a passkey. Returns the handle for the form and what the script is given,
    /// as JSON; `None` where passkeys are not offered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_passkey(
        &self,
        fresh: FreshSession<'_>,
    ) -> Result<Option<(Token, String)>, BrokerError> {
        let Some(ceremony) = self.registration_for(fresh.account()).await? else {
            return Ok(None);
        };
        let handle = Token::generate(self.random.as_ref());
        let sealed = self.seal_ceremony("enrolment", &row_of(&handle), &ceremony)?;
        self.add_enrolment(fresh, &handle, FactorKind::Passkey, sealed).await?;
        Ok(Some((handle, ceremony.options())))
    }

    /// Confirms a passkey by its authenticator's answer.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn confirm_passkey(
        &self,
        fresh: FreshSession<'_>,
        handle: &Token,
        answer: &str,
        name: &str,
        origin: &Origin,
    ) -> Result<Confirmation, BrokerError> {
        let Some(enrolment) = self.own_enrolment(fresh, handle, FactorKind::Passkey).await? else {
            return Ok(Confirmation::Over);
        };
        let account = fresh.account();
        let ceremony = self.open_ceremony("enrolment", &row_of(handle), &enrolment.sealed)?;
        match self.registered(&ceremony, answer).await? {
            Ok(passkey) => {
                let now = self.now();
                let factor = self.passkey_factor(account.id, &passkey, Some(name), now)?;
                self.add_own(account, handle, factor, origin).await
            }
            Err(refusal) => {
                // An answered challenge is not used again.
                self.store.remove_enrolment(handle.hash()).await?;
                let event =
                    self.own_event("factor.refused", account, origin).refused(refusal.as_str());
                event.log();
                self.store.append_audit(vec![event]).await?;
                Ok(Confirmation::Refused)
            }
        }
    }
}

fn row_of(handle: &Token) -> String {
    handle.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
