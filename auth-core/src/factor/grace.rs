//! Putting off an enrolment that the policy asks for: so many sign-ins, or so long.

use crate::clock::Timestamp;
use crate::store::{AccountId, GraceRule, PostponementRecord, SessionId};

/// Proof that the store noted one more sign-in without the second factor that has to be set up.
///
/// ```compile_fail
/// let forged = auth_core::factor::Postponed { account: todo!() };
/// ```
#[derive(Debug)]
pub struct Postponed {
    account: AccountId,
}

impl Postponed {
    /// `noted` is the store's answer.
    pub(crate) fn noted(noted: bool, account: AccountId) -> Option<Self> {
        noted.then_some(Self { account })
    }

    /// Whose enrolment it is.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }
}

/// What a person is told who may put the enrolment off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponement {
    /// Sign-ins that are left; `None` for any number.
    pub logins_left: Option<u32>,
    /// When the time is over; `None` when it begins now or never ends.
    pub ends_at: Option<Timestamp>,
}

impl Postponement {
    /// What `rule` still allows after what was noted; `None` when nothing.
    #[must_use]
    pub fn offered(
        rule: Option<GraceRule>,
        noted: &[PostponementRecord],
        now: Timestamp,
    ) -> Option<Self> {
        let rule = rule.filter(|rule| rule.allows(noted, now))?;
        let ends_at = rule.ends_at(noted).or_else(|| rule.lasts.map(|lasts| now + lasts));
        Some(Self { logins_left: rule.left(noted), ends_at })
    }
}

/// Whether a session is one at whose sign-in the enrolment was put off, and the time of grace is
/// not over.
#[must_use]
pub fn is_postponed(
    rule: Option<GraceRule>,
    noted: &[PostponementRecord],
    session: SessionId,
    now: Timestamp,
) -> bool {
    rule.is_some_and(|rule| rule.runs(noted, now))
        && noted.iter().any(|noted| noted.session == session)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn noted(times: &[i64]) -> Vec<PostponementRecord> {
        (0..)
            .zip(times)
            .map(|(n, &seconds)| PostponementRecord {
                account: AccountId(Uuid::nil()),
                session: SessionId(Uuid::from_u128(n)),
                at: Timestamp::from_seconds(seconds),
            })
            .collect()
    }

    #[test]
    fn grace_ends_by_sign_ins_and_by_time() {
        let logins = |n| GraceRule { logins: Some(n), lasts: None };
        let lasts = |seconds| GraceRule { logins: None, lasts: Some(Duration::from_secs(seconds)) };
        let both = GraceRule { logins: Some(2), lasts: Some(Duration::from_secs(50)) };
        let now = Timestamp::from_seconds(100);
        for (rule, times, allowed) in [
            (logins(0), &[][..], false),
            (logins(1), &[], true),
            (logins(1), &[1], false),
            (lasts(50), &[], true),
            (lasts(50), &[51, 60], true),
            (lasts(50), &[50, 99], false),
            (both, &[60], true),
            (both, &[60, 70], false),
            (both, &[50], false),
            (GraceRule::default(), &[1, 2, 3], true),
        ] {
            let offered = Postponement::offered(Some(rule), &noted(times), now);
            assert_eq!(offered.is_some(), allowed, "{rule:?} after {times:?}");
        }
        assert_eq!(Postponement::offered(None, &[], now), None);
        let offered = Postponement::offered(Some(both), &noted(&[60]), now);
        let ends_at = Some(Timestamp::from_seconds(110));
        assert_eq!(offered, Some(Postponement { logins_left: Some(1), ends_at }));
    }

    #[test]
    fn only_the_sessions_that_were_noted_are_spared_and_only_while_it_lasts() {
        let rule = Some(GraceRule { logins: Some(1), lasts: Some(Duration::from_secs(50)) });
        let noted = noted(&[60]);
        let session = |n| SessionId(Uuid::from_u128(n));
        let at = Timestamp::from_seconds;
        assert!(is_postponed(rule, &noted, session(0), at(109)));
        assert!(!is_postponed(rule, &noted, session(1), at(109)));
        assert!(!is_postponed(rule, &noted, session(0), at(110)));
        assert!(!is_postponed(None, &noted, session(0), at(61)));
    }
}
