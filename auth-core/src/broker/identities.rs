//! Linking and unlinking identities: by rule at a sign-in, by the person, by an administrator.

use super::accounts::invalid;
use super::first_factor::Refused;
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::account::email_key;
use crate::account::linking::{AddressHolder, LinkRefusal, link_by_address, may_change_identities};
use crate::account::rules::ConnectorRules;
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::connector::{LOCAL, VerifiedIdentity};
use crate::login::flow::AAL2;
use crate::login::{PendingLogin, Stage};
use crate::session::Session;
use crate::store::{AccountRecord, IdentityRecord, SessionId, StoreError, Unlinking};

/// What a rule did with a new identity.
pub(super) enum Linking {
    /// Linked to this account.
    Linked(Box<AccountRecord>),
    /// To no account; why not, where one holds its address.
    Unlinked(Option<LinkRefusal>),
    /// It must not come in.
    Refused(Refused),
    /// Somebody else linked it first.
    Again,
}

impl Broker {
    /// Links an identity that nobody has yet, where a rule proves whose it is.
    pub(super) async fn link_new(
        &self,
        identity: &VerifiedIdentity,
        rules: &ConnectorRules,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Linking, BrokerError> {
        if let Some((directory, id)) = self.directory_person(identity, rules)
            && let Some(account) = self.store.account_by_identity(directory, &id).await?
        {
            if !account.active {
                return Ok(Linking::Refused(Refused::plain(LinkRefusal::Inactive.as_str())));
            }
            let by = format!("directory:{directory}");
            return self.link(identity, account, &by, origin, now).await;
        }
        let key = identity.profile().email.as_deref().and_then(email_key);
        let Some(key) = key else { return Ok(Linking::Unlinked(None)) };
        let Some(account) = self.store.account_by_email(&key).await? else {
            return Ok(Linking::Unlinked(None));
        };
        let identities = self.store.identities(&[account.id]).await?;
        let has_factor = !self.store.factors(&[account.id]).await?.is_empty();
        let holder = AddressHolder { account: &account, identities: &identities, has_factor };
        let vouches = |connector: &str| self.vouches(connector, &key);
        match link_by_address(identity, rules, &holder, vouches) {
            Ok(()) => self.link(identity, account, "verified_address", origin, now).await,
            Err(refusal) => Ok(Linking::Unlinked(Some(refusal))),
        }
    }

    /// Whether a connector's word on this address counts: an administrator's, a directory's, or
    /// that of a connector that hands out the domain's addresses.
    fn vouches(&self, connector: &str, address: &str) -> bool {
        let rules = self.settings.rules.get(connector);
        connector == LOCAL
            || self.is_directory(connector)
            || rules.is_some_and(|rules| rules.is_authoritative_for(address))
    }

    #[cfg(feature = "ldap")]
    pub(super) fn is_directory(&self, connector: &str) -> bool {
        self.connectors.directory(connector).is_some()
    }

    #[cfg(not(feature = "ldap"))]
    pub(super) fn is_directory(&self, _: &str) -> bool {
        false
    }

    async fn link(
        &self,
        identity: &VerifiedIdentity,
        account: AccountRecord,
        by: &str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Linking, BrokerError> {
        let (connector, subject) = (identity.connector(), identity.subject());
        match self.write_link(&account, connector, subject, by, origin, now).await {
            Ok(()) => Ok(Linking::Linked(Box::new(account))),
            Err(StoreError::Conflict { field: "identity" }) => Ok(Linking::Again),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the person of `session` may change their identities now, or has to prove anew who
    /// they are. `Ok(true)` when they may.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn may_change_identities(&self, session: &Session) -> Result<bool, BrokerError> {
        Ok(self.judge_change(session).await?.is_ok())
    }

    async fn judge_change(
        &self,
        session: &Session,
    ) -> Result<Result<(), LinkRefusal>, BrokerError> {
        let has_factor = !self.store.factors(&[session.account().id]).await?.is_empty();
        let record = session.record();
        Ok(may_change_identities(record, record.acr == AAL2, has_factor, self.now()))
    }

    /// Whether the account has a second factor, which a new proof has to include then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_second_factor(&self, session: &Session) -> Result<bool, BrokerError> {
        Ok(!self.store.factors(&[session.account().id]).await?.is_empty())
    }

    /// A connector verified an identity that the person of `session` wants to link. The session
    /// must be this browser's, live and fresh at this moment.
    pub(super) async fn link_arrived(
        &self,
        login: PendingLogin,
        identity: &VerifiedIdentity,
        session: SessionId,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let connector = identity.connector().to_owned();
        let request = Box::new(login.request().clone());
        let live = match at.replaces == Some(session) {
            true => self.session(session).await?,
            false => None,
        };
        let refusal = match &live {
            None => Err(LinkRefusal::OtherSession),
            Some(live) if login.request().account != Some(live.account().id) => {
                Err(LinkRefusal::OtherSession)
            }
            Some(live) => self.judge_change(live).await?,
        };
        let known =
            self.store.account_by_identity(identity.connector(), identity.subject()).await?;
        let refusal = match (&live, known) {
            (Some(live), Some(owner)) if owner.id == live.account().id => {
                // Linked already: nothing to do, and nothing to refuse.
                self.end_link(login).await?;
                return Ok(Step::Linked { request });
            }
            (_, Some(_)) => refusal.and(Err(LinkRefusal::LinkedElsewhere)),
            (_, None) => refusal,
        };
        let live = match (refusal, live) {
            (Ok(()), Some(live)) => live,
            (Err(reason), live) => {
                let account = live.map(|live| live.account().username.clone());
                return self.link_refused(&login, &connector, account, reason, at).await;
            }
            (Ok(()), None) => return Err(BrokerError::Internal("a link without session".into())),
        };
        match self.link(identity, live.account().clone(), "person", at.origin, at.now).await? {
            Linking::Linked(_) => {
                self.end_link(login).await?;
                Ok(Step::Linked { request })
            }
            _ => {
                let account = Some(live.account().username.clone());
                let reason = LinkRefusal::LinkedElsewhere;
                self.link_refused(&login, &connector, account, reason, at).await
            }
        }
    }

    /// The login is used up: it must not be departed with again.
    async fn end_link(&self, login: PendingLogin) -> Result<(), BrokerError> {
        let Some(session) = login.request().link else { return Ok(()) };
        let record = login.record(Stage::Completed(session))?;
        self.store.advance_login(record, Vec::new()).await?;
        Ok(())
    }

    async fn link_refused(
        &self,
        login: &PendingLogin,
        connector: &str,
        account: Option<String>,
        reason: LinkRefusal,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let event = AuditRecord::new(at.now, "identity.link_refused")
            .refused(reason.as_str())
            .account(account.as_deref().unwrap_or_default())
            .connector(connector)
            .from_request(at.origin);
        self.note(event).await?;
        metrics::counter!("auth_identity_links_total", "connector" => connector.to_owned(), "result" => "refused")
            .increment(1);
        Ok(Step::Refused { reason: reason.as_str(), request: Box::new(login.request().clone()) })
    }

    /// Takes an identity of the person's own away. `false` when it is their last one.
    ///
    /// # Errors
    /// When it is not theirs, the person has to prove anew who they are, or the store fails.
    pub async fn unlink_own(
        &self,
        session: &Session,
        connector: &str,
        subject: &str,
        origin: &Origin,
    ) -> Result<bool, BrokerError> {
        if let Err(refusal) = self.judge_change(session).await? {
            return Err(invalid("session", refusal.as_str()));
        }
        let own = self.store.identities(&[session.account().id]).await?;
        if !own.iter().any(|one| one.connector == connector && one.subject == subject) {
            return Err(invalid("identity", "is not one of this account"));
        }
        let outcome = self.unlink(session.account(), connector, subject, "person", origin).await?;
        Ok(outcome != Unlinking::Last)
    }

    /// Links an identity to an account, on an administrator's word. `false` when it is linked to
    /// this account already.
    ///
    /// # Errors
    /// When the connector is not known, the identity is linked to another account, or the store
    /// fails.
    pub async fn link_identity(
        &self,
        name: &str,
        connector: &str,
        subject: &str,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<bool, BrokerError> {
        let now = self.now();
        let account = self.find_account(name).await?;
        self.check_connector(connector)?;
        if subject.trim().is_empty() || subject.chars().any(char::is_control) {
            return Err(invalid("subject", "is empty or holds control characters"));
        }
        match self.store.account_by_identity(connector, subject).await? {
            Some(owner) if owner.id == account.id => return Ok(false),
            Some(owner) => {
                return Err(invalid(
                    "subject",
                    &format!("is linked to {:?}; unlink it there first", owner.username),
                ));
            }
            None if dry_run => return Ok(true),
            None => {}
        }
        self.write_link(&account, connector, subject, "administrator", origin, now).await?;
        Ok(true)
    }

    pub(super) async fn write_link(
        &self,
        account: &AccountRecord,
        connector: &str,
        subject: &str,
        by: &str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let record = IdentityRecord {
            connector: connector.to_owned(),
            subject: subject.to_owned(),
            account: account.id,
            linked_at: now,
        };
        let event = linked_event(account, &record, by, origin, now);
        self.store.link_identity(record, vec![event.clone()]).await?;
        event.log();
        Ok(())
    }

    /// Takes an identity away from an account, on an administrator's word; never its last one.
    ///
    /// # Errors
    /// When the account has no such identity, it is the last one, or the store fails.
    pub async fn unlink_identity(
        &self,
        name: &str,
        connector: &str,
        subject: &str,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<(), BrokerError> {
        let details = self.show_account(name).await?;
        let is_it = |one: &IdentityRecord| one.connector == connector && one.subject == subject;
        if !details.identities.iter().any(is_it) {
            return Err(invalid("identity", "is not one of this account; see `user show`"));
        }
        let last = || {
            invalid(
                "identity",
                "is the account's last way in; link another one first, or disable the account",
            )
        };
        if details.identities.len() < 2 {
            return Err(last());
        }
        if dry_run {
            return Ok(());
        }
        match self.unlink(&details.account, connector, subject, "administrator", origin).await? {
            Unlinking::Last => Err(last()),
            Unlinking::Done | Unlinking::Missing => Ok(()),
        }
    }

    async fn unlink(
        &self,
        account: &AccountRecord,
        connector: &str,
        subject: &str,
        by: &str,
        origin: &Origin,
    ) -> Result<Unlinking, BrokerError> {
        let event = AuditRecord::new(self.now(), "identity.unlinked")
            .account(&account.username)
            .connector(connector)
            .from_request(origin)
            .with("subject", subject)
            .with("by", by);
        let outcome = self
            .store
            .unlink_spare_identity(connector, subject, LOCAL, vec![event.clone()])
            .await?;
        if outcome == Unlinking::Done {
            event.log();
        }
        Ok(outcome)
    }

    /// Refuses a connector that the configuration does not have.
    ///
    /// # Errors
    /// Names those that there are.
    pub fn check_connector(&self, connector: &str) -> Result<(), BrokerError> {
        let choices = self.connectors.choices();
        if self.redirect_connector(connector).is_some()
            || choices.iter().any(|choice| choice.id == connector)
        {
            return Ok(());
        }
        let known: Vec<&str> = choices.iter().map(|choice| choice.id.as_str()).collect();
        Err(invalid("connector", &format!("{connector:?} is none of {}", known.join(", "))))
    }
}

fn linked_event(
    account: &AccountRecord,
    record: &IdentityRecord,
    by: &str,
    origin: &Origin,
    now: Timestamp,
) -> AuditRecord {
    metrics::counter!("auth_identity_links_total", "connector" => record.connector.clone(), "result" => "linked")
        .increment(1);
    AuditRecord::new(now, "identity.linked")
        .account(&account.username)
        .connector(&record.connector)
        .from_request(origin)
        .with("subject", record.subject.clone())
        .with("by", by)
}
