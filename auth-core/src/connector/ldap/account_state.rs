//! What the entry's own attributes say of the account: who is gone, and who may only not log in now.
//!
//! Gone (and deactivated by a sync or a recheck): disabled or expired by an administrator, for
//! Active Directory `userAccountControl` and `accountExpires` (MS-ADTS 2.2.16, 2.3.1), for 389-ds
//! and FreeIPA `nsAccountLock`, for a password policy `pwdAccountLockedTime: 000001010000Z`. A
//! temporary lockout or a password to be changed refuses password logins only: else anyone could
//! deactivate a colleague by typing wrong passwords.

use super::entry::Entry;
use crate::clock::Timestamp;
use crate::connector::Refusal;

/// The attributes that this module reads; operational ones come only when named.
pub(super) const ATTRIBUTES: [&str; 9] = [
    "accountExpires",
    "krbLastPwdChange",
    "msDS-User-Account-Control-Computed",
    "nsAccountLock",
    "pwdAccountLockedTime",
    "pwdChangedTime",
    "pwdLastSet",
    "pwdReset",
    "userAccountControl",
];

const ACCOUNT_DISABLE: i64 = 0x2;
const LOCKOUT: i64 = 0x10;
const DONT_EXPIRE_PASSWORD: i64 = 0x1_0000;
const NEVER: i64 = i64::MAX;
/// Milliseconds from 1601-01-01 to 1970-01-01.
const FILETIME_EPOCH_MILLIS: i64 = 11_644_473_600_000;
const LOCKED_FOR_GOOD: &str = "000001010000Z";

/// The account's state by its attributes. What the directory does not say is taken as usable:
/// the bind is judged by the directory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountState {
    /// Nothing against it.
    Usable,
    /// Gone until an administrator changes it, with the reason: disabled or expired.
    Gone(Refusal),
    /// No password login now, but the person is not gone: locked out, or a password to be changed.
    NoLogin(Refusal),
}

impl AccountState {
    /// Reads it from an entry.
    pub(super) fn of(entry: &Entry, now: Timestamp) -> Self {
        let control = entry.number("userAccountControl").unwrap_or(0);
        let locked_time = entry.text("pwdAccountLockedTime").ok().flatten();
        if control & ACCOUNT_DISABLE != 0
            || entry.is_true("nsAccountLock")
            || locked_time == Some(LOCKED_FOR_GOOD)
        {
            Self::Gone(Refusal::AccountDisabled)
        } else if entry.number("accountExpires").and_then(filetime).is_some_and(|end| end <= now) {
            Self::Gone(Refusal::AccountExpired)
        } else if locked_time.is_some()
            || entry.number("msDS-User-Account-Control-Computed").unwrap_or(0) & LOCKOUT != 0
        {
            Self::NoLogin(Refusal::AccountLocked)
        } else if entry.is_true("pwdReset")
            || (entry.number("pwdLastSet") == Some(0) && control & DONT_EXPIRE_PASSWORD == 0)
        {
            Self::NoLogin(Refusal::PasswordMustChange)
        } else {
            Self::Usable
        }
    }
}

/// What the directory says of the last change of the password, as it says it: to be compared, not
/// to be understood. Active Directory, a password policy (draft-behera-ldap-password-policy
/// section 5.3.2), FreeIPA.
pub(super) fn changed_password_at(entry: &Entry) -> Option<String> {
    ["pwdLastSet", "pwdChangedTime", "krbLastPwdChange"]
        .into_iter()
        .find_map(|name| entry.text(name).ok().flatten())
        .map(str::to_owned)
}

/// A FILETIME of `accountExpires`; `None` for never (0 and the largest number).
fn filetime(ticks: i64) -> Option<Timestamp> {
    (ticks > 0 && ticks != NEVER)
        .then(|| Timestamp::from_millis((ticks / 10_000).saturating_sub(FILETIME_EPOCH_MILLIS)))
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;

    fn check(attributes: &[(&str, &[&str])], expected: AccountState) {
        let now = Timestamp::parse_rfc3339("2026-11-24T10:00:00Z").unwrap();
        assert_eq!(AccountState::of(&entry("cn=a", attributes), now), expected, "{attributes:?}");
    }

    #[test]
    fn who_is_gone() {
        let disabled = AccountState::Gone(Refusal::AccountDisabled);
        let expired = AccountState::Gone(Refusal::AccountExpired);
        check(&[("userAccountControl", &["514"])], disabled);
        check(&[("nsAccountLock", &["true"])], disabled);
        check(&[("nsaccountlock", &["TRUE"])], disabled);
        check(&[("pwdAccountLockedTime", &["000001010000Z"])], disabled);
        check(&[("accountExpires", &["132000000000000000"])], expired);
        // 2026-11-24T10:00:00Z to the tick, and one second later.
        check(&[("accountExpires", &["134399880000000000"])], expired);
        check(&[("accountExpires", &["134399880010000000"])], AccountState::Usable);
        check(&[("userAccountControl", &["514"]), ("pwdLastSet", &["0"])], disabled);
    }

    #[test]
    fn who_may_only_not_log_in() {
        let locked = AccountState::NoLogin(Refusal::AccountLocked);
        let must_change = AccountState::NoLogin(Refusal::PasswordMustChange);
        check(&[("pwdAccountLockedTime", &["20260101000000Z"])], locked);
        check(&[("msDS-User-Account-Control-Computed", &["16"])], locked);
        check(&[("pwdLastSet", &["0"]), ("userAccountControl", &["512"])], must_change);
        check(&[("pwdReset", &["TRUE"])], must_change);
    }

    #[test]
    fn who_is_usable() {
        check(&[], AccountState::Usable);
        check(&[("userAccountControl", &["512"])], AccountState::Usable);
        check(&[("userAccountControl", &["66048"]), ("pwdLastSet", &["0"])], AccountState::Usable);
        check(&[("accountExpires", &["0"])], AccountState::Usable);
        check(&[("accountExpires", &["9223372036854775807"])], AccountState::Usable);
        check(&[("nsAccountLock", &["false"])], AccountState::Usable);
        // Set after a lockout that ended by itself; the directory clears it at the next login.
        check(&[("lockoutTime", &["133000000000000000"])], AccountState::Usable);
        check(&[("userAccountControl", &["nonsense"])], AccountState::Usable);
    }
}
