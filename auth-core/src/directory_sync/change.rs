//! What a plan says, one person at a time: the objects of `sync plan --json`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::store::{AccountRecord, ClaimMap};

/// What is done with a person's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// An account is made.
    Create,
    /// Fields of the account change.
    Update,
    /// The account is shut out and its sessions end; it is never deleted.
    Deactivate,
    /// The account is let in again.
    Reactivate,
    /// Nothing is done before somebody decides.
    Conflict,
}

impl Operation {
    /// The word in listings, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Deactivate => "deactivate",
            Self::Reactivate => "reactivate",
            Self::Conflict => "conflict",
        }
    }
}

/// The old and the new value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// As the account has it.
    pub from: Value,
    /// As the directory has it.
    pub to: Value,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is done.
    pub op: Operation,
    /// DN of the entry; of a person who is gone, as it was last seen.
    pub dn: String,
    /// Stable id at the directory; empty for an entry that has none.
    pub id: String,
    /// User name of the account; `None` when there is none.
    pub account: Option<String>,
    /// Fields that change.
    pub fields: BTreeMap<&'static str, FieldChange>,
    /// Why somebody is deactivated, or what the conflict is, with both sides.
    pub reason: Option<String>,
}

/// Fields in which two states of an account differ; `before` is `None` for a new one.
pub(super) fn differences(
    before: Option<&AccountRecord>,
    after: &AccountRecord,
) -> BTreeMap<&'static str, FieldChange> {
    let mut fields = BTreeMap::new();
    for (name, read) in FIELDS {
        let from = before.map_or(Value::Null, read);
        let to = read(after);
        let absent = before.is_none() && (to == Value::Bool(false) || to == Value::Array(vec![]));
        if from != to && !absent {
            fields.insert(*name, FieldChange { from, to });
        }
    }
    fields
}

/// Further claims before and after, long values (pictures) by their length only.
pub(super) fn claims_change(before: Option<&ClaimMap>, after: &ClaimMap) -> FieldChange {
    FieldChange { from: before.map_or(Value::Null, shown), to: shown(after) }
}

fn shown(claims: &ClaimMap) -> Value {
    let value = |value: &String| match value.chars().count() {
        0..=SHOWN => Value::from(value.as_str()),
        length => Value::from(format!("({length} characters)")),
    };
    let members = claims
        .iter()
        .map(|(name, values)| (name.clone(), values.iter().map(value).collect::<Value>()));
    Value::Object(members.collect())
}

/// A claim's value that is longer is not shown.
const SHOWN: usize = 256;

type Read = fn(&AccountRecord) -> Value;

const FIELDS: &[(&str, Read)] = &[
    ("active", |account| account.active.into()),
    ("email", |account| account.email.clone().into()),
    ("email_verified", |account| account.email_verified.into()),
    ("first_name", |account| account.first_name.clone().into()),
    ("groups", |account| account.groups.clone().into()),
    ("last_name", |account| account.last_name.clone().into()),
    ("locale", |account| account.locale.clone().into()),
    ("nickname", |account| account.nickname.clone().into()),
    ("position", |account| account.position.clone().into()),
    ("roles", |account| account.roles.clone().into()),
    ("username", |account| account.username.clone().into()),
];
