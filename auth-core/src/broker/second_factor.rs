//! The second factor: asked for, judged, consumed; or set up first.

use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::first_factor::Refused;
use super::sign_in::{At, Confirmed};
use super::{Broker, BrokerError, Notice, Step};
use crate::audit::{AuditRecord, Origin};
use crate::connector::LOCAL;
use crate::factor::totp::{self, qr_svg};
use crate::factor::{
    MfaFacts, MfaPolicy, PassedFactor, RecoveryCode, TotpRefusal, TotpSeed, requirement,
};
use crate::handoff::acr::AuthenticationContext;
use crate::key_ring::{HASH_KEY_NAME, HashKey, SealContext};
use crate::login::flow::{self, Demand};
use crate::login::{FirstFactor, PendingLogin, Stage, throttle};
use crate::secret::Secret;
use crate::session::Session;
use crate::store::{
    AccountRecord, Attempt, FactorId, FactorKind, FactorRecord, RecoveryCodeRecord, StoreError,
    ThrottleRule,
};

/// Wrong codes in a row before the account has to wait.
const CODES_IN_A_ROW: i64 = 5;
/// Wrong codes in a row, over all waits, after which no code of an app counts any more (NIST SP
/// 800-63B section 5.2.2: at most 100).
const CODES_UNTIL_RESET: i64 = 100;
/// As good as for ever; a success or an administrator's reset ends it.
const UNTIL_RESET: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a person is shown to set up an authenticator app.
#[derive(Debug)]
pub struct Enrolment {
    secret: Secret,
    qr: Secret,
}

impl Enrolment {
    /// The seed in base32, in groups of four.
    #[must_use]
    pub const fn secret_in_groups(&self) -> &Secret {
        &self.secret
    }

    /// The `otpauth` URI as an SVG picture.
    #[must_use]
    pub const fn qr_svg(&self) -> &Secret {
        &self.qr
    }
}

enum Judged {
    Passed(PassedFactor),
    Refused(Refused),
}

impl Broker {
    /// What the policy asks of this login.
    pub(super) async fn demand(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
        account: &AccountRecord,
        at: &At<'_>,
    ) -> Result<Demand, BrokerError> {
        let mfa = &self.settings.mfa;
        let facts = MfaFacts {
            connector: first.connector(),
            roles: &account.roles,
            groups: &account.groups,
            client: login.request().client.as_deref(),
            ip: at.origin.ip,
        };
        Ok(Demand {
            policy: requirement(&mfa.rules, mfa.policy, &facts),
            two_factors_asked: login.request().two_factors,
            enrolled: !self.store.factors(&[account.id]).await?.is_empty(),
        })
    }

    /// What the policy demands of this session for this client, here and now; asked at every
    /// authorization, not only at login.
    #[must_use]
    pub fn demanded_context(
        &self,
        session: &Session,
        client: &str,
        origin: &Origin,
    ) -> AuthenticationContext {
        let mfa = &self.settings.mfa;
        let account = session.account();
        let facts = MfaFacts {
            connector: &session.record().connector,
            roles: &account.roles,
            groups: &account.groups,
            client: Some(client),
            ip: origin.ip,
        };
        match requirement(&mfa.rules, mfa.policy, &facts) {
            MfaPolicy::Required => AuthenticationContext::Aal2,
            MfaPolicy::Off | MfaPolicy::Optional => AuthenticationContext::Aal1,
        }
    }

    pub(super) async fn second_factor(
        &self,
        mut login: PendingLogin,
        code: Secret,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let (first, sealed_seed) = match login.take_stage() {
            Stage::Factor(first) => (first, None),
            Stage::Enrolment { first, sealed_seed } => (first, Some(sealed_seed)),
            Stage::Credentials | Stage::Away { .. } | Stage::Completed(_) => {
                return Err(BrokerError::FormToken);
            }
        };
        let Some(account) = self.still_welcome(&login, &first, at).await? else {
            return Err(BrokerError::FormToken);
        };
        let counter = throttle::factor(&account.id.to_string());
        let rule = ThrottleRule { limit: CODES_IN_A_ROW, lockout: self.settings.throttle.lockout };
        let counted = self.store.count_attempt(&counter, rule, at.now).await?;
        let total = throttle::factor_total(&account.id.to_string());
        let total_rule = ThrottleRule { limit: CODES_UNTIL_RESET, lockout: UNTIL_RESET };
        let exhausted = matches!(
            self.store.count_attempt(&total, total_rule, at.now).await?,
            Attempt::Locked { .. }
        );
        let mut confirmed = None;
        let judged = if let Attempt::Locked { .. } = counted {
            Judged::Refused(Refused::plain("throttled"))
        } else if let Some(sealed) = &sealed_seed {
            let seed = self.unseal_seed(&login, &first, sealed)?;
            let (judged, made) = self.confirm(&account, &seed, &code, at).await?;
            confirmed = made;
            judged
        } else {
            self.judge_code(&account, &code, exhausted, at).await?
        };
        let passed = match judged {
            Judged::Passed(passed) => passed,
            Judged::Refused(refused) => {
                let connector = first.connector().to_owned();
                self.audit_refusal(&login, &connector, &account.username, &refused, at).await?;
                return self.asked_again(at, refused.notice).await;
            }
        };
        match flow::after_second_factor(first, account, &passed) {
            Some(done) => self.complete(login, done, confirmed, vec![counter, total], at).await,
            None => Err(BrokerError::FormToken),
        }
    }

