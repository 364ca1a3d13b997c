//! Passkeys in a login: begun with the step that may be answered by one, kept sealed beside it,
//! consumed by one call of the store.

use zeroize::Zeroizing;

use super::enrolment::login_row;
use super::first_factor::Refused;
use super::second_factor::Judged;
use super::sign_in::At;
use super::source_limit::Counted;
use super::{Broker, BrokerError, Step};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::factor::PassedFactor;
use crate::factor::passkey::{Assertion, Ceremony, PasskeyRefusal, Passkeys, StoredPasskey};
use crate::key_ring::SealContext;
use crate::login::{PendingLogin, Stage, flow};
use crate::store::{
    AccountId, AccountRecord, FactorId, FactorKind, FactorRecord, PasskeyOutcome, PasskeyUse,
};

impl Broker {
    /// Offers passkeys; without this call none is asked for or set up.
    #[must_use]
    pub fn with_passkeys(mut self, passkeys: Passkeys) -> Self {
        self.passkeys = Some(passkeys);
        self
    }

    /// Whether a passkey can be set up here.
    #[must_use]
    pub const fn offers_passkeys(&self) -> bool {
        self.passkeys.is_some()
    }

    /// Begins the ceremony that `stage` may be answered by, in the place of an earlier one.
    pub(super) async fn prepare_ceremony(
        &self,
        login: &mut PendingLogin,
        stage: &Stage,
    ) -> Result<(), BrokerError> {
        let Some(passkeys) = &self.passkeys else { return Ok(()) };
        let ceremony = match stage {
            Stage::Credentials if passkeys.is_passwordless() => {
                Some(passkeys.begin_discoverable().map_err(not_begun)?)
            }
            Stage::Factor(first) => {
                let known = self.passkeys_of(first.account()).await?;
                match known.is_empty() {
                    true => None,
                    false => Some(passkeys.begin_authentication(&known).map_err(not_begun)?),
                }
            }
            Stage::Enrolment { first, .. } => {
                let account = self.store.account(first.account()).await?;
                account.map(|account| begin_registration(passkeys, &account, &[])).transpose()?
            }
            _ => None,
        };
        let sealed = match &ceremony {
            Some(ceremony) => Some(self.seal_ceremony("login", &login_row(login), ceremony)?),
            None => None,
        };
        login.set_ceremony(sealed);
        Ok(())
    }

    /// What the script of the login's page is given.
    pub(super) fn passkey_options(
        &self,
        login: &PendingLogin,
    ) -> Result<Option<String>, BrokerError> {
        Ok(self.ceremony_of(login)?.map(|ceremony| ceremony.options()))
    }

    pub(super) fn ceremony_of(
        &self,
        login: &PendingLogin,
    ) -> Result<Option<Ceremony>, BrokerError> {
        let sealed = login.ceremony().filter(|_| self.passkeys.is_some());
        sealed.map(|sealed| self.open_ceremony("login", &login_row(login), sealed)).transpose()
    }

    /// A second factor by passkey.
    pub(super) async fn factor_by_passkey(
        &self,
        mut login: PendingLogin,
        answer: &str,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let Stage::Factor(first) = login.take_stage() else { return Err(BrokerError::FormToken) };
        let Some(account) = self.still_welcome(&login, &first, at).await? else {
            return Err(BrokerError::FormToken);
        };
        let ceremony = self.ceremony_of(&login)?.ok_or(BrokerError::FormToken)?;
        let judged = match Assertion::parse(answer) {
            Ok(assertion) => self.judge_passkey(&account, ceremony, &assertion, at).await?,
            Err(refusal) => Judged::Refused(Refused::plain(refusal.as_str())),
        };
        let passed = match judged {
            Judged::Passed(passed) => passed,
            Judged::Refused(refused) => {
                self.sources.refused(Counted::Network(at.origin.ip));
                let connector = first.connector().to_owned();
                self.audit_refusal(&login, &connector, &account.username, &refused, at).await?;
                return self.begin_again(login, Stage::Factor(first), &refused, at).await;
            }
        };
        // The counter of wrong codes is left as it is: no code was right.
        match flow::after_second_factor(first, account, &passed) {
            Some(done) => self.complete(login, done, None, vec![], at).await,
            None => Err(BrokerError::FormToken),
        }
    }

