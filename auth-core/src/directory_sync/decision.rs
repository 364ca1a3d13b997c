//! What becomes of one person: the entry against the account, without a look at anybody else.
//!
//! A field whose new value somebody else holds stays as it is; everything else of the person is
//! done all the same, so that a taken address never keeps a role that the directory took away.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::{FieldChange, Operation, claims_change, differences};
use crate::account::{apply_profile, new_account, validate_username};
use crate::clock::Timestamp;
use crate::connector::Profile;
use crate::connector::ldap::{DirectoryPerson, PersonState};
use crate::store::{AccountId, AccountRecord, ClaimMap, SyncDigest, SyncMark, SyncedPerson};

/// Beginning of `inactive_reason` of an account that a synchronisation shut out.
pub(super) const SHUT_OUT: &str = "sync:";

/// A person who is new or changed, as kept until the read is known to be complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) subject: String,
    pub(super) dn: String,
    pub(super) profile: Profile,
    /// Why the person may not come in.
    pub(super) inactive: Option<String>,
    pub(super) password_changed_at: Option<String>,
    pub(super) digest: SyncDigest,
}

impl Candidate {
    /// From what the directory gave.
    pub(super) fn of(person: DirectoryPerson, digest: SyncDigest) -> Self {
        Self {
            subject: person.subject,
            dn: person.dn,
            profile: person.profile,
            inactive: match person.state {
                PersonState::Active => None,
                PersonState::Inactive(reason) => Some(reason.to_owned()),
            },
            password_changed_at: person.changed_password_at,
            digest,
        }
    }
}

/// What every decision of a run rests on.
#[derive(Debug)]
pub(super) struct Rules {
    /// The directory.
    pub(super) directory: String,
    /// Names, normalised, of the accounts that are never shut out.
    pub(super) administrators: HashSet<String>,
}

/// Why a new value cannot be taken, by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    pub(super) username: Option<String>,
    pub(super) email: Option<String>,
}

/// What is decided of a person.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// What is done, if anything.
    pub(super) operation: Option<Operation>,
    /// Fields that change.
    pub(super) fields: BTreeMap<&'static str, FieldChange>,
    /// What somebody has to decide.
    pub(super) conflicts: Vec<String>,
    /// Why the person is shut out.
    pub(super) reason: Option<String>,
    /// The account as it is to be, or as it would be without the conflict.
    pub(super) account: Option<AccountRecord>,
    /// User name as the account has it now.
    pub(super) username: Option<String>,
    /// What to note, where it differs from what is noted.
    pub(super) mark: Option<SyncMark>,
    /// Whether sessions end although the account stays active: the password was changed.
    pub(super) end_sessions: bool,
    /// Further claims in place of the stored ones, where they differ.
    pub(super) claims: Option<ClaimMap>,
}

/// Decides about a person whom the directory has. `id` is the id of an account to be made.
pub(super) fn decide(
    candidate: &Candidate,
    known: Option<&SyncedPerson>,
    blocks: &Blocks,
    rules: &Rules,
    id: AccountId,
    now: Timestamp,
) -> Decision {
    match known {
        None => decide_new(candidate, blocks, rules, id, now),
        Some(known) if is_unchanged(candidate, known) => Decision::default(),
        Some(known) => decide_known(candidate, known, blocks, rules, now),
    }
}

fn is_unchanged(candidate: &Candidate, known: &SyncedPerson) -> bool {
    known.mark.as_ref().is_some_and(|mark| mark.digest == Some(candidate.digest))
}

fn decide_new(
    candidate: &Candidate,
    blocks: &Blocks,
    rules: &Rules,
    id: AccountId,
    now: Timestamp,
) -> Decision {
    // Nobody needs an account who may not come in.
    if candidate.inactive.is_some() {
        return Decision::default();
    }
    let new =
        new_account(&rules.directory, &candidate.subject, &candidate.profile, id.0, now).account;
    let mut conflicts: Vec<String> =
        [&blocks.username, &blocks.email].into_iter().flatten().cloned().collect();
    if let Err(problem) = validate_username(&candidate.profile.username) {
        conflicts.push(format!("user name {:?} {problem}", candidate.profile.username));
    }
    let mut fields = differences(None, &new);
    let claims = &candidate.profile.claims;
    if !claims.is_empty() {
        fields.insert("claims", claims_change(None, claims));
    }
    let operation = conflicts.is_empty().then_some(Operation::Create);
    let mark = conflicts.is_empty().then(|| SyncMark {
        digest: Some(candidate.digest),
        shut_out: false,
        password_changed_at: candidate.password_changed_at.clone(),
        dn: candidate.dn.clone(),
    });
    Decision {
        operation,
        fields,
        conflicts,
        account: Some(new),
        mark,
        claims: Some(claims.clone()),
        ..Decision::default()
    }
}

