//! Setting up a second factor during a login: what is shown, and what confirms it.

use uuid::Uuid;

use super::first_factor::Refused;
use super::second_factor::Judged;
use super::sign_in::{At, Confirmed};
use super::{Broker, BrokerError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::factor::totp::{self, MatchedStep, qr_svg};
use crate::factor::{PassedFactor, Postponement, RecoveryCode, TotpSeed};
use crate::key_ring::SealContext;
use crate::login::{FirstFactor, PendingLogin};
use crate::secret::{Secret, hex};
use crate::store::{
    AccountId, AccountRecord, FactorId, FactorKind, FactorRecord, RecoveryCodeRecord,
};

/// What a person is shown to set up a second factor.
#[derive(Debug)]
pub struct Enrolment {
    secret: Secret,
    qr: Secret,
    passkey: Option<String>,
    postponement: Option<Postponement>,
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

    /// What the script is given to register a passkey instead, as JSON.
    #[must_use]
    pub fn passkey_options(&self) -> Option<&str> {
        self.passkey.as_deref()
    }

    /// Whether, and how often, it may be put off.
    #[must_use]
    pub const fn postponement(&self) -> Option<Postponement> {
        self.postponement
    }
}

impl Broker {
    /// Confirms a seed by its first code. The factor is written with the end of the login, in one
    /// transaction, and only if the account has none by then: a password alone must not add a
    /// second one beside it.
    pub(super) async fn confirm(
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
        let factor = self.totp_factor(account.id, seed, Some(&step), at.now);
        let confirmed = self.confirmed(account, factor, at.origin, at.now).await?;
        match PassedFactor::totp(step, true, account.id) {
            Some(passed) => Ok((Judged::Passed(passed), Some(confirmed))),
            None => refuse("wrong_code"),
        }
    }

    /// An account's first factor with fresh recovery codes and its event.
    pub(super) async fn confirmed(
        &self,
        account: &AccountRecord,
        factor: FactorRecord,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Confirmed, BrokerError> {
        let event = factor_added(account, &factor, origin, now);
        let (records, shown) = self.draw_recovery_codes(account.id).await?;
        Ok(Confirmed { factor: (factor, records), shown, event })
    }

    /// The row of a TOTP factor; `step` confirmed it and is used up.
    pub(super) fn totp_factor(
        &self,
        account: AccountId,
        seed: &TotpSeed,
        step: Option<&MatchedStep>,
        now: Timestamp,
    ) -> FactorRecord {
        let id = FactorId(self.new_id(now));
        FactorRecord {
            id,
            account,
            kind: FactorKind::Totp,
            name: None,
            sealed: self.seal_factor(id, &seed.to_bytes()),
            created_at: now,
            last_used_at: step.map(|_| now),
            last_step: step.map(MatchedStep::step),
            credential: None,
            sign_count: None,
        }
    }

    pub(super) fn seal_factor(&self, id: FactorId, plain: &[u8]) -> Vec<u8> {
        let row = id.to_string();
        let context = SealContext { table: "factor", column: "sealed", row: &row };
        self.ring.seal(context, plain, self.random.as_ref())
    }

    /// Fresh recovery codes: what the store keeps, and what is shown once.
    pub(super) async fn draw_recovery_codes(
        &self,
        account: AccountId,
    ) -> Result<(Vec<RecoveryCodeRecord>, Vec<Secret>), BrokerError> {
        let key = self.hash_key().await?;
        let codes = RecoveryCode::generate_set(self.random.as_ref());
        let records = codes
            .iter()
            .map(|code| RecoveryCodeRecord { account, hash: code.hash(key, account.0) })
            .collect();
        let shown = codes.iter().map(|code| Secret::new(code.expose().to_string())).collect();
        Ok((records, shown))
    }

    pub(super) fn fresh_seed(&self) -> Result<TotpSeed, BrokerError> {
        TotpSeed::generate(self.settings.mfa.totp, self.random.as_ref())
            .map_err(|error| BrokerError::Internal(error.to_string()))
    }

    /// A fresh seed, sealed for this login alone.
    pub(super) fn new_seed(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
    ) -> Result<Vec<u8>, BrokerError> {
        let row = seed_row(login, first);
        let context = SealContext { table: "login", column: "seed", row: &row };
        Ok(self.ring.seal(context, &self.fresh_seed()?.to_bytes(), self.random.as_ref()))
    }

    pub(super) fn unseal_seed(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
        sealed: &[u8],
    ) -> Result<TotpSeed, BrokerError> {
        let row = seed_row(login, first);
        self.open_seed_of(SealContext { table: "login", column: "seed", row: &row }, sealed)
    }

    pub(super) fn open_seed_of(
        &self,
        context: SealContext<'_>,
        sealed: &[u8],
    ) -> Result<TotpSeed, BrokerError> {
        let failed = |error: String| {
            BrokerError::Internal(format!("seed of a {} being set up: {error}", context.table))
        };
        let plain = self.ring.open(context, sealed).map_err(|error| failed(error.to_string()))?;
        TotpSeed::from_bytes(&plain).map_err(|error| failed(error.to_string()))
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
        let mut shown = self.show_seed(&seed, &name)?;
        shown.passkey = self.passkey_options(login)?;
        shown.postponement = self.postponement(login, first).await?;
        Ok(Box::new(shown))
    }

    pub(super) fn show_seed(&self, seed: &TotpSeed, name: &str) -> Result<Enrolment, BrokerError> {
        let uri = seed.expose_otpauth_uri(&self.settings.mfa.issuer, name);
        let qr = qr_svg(&uri).map_err(|error| BrokerError::Internal(error.to_string()))?;
        Ok(Enrolment {
            secret: Secret::new(seed.expose_grouped().to_string()),
            qr: Secret::new(qr.to_string()),
            passkey: None,
            postponement: None,
        })
    }
}

/// The event of a factor that was added.
pub(super) fn factor_added(
    account: &AccountRecord,
    factor: &FactorRecord,
    origin: &Origin,
    now: Timestamp,
) -> AuditRecord {
    AuditRecord::new(now, "factor.added")
        .account(&account.username)
        .from_request(origin)
        .with("kind", factor.kind.as_str())
        .with("factor", factor.id.to_string())
}

/// A login's handle as text, for binding sealed values to it.
pub(super) fn login_row(login: &PendingLogin) -> String {
    hex(login.handle().as_bytes())
}

fn seed_row(login: &PendingLogin, first: &FirstFactor) -> String {
    let account: Uuid = first.account().0;
    format!("{}:{account}", login_row(login))
}
