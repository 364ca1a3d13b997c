//! The proof that a browser is one on which its person passed the second factor not long ago and
//! asked to be remembered.
//!
//! It spares the second factor that the policy asks for, and never one that a client asks for
//! (`acr_values`) or that guards a change of the account's factors.

use crate::clock::Timestamp;
use crate::store::{AccountId, DeviceRecord};

/// Proof that this browser's device token is good for an account.
///
/// ```compile_fail
/// let forged = auth_core::factor::TrustedDevice { account: todo!() };
/// ```
#[derive(Debug)]
pub struct TrustedDevice {
    account: AccountId,
}

impl TrustedDevice {
    /// Judges what the store found by the token's hash. `None` when it is another account's, or
    /// its time is over.
    pub(crate) fn judge(
        record: Option<&DeviceRecord>,
        account: AccountId,
        now: Timestamp,
    ) -> Option<Self> {
        let record = record?;
        (record.account == account && now < record.expires_at).then_some(Self { account })
    }

    /// Whose it is.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::secret::TokenHash;
    use crate::store::DeviceId;

    #[test]
    fn a_device_is_good_for_its_account_until_its_end() {
        let (owner, other) = (AccountId(Uuid::from_u128(1)), AccountId(Uuid::from_u128(2)));
        let at = Timestamp::from_seconds;
        let record = DeviceRecord {
            id: DeviceId(Uuid::from_u128(3)),
            token: TokenHash::of(b"token"),
            account: owner,
            created_at: at(100),
            last_used_at: None,
            expires_at: at(200),
            ip: None,
            user_agent: None,
        };
        let judged = |account, now| TrustedDevice::judge(Some(&record), account, now).is_some();
        assert!(judged(owner, at(199)));
        assert!(!judged(owner, at(200)));
        assert!(!judged(other, at(150)));
        assert!(TrustedDevice::judge(None, owner, at(150)).is_none());
    }
}