    /// The account behind the first factor, if it is still open and its password is still the one
    /// that was proved: a changed password ends what the old one began.
    async fn still_welcome(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
        at: &At<'_>,
    ) -> Result<Option<AccountRecord>, BrokerError> {
        let Some(account) = self.store.account(first.account()).await? else { return Ok(None) };
        let reason = if !account.active {
            "account_inactive"
        } else if first.connector() == LOCAL
            && self
                .store
                .password(account.id)
                .await?
                .is_none_or(|password| password.changed_at >= first.at())
        {
            "password_changed"
        } else {
            return Ok(Some(account));
        };
        let refused = Refused::plain(reason);
        self.audit_refusal(login, first.connector(), &account.username, &refused, at).await?;
        Ok(None)
    }

    /// The same page once more, with a notice.
    async fn asked_again(&self, at: &At<'_>, notice: Notice) -> Result<Step, BrokerError> {
        Ok(match self.resume(at.handle, at.browser).await? {
            Step::AskFactor { form_token, request, .. } => {
                Step::AskFactor { form_token, notice: Some(notice), request }
            }
            Step::AskEnrolment { form_token, seed, request, .. } => {
                Step::AskEnrolment { form_token, seed, notice: Some(notice), request }
            }
            other => other,
        })
    }

    /// Judges a code against the account's factors, then against its recovery codes.
    async fn judge_code(
        &self,
        account: &AccountRecord,
        code: &Secret,
        exhausted: bool,
        at: &At<'_>,
    ) -> Result<Judged, BrokerError> {
        let mut refused = Refused::plain(TotpRefusal::Wrong.as_str());
        if exhausted {
            refused.reason = "too_many_codes";
        }
        let factors = match exhausted {
            // Nobody types so many wrong codes: from here on only a recovery code helps, or an
            // administrator's reset.
            true => Vec::new(),
            false => self.store.factors(&[account.id]).await?,
        };
        for factor in factors {
            if factor.kind != FactorKind::Totp {
                continue;
            }
            let row = factor.id.to_string();
            let plain = self.open("factor", &row, &factor.sealed)?;
            let seed = TotpSeed::from_bytes(&plain)
                .map_err(|error| BrokerError::Internal(format!("factor {row}: {error}")))?;
            match totp::verify(&seed, code.expose(), at.now, factor.last_step) {
                Ok(step) => {
                    let number = step.step();
                    let consumed = self.store.consume_totp_step(factor.id, number, at.now).await?;
                    if let Some(passed) = PassedFactor::totp(step, consumed, account.id) {
                        return Ok(Judged::Passed(passed));
                    }
                    refused = Refused::plain(TotpRefusal::Replayed.as_str());
                }
                Err(refusal) => {
                    if let TotpRefusal::ClockDrift { burn } = refusal {
                        // A code of the future was shown: it must not work when its time comes.
                        if let Some(step) = burn {
                            self.store.consume_totp_step(factor.id, step, at.now).await?;
                        }
                        refused.notice = Notice::ClockDrift;
                    }
                    refused.reason = refusal.as_str();
                }
            }
        }
        if let Some(recovery) = RecoveryCode::parse(code.expose()) {
            let hash = recovery.hash(&self.hash_key().await?, account.id.0);
            let consumed = self.store.consume_recovery_code(account.id, hash).await?;
            if let Some(passed) = PassedFactor::recovery(recovery, consumed, account.id) {
                let event = AuditRecord::new(at.now, "account.recovery_code_used")
                    .account(&account.username)
                    .from_request(at.origin);
                event.log();
                self.store.append_audit(vec![event]).await?;
                return Ok(Judged::Passed(passed));
            }
        }
        Ok(Judged::Refused(refused))
    }

