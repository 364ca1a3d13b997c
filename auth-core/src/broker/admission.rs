//! From a verified identity to its stored account: load, decide, save.

use super::directory_facts::DirectoryFacts;
use super::first_factor::Refused;
use super::identities::Linking;
use super::{Broker, BrokerError};
use crate::account::linking::LinkRefusal;
use crate::account::rules::ConnectorRules;
use crate::account::{Admission, admit, with_roles};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::VerifiedIdentity;
use crate::store::{AccountRecord, NewAccount, StoreError};

impl Broker {
    /// The identity's account: known, linked by a rule that proves it, or made. Nobody is linked
    /// by a name or an address alone: one that another account holds is refused for a new person,
    /// and left as it was for a known one.
    pub(super) async fn admit(
        &self,
        identity: &VerifiedIdentity,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<AccountRecord, Refused>, BrokerError> {
        let account = match self.account_for(identity, origin, now).await? {
            Ok(account) => account,
            Err(refused) => return Ok(Err(refused)),
        };
        self.join_directory(&account, identity, origin, now).await?;
        let facts = DirectoryFacts {
            connector: identity.connector(),
            subject: identity.subject(),
            password_changed_at: identity.password_changed_at(),
            claims: &identity.profile().claims,
        };
        self.note_facts(&account, &facts, origin, now).await?;
        self.completed_by_directory(account, identity, origin, now).await
    }

    async fn account_for(
        &self,
        identity: &VerifiedIdentity,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<AccountRecord, Refused>, BrokerError> {
        let no_rules = ConnectorRules::default();
        let rules = self.settings.rules.get(identity.connector()).unwrap_or(&no_rules);
        let profile =
            with_roles(&self.settings.role_rules, identity.connector(), identity.profile());
        if let Err(refusal) = rules.may_come_in(&profile) {
            return Ok(Err(Refused::plain(refusal.as_str())));
        }
        // A lost race (another login of the same person) is decided anew, a few times at most.
        for _ in 0..4 {
            let mut known =
                self.store.account_by_identity(identity.connector(), identity.subject()).await?;
            let mut not_linked = None;
            if known.is_none() {
                match self.link_new(identity, rules, origin, now).await? {
                    Linking::Linked(account) => known = Some(*account),
                    Linking::Again => continue,
                    Linking::Refused(refused) => return Ok(Err(refused)),
                    Linking::Unlinked(reason) => {
                        not_linked = reason;
                        if let Err(refusal) = rules.may_be_made() {
                            let detail = not_linked.map(|reason| reason.as_str().to_owned());
                            return Ok(Err(Refused { detail, ..Refused::plain(refusal.as_str()) }));
                        }
                    }
                }
            }
            let leads = match &known {
                Some(account) => {
                    self.leads(account.id, identity.connector(), identity.subject()).await?
                }
                None => true,
            };
            let before = known.clone();
            let admission = match admit(identity, &profile, leads, known, self.new_id(now), now) {
                Ok(admission) => admission,
                Err(refusal) => return Ok(Err(Refused::plain(refusal.as_str()))),
            };
            match (admission, before) {
                (Admission::Update(account), Some(before)) => {
                    if let Some(account) =
                        self.bring_up_to_date(*account, before, origin, now).await?
                    {
                        return Ok(Ok(account));
                    }
                }
                (Admission::Create(new), _) => {
                    match self.make_account(*new, identity, not_linked, origin, now).await? {
                        Made::Account(account) => return Ok(Ok(*account)),
                        Made::Refused(refused) => return Ok(Err(refused)),
                        Made::Again => {}
                    }
                }
                (Admission::Update(_), None) => {
                    return Err(BrokerError::Internal("update of an unknown account".to_owned()));
                }
            }
        }
        Err(BrokerError::Store(StoreError::Unavailable {
            message: "the account keeps changing under this login".to_owned(),
        }))
    }

    async fn make_account(
        &self,
        new: NewAccount,
        identity: &VerifiedIdentity,
        not_linked: Option<LinkRefusal>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Made, BrokerError> {
        let email = new.account.email_key.as_deref();
        if let Some(field) = self.shadowed(&new.account.username, email).await? {
            return Ok(Made::Refused(conflict(field, identity, not_linked)));
        }
        let event = AuditRecord::new(now, "account.created")
            .account(&new.account.username)
            .connector(identity.connector())
            .from_request(origin)
            .with("subject", identity.subject());
        match self.store.create_account(new, vec![event.clone()]).await {
            Ok(account) => {
                event.log();
                Ok(Made::Account(Box::new(account)))
            }
            Err(StoreError::Conflict { field: "identity" }) => Ok(Made::Again),
            Err(StoreError::Conflict { field }) => {
                Ok(Made::Refused(conflict(field, identity, not_linked)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a changed profile. `None` when somebody else changed the account first.
    async fn bring_up_to_date(
        &self,
        mut account: AccountRecord,
        before: AccountRecord,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<AccountRecord>, BrokerError> {
        // What only notes the time of this login is written when it completes.
        let noted = |record: &AccountRecord| AccountRecord {
            updated_at: now,
            last_login_at: None,
            checked_at: None,
            ..record.clone()
        };
        for _ in 0..3 {
            if noted(&account) == noted(&before) {
                return Ok(Some(AccountRecord { version: before.version, ..account }));
            }
            match self.store.update_account(account.clone(), Vec::new()).await {
                Ok(true) => {
                    account.version += 1;
                    return Ok(Some(account));
                }
                Ok(false) => return Ok(None),
                Err(StoreError::Conflict { field }) => {
                    keep(field, &mut account, &before);
                    let event = AuditRecord::new(now, "account.conflict")
                        .refused(field_taken(field))
                        .account(&before.username)
                        .from_request(origin);
                    self.note(event).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

fn keep(field: &str, account: &mut AccountRecord, before: &AccountRecord) {
    if field == "username" {
        account.username.clone_from(&before.username);
        account.username_key.clone_from(&before.username_key);
    } else {
        account.email.clone_from(&before.email);
        account.email_key.clone_from(&before.email_key);
        account.email_verified = before.email_verified;
    }
}

const fn field_taken(field: &'static str) -> &'static str {
    match field.as_bytes() {
        b"username" => "username_taken",
        _ => "email_taken",
    }
}

enum Made {
    Account(Box<AccountRecord>),
    Refused(Refused),
    /// Somebody else made it first.
    Again,
}

fn conflict(
    field: &'static str,
    identity: &VerifiedIdentity,
    not_linked: Option<LinkRefusal>,
) -> Refused {
    let why = not_linked.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
    let value = match field {
        "username" => Some(identity.profile().username.clone()),
        _ => identity.profile().email.clone(),
    };
    Refused {
        reason: field_taken(field),
        detail: value.map(|value| {
            format!(
                "{field} {value:?} belongs to another account{why}; link subject {:?} to it \
                 (user link) or change one of the two",
                identity.subject()
            )
        }),
        notice: super::Notice::Refused,
    }
}