    /// Sets up a passkey as the account's first second factor.
    pub(super) async fn enrol_passkey(
        &self,
        mut login: PendingLogin,
        answer: &str,
        name: Option<&str>,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let Stage::Enrolment { first, sealed_seed } = login.take_stage() else {
            return Err(BrokerError::FormToken);
        };
        let Some(account) = self.still_welcome(&login, &first, at).await? else {
            return Err(BrokerError::FormToken);
        };
        let ceremony = self.ceremony_of(&login)?.ok_or(BrokerError::FormToken)?;
        let registered = match self.registered(&ceremony, answer).await? {
            Ok(_) if !self.store.factors(&[account.id]).await?.is_empty() => Err("factor_exists"),
            Ok(passkey) => Ok(passkey),
            Err(refusal) => Err(refusal.as_str()),
        };
        let passkey = match registered {
            Ok(passkey) => passkey,
            Err(reason) => {
                let refused = Refused::plain(reason);
                let connector = first.connector().to_owned();
                self.audit_refusal(&login, &connector, &account.username, &refused, at).await?;
                let stage = Stage::Enrolment { first, sealed_seed };
                return self.begin_again(login, stage, &refused, at).await;
            }
        };
        let factor = self.passkey_factor(account.id, &passkey, name, at.now)?;
        let confirmed = self.confirmed(&account, factor, at.origin, at.now).await?;
        let passed = PassedFactor::registered(&passkey, account.id);
        match flow::after_second_factor(first, account, &passed) {
            Some(done) => self.complete(login, done, Some(confirmed), vec![], at).await,
            None => Err(BrokerError::FormToken),
        }
    }

    /// Shows the step again with a fresh challenge: one that was answered is not used again.
    pub(super) async fn begin_again(
        &self,
        mut login: PendingLogin,
        stage: Stage,
        refused: &Refused,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        self.prepare_ceremony(&mut login, &stage).await?;
        self.store.advance_login(login.record(stage)?, Vec::new()).await?;
        self.asked_again(at, refused.notice).await
    }

    /// Judges an assertion of one of the account's passkeys; what is right is used up.
    pub(super) async fn judge_passkey(
        &self,
        account: &AccountRecord,
        ceremony: Ceremony,
        assertion: &Assertion,
        at: &At<'_>,
    ) -> Result<Judged, BrokerError> {
        let refuse =
            |refusal: PasskeyRefusal| Ok(Judged::Refused(Refused::plain(refusal.as_str())));
        let Some(passkeys) = &self.passkeys else { return refuse(PasskeyRefusal::Wrong) };
        let found = self.store.factor_by_credential(assertion.credential()).await?;
        let Some(factor) = found.filter(|factor| factor.account == account.id) else {
            return refuse(PasskeyRefusal::Wrong);
        };
        let stored = self.open_passkey(&factor)?;
        let signed = match passkeys.finish_authentication(ceremony, assertion, &stored) {
            Ok(signed) => signed,
            Err(PasskeyRefusal::CounterBehind) => {
                self.note_clone(account, &factor, at).await?;
                return refuse(PasskeyRefusal::CounterBehind);
            }
            Err(refusal) => return refuse(refusal),
        };
        let sealed = self.seal_factor(factor.id, &encoded(&stored.used(&signed))?);
        let used = PasskeyUse {
            id: factor.id,
            challenge: signed.challenge(),
            challenge_expires_at: at.now + self.settings.login_lifetime,
            sign_count: signed.sign_count(),
            sealed,
            now: at.now,
        };
        let outcome = self.store.use_passkey(used).await?;
        if outcome == PasskeyOutcome::CounterBehind {
            self.note_clone(account, &factor, at).await?;
        }
        match PassedFactor::passkey(signed, outcome, account.id) {
            Some(passed) => Ok(Judged::Passed(passed)),
            None => Ok(Judged::Refused(Refused::plain(match outcome {
                PasskeyOutcome::CounterBehind => PasskeyRefusal::CounterBehind.as_str(),
                _ => "passkey_replayed",
            }))),
        }
    }

