//! What is decided of a person, as lines of the plan, as a write of a batch, and as audit events.

use std::collections::BTreeMap;

use serde_json::Value;

use super::change::{Change, FieldChange, Operation};
use super::decision::{Decision, Rules};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::store::{IdentityRecord, NewAccount, SyncStep, SyncWrite};

impl Decision {
    /// As lines of the plan: what is done, and what has to be decided.
    pub(super) fn changes(&self, dn: &str, subject: &str) -> Vec<Change> {
        let line = |op, fields, reason| Change {
            op,
            dn: dn.to_owned(),
            id: subject.to_owned(),
            account: self.username.clone().or_else(|| match op {
                Operation::Create => self.account.as_ref().map(|account| account.username.clone()),
                _ => None,
            }),
            fields,
            reason,
        };
        let done = self.operation.map(|op| line(op, self.fields.clone(), self.reason.clone()));
        let open = (!self.conflicts.is_empty())
            .then(|| line(Operation::Conflict, BTreeMap::new(), Some(self.conflicts.join("; "))));
        done.into_iter().chain(open).collect()
    }

    /// Whether the person loses a group or a role. That somebody is no longer a plain member is
    /// no loss: a special role came instead.
    pub(super) fn loses_membership(&self) -> bool {
        ["groups", "roles"].iter().any(|name| {
            self.fields.get(name).is_some_and(|field| {
                let (from, to) = (field.from.as_array(), field.to.as_array());
                from.into_iter()
                    .flatten()
                    .any(|item| item != "member" && !to.is_some_and(|items| items.contains(item)))
            })
        })
    }

    /// Whether a value goes without another one in its place.
    pub(super) fn loses_value(&self) -> bool {
        let gone = |field: &FieldChange| field.to.is_null() && !field.from.is_null();
        let names = |value: &Value| -> Vec<String> {
            value.as_object().map(|it| it.keys().cloned().collect()).unwrap_or_default()
        };
        self.fields.values().any(gone)
            || self.fields.get("claims").is_some_and(|claims| {
                let left = names(&claims.to);
                names(&claims.from).iter().any(|name| !left.contains(name))
            })
    }

    /// As a write of a batch; `None` when nothing is written.
    pub(super) fn into_step(
        self,
        subject: &str,
        rules: &Rules,
        origin: &Origin,
        now: Timestamp,
    ) -> Option<SyncStep> {
        let audit = self.audit(subject, rules, origin, now);
        let deactivates = self.operation == Some(Operation::Deactivate);
        let write = match (self.operation, self.account) {
            (None, _) => {
                return self.mark.map(|mark| SyncStep {
                    write: SyncWrite::Note { subject: subject.to_owned(), mark },
                    deactivates: false,
                    audit: Vec::new(),
                });
            }
            (Some(Operation::Create), Some(account)) => SyncWrite::Create {
                claims: self.claims.unwrap_or_default(),
                new: Box::new(NewAccount {
                    identity: Some(IdentityRecord {
                        connector: rules.directory.clone(),
                        subject: subject.to_owned(),
                        account: account.id,
                        linked_at: now,
                    }),
                    account,
                    password: None,
                }),
                mark: self.mark?,
            },
            (Some(_), Some(account)) => SyncWrite::Update {
                account: Box::new(account),
                subject: subject.to_owned(),
                claims: self.claims,
                mark: self.mark,
                end_sessions: self.end_sessions.then_some("password_changed"),
            },
            (Some(_), None) => return None,
        };
        Some(SyncStep { write, deactivates, audit })
    }

    fn audit(
        &self,
        subject: &str,
        rules: &Rules,
        origin: &Origin,
        now: Timestamp,
    ) -> Vec<AuditRecord> {
        let (Some(operation), Some(account)) = (self.operation, &self.account) else {
            return Vec::new();
        };
        let name = self.username.as_deref().unwrap_or(&account.username);
        let event = |event: &str| {
            AuditRecord::new(now, event)
                .account(name)
                .connector(&rules.directory)
                .from_request(origin)
                .with("subject", subject)
                .with("by", "sync")
        };
        let revoked =
            |reason: &str| event("session.revoked").with("reason", reason).with("all", true);
        let mut events = vec![match operation {
            Operation::Create => event("account.created"),
            Operation::Deactivate => {
                event("account.disabled").with("reason", self.reason.clone().unwrap_or_default())
            }
            Operation::Reactivate => event("account.enabled"),
            Operation::Update | Operation::Conflict => event("account.updated"),
        }];
        if operation != Operation::Create
            && let Some(first) = events.first_mut()
        {
            let names: Vec<Value> = self.fields.keys().map(|name| Value::from(*name)).collect();
            first.detail.insert("fields".to_owned(), Value::Array(names));
            // Who somebody is and what they may do is told in full, everything else by its name.
            for name in ["username", "email", "roles"] {
                if let Some(field) = self.fields.get(name) {
                    let both = serde_json::json!({ "from": field.from, "to": field.to });
                    first.detail.insert(name.to_owned(), both);
                }
            }
        }
        if operation == Operation::Deactivate {
            events.push(revoked("account_inactive"));
        } else if self.end_sessions {
            events.push(revoked("password_changed"));
        }
        events
    }
}
