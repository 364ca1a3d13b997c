//! The brake: a plan that would harm too many people is refused.
//!
//! A filter, a right or an id attribute that was changed by mistake looks like a directory whose
//! people left. So who would be shut out, lose a group, a role or a value, counts as harmed, each
//! person once, and together with those who were shut out lately: many small steps are one large
//! one. A search that found nobody at all is never believed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a plan is refused: more people than `people`, and more than `share` of the directory's
/// active accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brake {
    /// Share in percent, 0 to 100.
    pub share: u8,
    /// So many people are always allowed.
    pub people: u32,
    /// Deactivations of this time count together.
    pub window: Duration,
}

impl Default for Brake {
    fn default() -> Self {
        Self { share: 10, people: 5, window: Duration::from_secs(24 * 3600) }
    }
}

/// Why a plan was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrakeReport {
    /// What would happen, and what to do.
    pub reason: String,
    /// Share of the directory's active accounts that would be harmed, in percent.
    pub share: f64,
    /// Share that is allowed, in percent.
    pub limit: u8,
    /// People who would be harmed, with those who were shut out lately.
    pub people: u64,
    /// Active accounts of the directory.
    pub accounts: u64,
    /// Whether an administrator ordered to go on all the same.
    pub overridden: bool,
}

/// Whom a plan harms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Harm {
    /// People who are harmed in any of these ways, each once.
    pub(super) people: u64,
    /// People who are shut out.
    pub(super) shut_out: u64,
    /// People who lose a group or a role.
    pub(super) memberships: u64,
    /// People who lose a value, e.g. their e-mail address.
    pub(super) values: u64,
    /// People who are gone while an entry with their name is new under another id.
    pub(super) replaced: u64,
}

/// The report of a read that found nobody.
pub(super) fn found_nobody() -> BrakeReport {
    BrakeReport {
        reason: "the search found nobody: check base_dn, user_filter and what the service account \
                 may read; an empty directory is never believed, not even with --override-brake"
            .to_owned(),
        share: 100.0,
        limit: 0,
        people: 0,
        accounts: 0,
        overridden: false,
    }
}

/// Whether the directory's size matters: few enough people are always allowed.
pub(super) fn needs_size(brake: &Brake, harm: &Harm, lately: u64) -> bool {
    harm.people > 0 && harm.people + lately > u64::from(brake.people)
}

/// Refuses a plan that harms too many of `accounts`; `lately` were shut out within the window.
#[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
pub(super) fn judge(
    brake: &Brake,
    harm: &Harm,
    lately: u64,
    accounts: u64,
) -> Result<(), BrakeReport> {
    let people = harm.people + lately;
    let over = people.saturating_mul(100) > accounts.saturating_mul(u64::from(brake.share));
    if !needs_size(brake, harm, lately) || !over {
        return Ok(());
    }
    let share = if accounts == 0 { 100.0 } else { people as f64 * 100.0 / accounts as f64 };
    Err(BrakeReport {
        reason: reason(brake, harm, lately, accounts, share),
        share: (share * 10.0).round() / 10.0,
        limit: brake.share,
        people,
        accounts,
        overridden: false,
    })
}

fn reason(brake: &Brake, harm: &Harm, lately: u64, accounts: u64, share: f64) -> String {
    let mut parts = Vec::new();
    for (count, what) in [
        (harm.shut_out, "would be deactivated"),
        (harm.memberships, "would lose a group or role"),
        (harm.values, "would lose a value such as the e-mail address"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if lately > 0 {
        let hours = brake.window.as_secs() / 3600;
        parts.push(format!("{lately} were deactivated in the last {hours} h"));
    }
    let mut text = format!(
        "{}: {share:.1}% of {accounts} active accounts, more than {}% and {} people \
         (deactivation_brake). Nothing was changed",
        parts.join(", "),
        brake.share,
        brake.people
    );
    if harm.replaced > 0 {
        text.push_str(&format!(
            ". {} of them are new under another id: was attributes.id changed, or the directory \
             rebuilt? `auth-daemon ldap migrate-id` moves accounts to another id",
            harm.replaced
        ));
    }
    text.push_str(". Look at `auth-daemon sync plan`; if it is right, run with --override-brake");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(share: u8, people: u32, shut_out: u64, lately: u64, accounts: u64) -> bool {
        let brake = Brake { share, people, ..Brake::default() };
        let harm = Harm { people: shut_out, shut_out, ..Harm::default() };
        judge(&brake, &harm, lately, accounts).is_err()
    }

    #[test]
    fn both_limits_have_to_be_passed() {
        let cases = [
            // share, people, harmed, lately, accounts, refused
            (10, 5, 5, 0, 10, false),
            (10, 5, 6, 0, 10, true),
            (10, 5, 6, 0, 60, false),
            (10, 5, 7, 0, 60, true),
            (10, 5, 100, 0, 1000, false),
            (10, 5, 101, 0, 1000, true),
            (10, 5, 3, 3, 10, true),
            (10, 5, 0, 50, 10, false),
            (0, 0, 1, 0, 1000, true),
            (100, 0, 1000, 0, 1000, false),
            (10, 5, 6, 0, 0, true),
        ];
        for (share, people, harmed, lately, accounts, expected) in cases {
            let found = refused(share, people, harmed, lately, accounts);
            assert_eq!(found, expected, "{share}% {people} {harmed} {lately} {accounts}");
        }
    }

    #[test]
    fn the_reason_has_numbers_and_a_way_on() {
        let harm = Harm { people: 9, shut_out: 7, memberships: 2, values: 1, replaced: 4 };
        let report = judge(&Brake::default(), &harm, 3, 20).unwrap_err();
        for text in ["7 would be", "2 would lose", "3 were", "60.0%", "migrate-id", "--override"] {
            assert!(report.reason.contains(text), "{text}: {}", report.reason);
        }
        assert_eq!((report.people, report.accounts, report.limit), (12, 20, 10));
    }
}