fn decide_known(
    candidate: &Candidate,
    known: &SyncedPerson,
    blocks: &Blocks,
    rules: &Rules,
    now: Timestamp,
) -> Decision {
    let before = &known.account;
    let noted = known.mark.as_ref();
    let mut after = before.clone();
    apply_profile(&mut after, &candidate.profile);
    let mut conflicts = Vec::new();
    if let Some(cause) = &blocks.username {
        conflicts.push(cause.clone());
        after.username.clone_from(&before.username);
        after.username_key.clone_from(&before.username_key);
    }
    if let Some(cause) = &blocks.email {
        conflicts.push(cause.clone());
        after.email.clone_from(&before.email);
        after.email_key.clone_from(&before.email_key);
        after.email_verified = before.email_verified;
    }
    let mut operation = None;
    let mut reason = None;
    let mut kept = false;
    match &candidate.inactive {
        Some(_) if !before.active => {}
        Some(_) if rules.administrators.contains(&before.username_key) => {
            kept = true;
            conflicts.push(kept_administrator(&before.username));
        }
        Some(word) => {
            operation = Some(Operation::Deactivate);
            reason = Some(word.clone());
            shut_out(&mut after, word);
        }
        None if may_come_back(known) => {
            operation = Some(Operation::Reactivate);
            after.active = true;
            after.inactive_reason = None;
        }
        None => {}
    }
    let mut fields = differences(Some(before), &after);
    let old_password = noted.and_then(|mark| mark.password_changed_at.as_deref());
    let new_password = candidate.password_changed_at.as_deref();
    let end_sessions =
        after.active && old_password.zip(new_password).is_some_and(|(old, new)| old != new);
    if end_sessions {
        let (from, to) = (Value::from(old_password), Value::from(new_password));
        fields.insert("password_changed_at", FieldChange { from, to });
    }
    let claims = &candidate.profile.claims;
    let claims = (*claims != known.claims).then(|| claims.clone());
    if let Some(claims) = &claims {
        fields.insert("claims", claims_change(Some(&known.claims), claims));
    }
    if operation.is_none() && !fields.is_empty() {
        operation = Some(Operation::Update);
    }
    if operation.is_some() {
        after.updated_at = now;
        if candidate.inactive.is_none() {
            after.checked_at = Some(now);
        }
    }
    let mark = SyncMark {
        // Without a digest the person is looked at again each time until the conflict is solved.
        digest: conflicts.is_empty().then_some(candidate.digest),
        shut_out: candidate.inactive.is_some() && !kept,
        password_changed_at: new_password.or(old_password).map(str::to_owned),
        dn: candidate.dn.clone(),
    };
    Decision {
        operation,
        fields,
        conflicts,
        reason,
        username: Some(before.username.clone()),
        account: Some(after),
        mark: (noted != Some(&mark)).then_some(mark),
        end_sessions,
        claims,
    }
}

/// Decides about a person whom the directory does not have any more, for the reason `word`.
pub(super) fn decide_gone(
    known: &SyncedPerson,
    word: &str,
    maybe_unmappable: bool,
    rules: &Rules,
    now: Timestamp,
) -> Decision {
    let before = &known.account;
    let noted = known.mark.as_ref();
    let username = Some(before.username.clone());
    if before.active && maybe_unmappable {
        let conflicts = vec![
            "is missing, but an entry that cannot be mapped may be this person: nobody is \
             deactivated for that; mend the entry, or leave it out by user_filter"
                .to_owned(),
        ];
        return Decision { conflicts, username, ..Decision::default() };
    }
    if before.active && rules.administrators.contains(&before.username_key) {
        let conflicts = vec![kept_administrator(&before.username)];
        return Decision { conflicts, username, ..Decision::default() };
    }
    let mark = SyncMark {
        digest: None,
        shut_out: true,
        password_changed_at: noted.and_then(|mark| mark.password_changed_at.clone()),
        dn: noted.map(|mark| mark.dn.clone()).unwrap_or_default(),
    };
    let mark = (noted != Some(&mark)).then_some(mark);
    if !before.active {
        return Decision { mark, username, ..Decision::default() };
    }
    let mut after = before.clone();
    shut_out(&mut after, word);
    after.updated_at = now;
    Decision {
        operation: Some(Operation::Deactivate),
        fields: differences(Some(before), &after),
        reason: Some(word.to_owned()),
        account: Some(after),
        username,
        mark,
        ..Decision::default()
    }
}

fn shut_out(account: &mut AccountRecord, word: &str) {
    account.active = false;
    account.inactive_reason = Some(format!("{SHUT_OUT}{word}"));
}

/// Only whom this directory shut out, and nobody else has shut out since, is let in again.
fn may_come_back(known: &SyncedPerson) -> bool {
    let account = &known.account;
    let by_sync = account.inactive_reason.as_deref().is_some_and(|it| it.starts_with(SHUT_OUT));
    !account.active
        && by_sync
        && !known.shut_out_elsewhere
        && known.mark.as_ref().is_some_and(|mark| mark.shut_out)
}

fn kept_administrator(username: &str) -> String {
    format!(
        "account {username:?} stands in [admin] accounts, so it is not deactivated: take it out \
         there, or disable it by `auth-daemon user disable`"
    )
}
