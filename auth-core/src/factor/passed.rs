//! The proof that a second factor was passed.

#[cfg(feature = "passkey")]
use super::passkey::{SignedChallenge, StoredPasskey};
use super::recovery_code::RecoveryCode;
use super::totp::MatchedStep;
use crate::store::AccountId;
#[cfg(feature = "passkey")]
use crate::store::PasskeyOutcome;

/// Proof that a second factor of an account was right and that the store consumed it, once.
///
/// ```compile_fail
/// let forged = auth_core::factor::PassedFactor { account: todo!(), amr: &["mfa"] };
/// ```
#[derive(Debug)]
pub struct PassedFactor {
    account: AccountId,
    amr: &'static [&'static str],
    stands_alone: bool,
}

impl PassedFactor {
    /// A matched step that the store consumed: `consumed` is its answer. The step goes in by
    /// value, so one match passes one login.
    #[expect(clippy::needless_pass_by_value, reason = "the match is used up")]
    pub(crate) fn totp(step: MatchedStep, consumed: bool, account: AccountId) -> Option<Self> {
        let _ = step;
        consumed.then_some(Self { account, amr: &["otp", "mfa"], stands_alone: false })
    }

    /// A recovery code that the store consumed.
    #[expect(clippy::needless_pass_by_value, reason = "the code is used up")]
    pub(crate) fn recovery(code: RecoveryCode, consumed: bool, account: AccountId) -> Option<Self> {
        let _ = code;
        // RFC 8176 has no word for a recovery code; it is a one-time password on paper.
        consumed.then_some(Self { account, amr: &["otp", "mfa"], stands_alone: false })
    }

    /// A passkey whose challenge and counter the store took: `outcome` is its answer. The
    /// authenticator verified its user, so it stands for two factors by itself.
    #[cfg(feature = "passkey")]
    #[expect(clippy::needless_pass_by_value, reason = "the signature is used up")]
    pub(crate) fn passkey(
        signed: SignedChallenge,
        outcome: PasskeyOutcome,
        account: AccountId,
    ) -> Option<Self> {
        let amr = passkey_amr(signed.is_hardware_bound());
        let used = outcome == PasskeyOutcome::Used;
        used.then_some(Self { account, amr, stands_alone: true })
    }

    /// A passkey that was registered just now, in this very login.
    #[cfg(feature = "passkey")]
    pub(crate) fn registered(passkey: &StoredPasskey, account: AccountId) -> Self {
        let amr = passkey_amr(passkey.is_hardware_bound());
        Self { account, amr, stands_alone: false }
    }

    /// Whether it may stand in for the first factor too.
    #[must_use]
    pub const fn stands_alone(&self) -> bool {
        self.stands_alone
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

/// RFC 8176. Whether the key is bound to hardware is what the authenticator says of itself.
#[cfg(feature = "passkey")]
const fn passkey_amr(hardware_bound: bool) -> &'static [&'static str] {
    if hardware_bound { &["hwk", "user", "mfa"] } else { &["swk", "user", "mfa"] }
}
