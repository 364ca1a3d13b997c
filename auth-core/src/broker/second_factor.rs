//! The second factor: asked for, judged, consumed; or set up first.

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::first_factor::Refused;
use super::sign_in::At;
use super::{Broker, BrokerError, Notice, Step};
use crate::audit::{AuditRecord, Origin};
use crate::connector::LOCAL;
use crate::factor::grace::is_postponed;
use crate::factor::{
    MfaFacts, MfaPolicy, PassedFactor, RecoveryCode, TotpRefusal, TotpSeed, TrustedDevice,
    requirement, totp,
};
use crate::handoff::acr::AuthenticationContext;
use crate::key_ring::{HashKey, SealContext};
use crate::login::flow::{self, Demand};
use crate::login::{FirstFactor, PendingLogin, Stage, throttle};
use crate::secret::{Secret, Token};
use crate::session::Session;
use crate::store::{AccountRecord, Attempt, FactorKind, ThrottleRule};

/// Wrong codes in a row before the account has to wait.
const CODES_IN_A_ROW: i64 = 5;
/// Wrong codes in a row, over all waits, after which no code of an app counts any more (NIST SP
/// 800-63B section 5.2.2: at most 100).
const CODES_UNTIL_RESET: i64 = 100;
/// As good as for ever; a success or an administrator's reset ends it.
const UNTIL_RESET: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Ways to pass the second factor that the page offers; a code always may be typed.
#[derive(Debug)]
pub struct FactorMethods {
    /// Whether the account has an authenticator app; without one a code is a recovery code.
    pub totp: bool,
    /// What the script is given to ask for a passkey, as JSON.
    pub passkey: Option<String>,
    /// For how long this device may be remembered.
    pub remember: Option<Duration>,
}

pub(super) enum Judged {
    Passed(PassedFactor),
    Refused(Refused),
}

impl Broker {
    /// What the policy asks of this login, and what answers it already.
    pub(super) async fn demand(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
        account: &AccountRecord,
        at: &At<'_>,
    ) -> Result<Demand<'_>, BrokerError> {
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
            upstream: mfa.upstream.get(first.connector()),
            trusted_device: self.trusted_device(at.device.token, account).await?,
        })
    }

    /// What the policy demands of this session for this client, here and now; asked at every
    /// authorization, not only at login. `device` is the token of the browser's device cookie.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn demanded_context(
        &self,
        session: &Session,
        client: &str,
        device: Option<&Token>,
        origin: &Origin,
    ) -> Result<AuthenticationContext, BrokerError> {
        let mfa = &self.settings.mfa;
        let account = session.account();
        let facts = facts_of(session, Some(client), origin.ip);
        if requirement(&mfa.rules, mfa.policy, &facts) != MfaPolicy::Required
            || self.trusted_device(device, account).await?.is_some()
            || self.is_in_grace(session).await?
        {
            return Ok(AuthenticationContext::Aal1);
        }
        Ok(AuthenticationContext::Aal2)
    }

    async fn trusted_device(
        &self,
        token: Option<&Token>,
        account: &AccountRecord,
    ) -> Result<Option<TrustedDevice>, BrokerError> {
        let token = token.filter(|_| self.settings.mfa.remember_device.is_some());
        let Some(token) = token else { return Ok(None) };
        let record = self.store.device(token.hash()).await?;
        Ok(TrustedDevice::judge(record.as_ref(), account.id, self.now()))
    }

    /// Whether this session was made while the enrolment was put off, and may still be used so.
    async fn is_in_grace(&self, session: &Session) -> Result<bool, BrokerError> {
        let Some(rule) = self.settings.mfa.grace else { return Ok(false) };
        let account = session.account().id;
        let noted = self.store.postponements(account).await?;
        if !is_postponed(Some(rule), &noted, session.id(), self.now()) {
            return Ok(false);
        }
        Ok(self.store.factors(&[account]).await?.is_empty())
    }

    pub(super) async fn factor_methods(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
    ) -> Result<Box<FactorMethods>, BrokerError> {
        let factors = self.store.factors(&[first.account()]).await?;
        Ok(Box::new(FactorMethods {
            totp: factors.iter().any(|factor| factor.kind == FactorKind::Totp),
            passkey: self.passkey_options(login)?,
            remember: self.settings.mfa.remember_device,
        }))
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
            _ => return Err(BrokerError::FormToken),
        };
        let Some(account) = self.still_welcome(&login, &first, at).await? else {
            return Err(BrokerError::FormToken);
        };
        let counter = throttle::factor(&account.id.to_string());
        let counted = self.store.count_attempt(&counter, self.code_rule(), at.now).await?;
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

    /// Wrong codes in a row, and how long an account has to wait after them.
    pub(super) const fn code_rule(&self) -> ThrottleRule {
        ThrottleRule { limit: CODES_IN_A_ROW, lockout: self.settings.throttle.lockout }
    }

    /// The account behind the first factor, if it is still open and its password is still the one
    /// that was proved: a changed password ends what the old one began.
    pub(super) async fn still_welcome(
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
    pub(super) async fn asked_again(
        &self,
        at: &At<'_>,
        notice: Notice,
    ) -> Result<Step, BrokerError> {
        Ok(match self.resume(at.handle, at.browser).await? {
            Step::AskFactor { form_token, methods, request, .. } => {
                Step::AskFactor { form_token, methods, notice: Some(notice), request }
            }
            Step::AskEnrolment { form_token, seed, request, .. } => {
                Step::AskEnrolment { form_token, seed, notice: Some(notice), request }
            }
            Step::AskCredentials(prompt) => {
                Step::AskCredentials(super::CredentialsPrompt { notice: Some(notice), ..prompt })
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
            let hash = recovery.hash(self.hash_key().await?, account.id.0);
            let consumed = self.store.consume_recovery_code(account.id, hash).await?;
            if let Some(passed) = PassedFactor::recovery(recovery, consumed, account.id) {
                let event = AuditRecord::new(at.now, "factor.recovery_code_used")
                    .account(&account.username)
                    .from_request(at.origin);
                self.note(event).await?;
                return Ok(Judged::Passed(passed));
            }
        }
        Ok(Judged::Refused(refused))
    }

    pub(super) fn open(
        &self,
        table: &str,
        row: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, BrokerError> {
        self.ring
            .open(SealContext { table, column: "sealed", row }, sealed)
            .map_err(|error| BrokerError::Internal(format!("{table} {row}: {error}")))
    }

    /// The key of keyed hashes.
    pub(super) async fn hash_key(&self) -> Result<&HashKey, BrokerError> {
        Ok(self.hash_key.get(self.store.as_ref(), &self.ring).await?)
    }
}

/// What the rules are asked about a session.
pub(super) fn facts_of<'a>(
    session: &'a Session,
    client: Option<&'a str>,
    ip: Option<IpAddr>,
) -> MfaFacts<'a> {
    let account = session.account();
    MfaFacts {
        connector: &session.record().connector,
        roles: &account.roles,
        groups: &account.groups,
        client,
        ip,
    }
}