    /// Confirms a seed by its first code. The factor is written with the end of the login, in one
    /// transaction, and only if the account has none by then: a password alone must not add a
    /// second one beside it.
    async fn confirm(
        &self,
        account: &AccountRecord,
        seed: &TotpSeed,
        code: &Secret,
        at: &At<'_>,
    ) -> Result<(Judged, Option<Confirmed>), BrokerError> {
        let refuse = |reason| Ok((Judged::Refused(Refused::plain(reason)), None));
        let step = match totp::verify(seed, code.expose(), at.now, None) {
            Ok(step) => step,
            Err(refusal) => return refuse(refusal.as_str()),
        };
        if !self.store.factors(&[account.id]).await?.is_empty() {
            return refuse("factor_exists");
        }
        let id = FactorId(self.new_id(at.now));
        let row = id.to_string();
        let context = SealContext { table: "factor", column: "sealed", row: &row };
        let factor = FactorRecord {
            id,
            account: account.id,
            kind: FactorKind::Totp,
            name: None,
            sealed: self.ring.seal(context, &seed.to_bytes(), self.random.as_ref()),
            created_at: at.now,
            last_used_at: Some(at.now),
            last_step: Some(step.step()),
        };
        let key = self.hash_key().await?;
        let codes = RecoveryCode::generate_set(self.random.as_ref());
        let records = codes
            .iter()
            .map(|code| RecoveryCodeRecord {
                account: account.id,
                hash: code.hash(&key, account.id.0),
            })
            .collect();
        let shown = codes.iter().map(|code| Secret::new(code.expose().to_string())).collect();
        let event = AuditRecord::new(at.now, "account.factor_added")
            .account(&account.username)
            .from_request(at.origin)
            .with("kind", "totp");
        match PassedFactor::totp(step, true, account.id) {
            Some(passed) => {
                let confirmed = Confirmed { factor: (factor, records), shown, event };
                Ok((Judged::Passed(passed), Some(confirmed)))
            }
            None => refuse("wrong_code"),
        }
    }

    /// A fresh seed, sealed for this login alone.
    pub(super) fn new_seed(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
    ) -> Result<Vec<u8>, BrokerError> {
        let seed = TotpSeed::generate(self.settings.mfa.totp, self.random.as_ref())
            .map_err(|error| BrokerError::Internal(error.to_string()))?;
        let row = seed_row(login, first);
        let context = SealContext { table: "login", column: "seed", row: &row };
        Ok(self.ring.seal(context, &seed.to_bytes(), self.random.as_ref()))
    }

    fn unseal_seed(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
        sealed: &[u8],
    ) -> Result<TotpSeed, BrokerError> {
        let row = seed_row(login, first);
        let context = SealContext { table: "login", column: "seed", row: &row };
        let plain = self
            .ring
            .open(context, sealed)
            .map_err(|error| BrokerError::Internal(format!("seed of a login: {error}")))?;
        TotpSeed::from_bytes(&plain)
            .map_err(|error| BrokerError::Internal(format!("seed of a login: {error}")))
    }

    pub(super) async fn open_seed(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
        sealed: &[u8],
    ) -> Result<Box<Enrolment>, BrokerError> {
        let seed = self.unseal_seed(login, first, sealed)?;
        let account = self.store.account(first.account()).await?;
        let name = account.map(|account| account.username).unwrap_or_default();
        let uri = seed.expose_otpauth_uri(&self.settings.mfa.issuer, &name);
        let qr = qr_svg(&uri).map_err(|error| BrokerError::Internal(error.to_string()))?;
        Ok(Box::new(Enrolment {
            secret: Secret::new(seed.expose_grouped().to_string()),
            qr: Secret::new(qr.to_string()),
        }))
    }

    fn open(
        &self,
        table: &str,
        row: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, BrokerError> {
        self.ring
            .open(SealContext { table, column: "sealed", row }, sealed)
            .map_err(|error| BrokerError::Internal(format!("{table} {row}: {error}")))
    }

    async fn hash_key(&self) -> Result<HashKey, BrokerError> {
        let stored = self.store.named_value(HASH_KEY_NAME).await?.ok_or_else(|| {
            BrokerError::Store(StoreError::Corrupt {
                message: format!("the named value {HASH_KEY_NAME:?} is missing"),
            })
        })?;
        HashKey::open(&self.ring, &stored)
            .map_err(|error| BrokerError::Internal(format!("{HASH_KEY_NAME}: {error}")))
    }
}

fn seed_row(login: &PendingLogin, first: &FirstFactor) -> String {
    let handle: String =
        login.handle().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let account: Uuid = first.account().0;
    format!("{handle}:{account}")
}
