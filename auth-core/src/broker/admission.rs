//! From a verified identity to its stored account: load, decide, save.

use super::directory_facts::DirectoryFacts;
use super::first_factor::Refused;
use super::{Broker, BrokerError};
use crate::account::{Admission, admit};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::VerifiedIdentity;
use crate::store::{AccountRecord, StoreError};

impl Broker {
    /// The identity's account, made or brought up to date. Nobody is linked by name or address:
    /// a name or address that another account holds is refused for a new person, and left as it
    /// was for a known one.
    pub(super) async fn admit(
        &self,
        identity: &VerifiedIdentity,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<AccountRecord, Refused>, BrokerError> {
        let admitted = self.account_for(identity, origin, now).await?;
        if let Ok(account) = &admitted {
            let facts = DirectoryFacts {
                connector: identity.connector(),
                subject: identity.subject(),
                password_changed_at: identity.password_changed_at(),
                claims: &identity.profile().claims,
            };
            self.note_facts(account, &facts, origin, now).await?;
        }
        Ok(admitted)
    }

    async fn account_for(
        &self,
        identity: &VerifiedIdentity,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<AccountRecord, Refused>, BrokerError> {
        // A lost race (another login of the same person) is decided anew, a few times at most.
        for _ in 0..4 {
            let known =
                self.store.account_by_identity(identity.connector(), identity.subject()).await?;
            let before = known.clone();
            let admission = match admit(identity, known, self.new_id(now), now) {
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
                    let email = new.account.email_key.as_deref();
                    if let Some(field) = self.shadowed(&new.account.username, email).await? {
                        return Ok(Err(conflict(field, identity)));
                    }
                    let event = AuditRecord::new(now, "account.created")
                        .account(&new.account.username)
                        .connector(identity.connector())
                        .from_request(origin)
                        .with("subject", identity.subject());
                    match self.store.create_account(*new, vec![event.clone()]).await {
                        Ok(account) => {
                            event.log();
                            return Ok(Ok(account));
                        }
                        Err(StoreError::Conflict { field: "identity" }) => {}
                        Err(StoreError::Conflict { field }) => {
                            return Ok(Err(conflict(field, identity)));
                        }
                        Err(error) => return Err(error.into()),
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
                    event.log();
                    self.store.append_audit(vec![event]).await?;
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

fn conflict(field: &'static str, identity: &VerifiedIdentity) -> Refused {
    let value = match field {
        "username" => Some(identity.profile().username.clone()),
        _ => identity.profile().email.clone(),
    };
    Refused {
        reason: field_taken(field),
        detail: value.map(|value| {
            format!(
                "{field} {value:?} belongs to another account; link this identity to it \
                 (user link) or change one of the two"
            )
        }),
        notice: super::Notice::Refused,
    }
}
