//! The proof that a second factor was passed.

use super::recovery_code::RecoveryCode;
use super::totp::MatchedStep;
use crate::store::AccountId;

/// Proof that a second factor of an account was right and that the store consumed it, once.
///
/// ```compile_fail
/// let forged = auth_core::factor::PassedFactor { account: todo!(), amr: &["mfa"] };
/// ```
#[derive(Debug)]
pub struct PassedFactor {
    account: AccountId,
    amr: &'static [&'static str],
}

impl PassedFactor {
    /// A matched step that the store consumed: `consumed` is its answer. The step goes in by
    /// value, so one match passes one login.
    #[expect(clippy::needless_pass_by_value, reason = "the match is used up")]
    pub(crate) fn totp(step: MatchedStep, consumed: bool, account: AccountId) -> Option<Self> {
        let _ = step;
        consumed.then_some(Self { account, amr: &["otp", "mfa"] })
    }

    /// A recovery code that the store consumed.
    #[expect(clippy::needless_pass_by_value, reason = "the code is used up")]
    pub(crate) fn recovery(code: RecoveryCode, consumed: bool, account: AccountId) -> Option<Self> {
        let _ = code;
        // RFC 8176 has no word for a recovery code; it is a one-time password on paper.
        consumed.then_some(Self { account, amr: &["otp", "mfa"] })
    }

    /// Whose factor it was.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Methods that it adds, RFC 8176.
    #[must_use]
    pub const fn amr(&self) -> &'static [&'static str] {
        self.amr
    }
}
