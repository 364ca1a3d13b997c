//! Second factors being set up by a person who is signed in, and enrolments put off.

use std::time::Duration;

use async_trait::async_trait;

use super::{AccountId, FactorKind, FactorRecord, RecoveryCodeRecord, SessionId, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// A factor that a signed-in person is setting up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentRecord {
    /// SHA-256 of the handle in the form.
    pub handle: TokenHash,
    /// Whose.
    pub account: AccountId,
    /// The browser session that it was begun in.
    pub session: SessionId,
    /// What is being set up.
    pub kind: FactorKind,
    /// The seed or the ceremony's state, sealed.
    pub sealed: Vec<u8>,
    /// After this moment it is as if it were not there.
    pub expires_at: Timestamp,
}

/// How often, and how long, an enrolment that the policy asks for may be put off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraceRule {
    /// So many sign-ins; `None` for any number.
    pub logins: Option<u32>,
    /// So long after the first one that was put off; `None` for ever.
    pub lasts: Option<Duration>,
}

/// One sign-in at which the enrolment was put off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostponementRecord {
    /// Whose.
    pub account: AccountId,
    /// The session that this sign-in was to make.
    pub session: SessionId,
    /// When.
    pub at: Timestamp,
}

/// Enrolments under way and put off.
#[async_trait]
pub trait EnrolmentStore: Send + Sync {
    /// Adds an enrolment in the place of the session's earlier one of the same kind.
    async fn add_enrolment(&self, enrolment: EnrolmentRecord) -> Result<(), StoreError>;

    /// The enrolment with this handle, expired or not.
    async fn enrolment(&self, handle: TokenHash) -> Result<Option<EnrolmentRecord>, StoreError>;

    /// Removes an enrolment that failed: true exactly once.
    async fn remove_enrolment(&self, handle: TokenHash) -> Result<bool, StoreError>;

    /// Ends an enrolment, adds its factor and, if `recovery` is given, replaces the recovery
    /// codes. `false`, and nothing written, when the enrolment is not there (any more).
    /// `Conflict` names `factor` when its credential is there already.
    async fn confirm_enrolment(
        &self,
        handle: TokenHash,
        factor: FactorRecord,
        recovery: Option<Vec<RecoveryCodeRecord>>,
        audit: Vec<AuditRecord>,
    ) -> Result<bool, StoreError>;

    /// Notes that an enrolment was put off, if `rule` allows it once more: fewer than
    /// `rule.logins` were noted, and less than `rule.lasts` passed since the first one.
    async fn postpone_enrolment(
        &self,
        postponement: PostponementRecord,
        rule: GraceRule,
    ) -> Result<bool, StoreError>;

    /// What was noted of an account, oldest first.
    async fn postponements(
        &self,
        account: AccountId,
    ) -> Result<Vec<PostponementRecord>, StoreError>;
}

impl GraceRule {
    /// Whether it allows one more after `noted`, which is in the order of time.
    #[must_use]
    pub fn allows(&self, noted: &[PostponementRecord], now: Timestamp) -> bool {
        self.left(noted).is_none_or(|left| left > 0) && self.runs(noted, now)
    }

    /// Whether its time is not over.
    #[must_use]
    pub fn runs(&self, noted: &[PostponementRecord], now: Timestamp) -> bool {
        self.ends_at(noted).is_none_or(|end| now < end)
    }

    /// When its time is over; `None` when it has no end, or has not begun.
    #[must_use]
    pub fn ends_at(&self, noted: &[PostponementRecord]) -> Option<Timestamp> {
        Some(noted.first()?.at + self.lasts?)
    }

    /// How many sign-ins are left; `None` for any number.
    #[must_use]
    pub fn left(&self, noted: &[PostponementRecord]) -> Option<u32> {
        let noted = u32::try_from(noted.len()).unwrap_or(u32::MAX);
        self.logins.map(|logins| logins.saturating_sub(noted))
    }
}