    /// A counter that did not grow means that there are two copies of the key: somebody should
    /// look.
    async fn note_clone(
        &self,
        account: &AccountRecord,
        factor: &FactorRecord,
        at: &At<'_>,
    ) -> Result<(), BrokerError> {
        let event = AuditRecord::new(at.now, "factor.clone_suspected")
            .refused(PasskeyRefusal::CounterBehind.as_str())
            .account(&account.username)
            .from_request(at.origin)
            .with("factor", factor.id.to_string());
        Ok(self.note(event).await?)
    }

    /// Judges the answer of a registration; a credential that is anybody's already is refused.
    pub(super) async fn registered(
        &self,
        ceremony: &Ceremony,
        answer: &str,
    ) -> Result<Result<StoredPasskey, PasskeyRefusal>, BrokerError> {
        let Some(passkeys) = &self.passkeys else { return Ok(Err(PasskeyRefusal::Wrong)) };
        let passkey = match passkeys.finish_registration(ceremony, answer) {
            Ok(passkey) => passkey,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let known = self.store.factor_by_credential(passkey.credential()).await?;
        Ok(if known.is_some() { Err(PasskeyRefusal::Known) } else { Ok(passkey) })
    }

    pub(super) fn passkey_factor(
        &self,
        account: AccountId,
        passkey: &StoredPasskey,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<FactorRecord, BrokerError> {
        let id = FactorId(self.new_id(now));
        Ok(FactorRecord {
            id,
            account,
            kind: FactorKind::Passkey,
            name: name.and_then(super::security::factor_name),
            sealed: self.seal_factor(id, &encoded(passkey)?),
            created_at: now,
            last_used_at: None,
            last_step: None,
            credential: Some(passkey.credential()),
            sign_count: Some(passkey.sign_count()),
        })
    }

    /// The passkeys of an account.
    pub(super) async fn passkeys_of(
        &self,
        account: AccountId,
    ) -> Result<Vec<StoredPasskey>, BrokerError> {
        let factors = self.store.factors(&[account]).await?;
        let passkeys = factors.iter().filter(|factor| factor.kind == FactorKind::Passkey);
        passkeys.map(|factor| self.open_passkey(factor)).collect()
    }

    fn open_passkey(&self, factor: &FactorRecord) -> Result<StoredPasskey, BrokerError> {
        let plain = self.open("factor", &factor.id.to_string(), &factor.sealed)?;
        Ok(serde_json::from_slice(&plain)?)
    }

    pub(super) fn seal_ceremony(
        &self,
        table: &str,
        row: &str,
        ceremony: &Ceremony,
    ) -> Result<Vec<u8>, BrokerError> {
        let plain = Zeroizing::new(serde_json::to_vec(ceremony)?);
        let context = SealContext { table, column: "ceremony", row };
        Ok(self.ring.seal(context, &plain, self.random.as_ref()))
    }

    pub(super) fn open_ceremony(
        &self,
        table: &str,
        row: &str,
        sealed: &[u8],
    ) -> Result<Ceremony, BrokerError> {
        let context = SealContext { table, column: "ceremony", row };
        let plain = self
            .ring
            .open(context, sealed)
            .map_err(|error| BrokerError::Internal(format!("ceremony of a {table}: {error}")))?;
        Ok(serde_json::from_slice(&plain)?)
    }

    /// Begins to register a passkey for a person who is signed in.
    pub(super) async fn registration_for(
        &self,
        account: &AccountRecord,
    ) -> Result<Option<Ceremony>, BrokerError> {
        let Some(passkeys) = &self.passkeys else { return Ok(None) };
        let known = self.passkeys_of(account.id).await?;
        begin_registration(passkeys, account, &known).map(Some)
    }
}

fn begin_registration(
    passkeys: &Passkeys,
    account: &AccountRecord,
    known: &[StoredPasskey],
) -> Result<Ceremony, BrokerError> {
    let names = [account.first_name.as_deref(), account.last_name.as_deref()];
    let full = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let shown = if full.is_empty() { account.username.as_str() } else { full.as_str() };
    passkeys.begin_registration(account.id.0, &account.username, shown, known).map_err(not_begun)
}

fn encoded(passkey: &StoredPasskey) -> Result<Zeroizing<Vec<u8>>, BrokerError> {
    Ok(Zeroizing::new(serde_json::to_vec(passkey)?))
}

fn not_begun(refusal: PasskeyRefusal) -> BrokerError {
    BrokerError::Internal(format!("a passkey ceremony was not begun: {}", refusal.as_str()))
}
