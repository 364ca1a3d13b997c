//! The first factor: count, judge, admit, and ask the flow what comes next.

use std::time::Duration;

use tokio::time::Instant;

use super::sign_in::At;
use super::source_limit::Counted;
use super::{Broker, BrokerError, Notice, Step};
use crate::account::{email_key, normalise};
use crate::audit::AuditRecord;
use crate::connector::{ConnectorError, LOCAL, Refusal, VerifiedIdentity};
use crate::factor::PASSKEY;
use crate::login::flow::{self, Decision};
use crate::login::step::StepName;
use crate::login::throttle::{self, Counters};
use crate::login::{PendingLogin, Stage, TypedName};
use crate::secret::Secret;
use crate::store::{AccountRecord, Attempt, ThrottleRule};

/// A refusal on its way to the audit trail.
pub(super) struct Refused {
    pub(super) reason: &'static str,
    pub(super) detail: Option<String>,
    pub(super) notice: Notice,
}

/// What was typed beside a right password.
pub(super) struct Typed {
    name: TypedName,
    /// The throttle counters that a right answer clears.
    clear: Vec<String>,
}

impl Refused {
    pub(super) const fn plain(reason: &'static str) -> Self {
        Self { reason, detail: None, notice: Notice::Refused }
    }
}

impl Broker {
    pub(super) async fn first_factor(
        &self,
        login: PendingLogin,
        connector: &str,
        username: &str,
        password: Secret,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        // Of one source only so many are judged at once; the others wait, and are turned away
        // when those before them used up what a source may get wrong.
        let _turn = self.sources.turn(at.origin.ip).await;
        let name = TypedName::new(connector, username);
        let known = self.known_browser(&name, at).await?;
        // Somebody else behind the same address does not keep out who signed in here before.
        let counted = known.as_ref().map_or(Counted::Network(at.origin.ip), Counted::Browser);
        if let Some(retry_after) = self.sources.wait(counted) {
            self.audit_refusal(
                &login,
                connector,
                username,
                &Refused::plain("source_throttled"),
                at,
            )
            .await?;
            return Ok(Step::Wait { retry_after });
        }
        let counters = throttle::password(&name, at.origin.ip, known.as_ref());
        let outcome = self.judge(&login, connector, username, password, &counters, at).await?;
        let identity = match outcome {
            Judged::Identity(identity) => identity,
            Judged::Unavailable(reason) => return Ok(Step::Unavailable { reason }),
            Judged::Refused(refused) => {
                return self.refuse(&login, connector, username, &refused, counted, at).await;
            }
        };
        let typed = Typed { name, clear: vec![counters.by_source, counters.over_all] };
        match self.admitted(login, &identity, Some(typed), at).await? {
            Ok(step) => Ok(step),
            Err((login, refused)) => {
                self.refuse(&login, connector, username, &refused, counted, at).await
            }
        }
    }

    /// From a verified identity to what comes next; the one way in, whatever the connector.
    /// `typed` is what was typed, where a password was asked for.
    pub(super) async fn admitted(
        &self,
        login: PendingLogin,
        identity: &VerifiedIdentity,
        typed: Option<Typed>,
        at: &At<'_>,
    ) -> Result<Result<Step, (PendingLogin, Refused)>, BrokerError> {
        let refused = |login, reason| Ok(Err((login, Refused::plain(reason))));
        if login.request().link.is_some() {
            // Begun to link an identity: such a login never ends in a session.
            return refused(login, "link_only");
        }
        if !login.allows_connector(identity.connector()) {
            return refused(login, "connector_not_allowed");
        }
        let account = match self.admit(identity, at.origin, at.now).await? {
            Ok(account) => account,
            Err(refused) => return Ok(Err((login, refused))),
        };
        if login.request().account.is_some_and(|only| only != account.id) {
            return refused(login, "another_account");
        }
        let Some(first) = crate::login::FirstFactor::admitted(identity, &account) else {
            return refused(login, "account_inactive");
        };
        let (name, clear) = typed.map_or((None, vec![]), |it| (Some(it.name), it.clear));
        let first = first.with_upstream(self.upstream_note(identity)).with_typed_name(name);
        let demand = self.demand(&login, &first, &account, at).await?;
        metrics::counter!("auth_first_factors_total", "connector" => identity.connector().to_owned(), "result" => "passed")
            .increment(1);
        let step = match flow::after_first_factor(first, account, &demand) {
            None => return refused(login, "account_inactive"),
            Some(Decision::Complete(completed)) => {
                self.complete(login, *completed, None, clear, at).await?
            }
            Some(Decision::AskFactor(first)) => {
                self.store.clear_attempts(&clear).await?;
                self.advance(login, Stage::Factor(first), at).await?
            }
            Some(Decision::Enrol(first)) => {
                self.store.clear_attempts(&clear).await?;
                let sealed_seed = self.new_seed(&login, &first)?;
                self.advance(login, Stage::Enrolment { first, sealed_seed }, at).await?
            }
        };
        Ok(Ok(step))
    }

    async fn advance(
        &self,
        mut login: PendingLogin,
        stage: Stage,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        self.prepare_ceremony(&mut login, &stage).await?;
        // Whether this answer or a twin of it moved the login on: the page shows where it is.
        let record = login.record(stage)?;
        self.store.advance_login(record, Vec::new()).await?;
        self.resume(at.handle, at.browser).await
    }

    /// Counts the attempt before it is judged, so that parallel guesses cannot slip through.
    async fn judge(
        &self,
        login: &PendingLogin,
        connector: &str,
        username: &str,
        password: Secret,
        counters: &Counters,
        at: &At<'_>,
    ) -> Result<Judged, BrokerError> {
        if username.chars().count() > 255 || username.chars().any(char::is_control) {
            return Ok(Judged::Refused(Refused::plain(Refusal::MalformedInput.as_str())));
        }
        if !login.allows_connector(connector) {
            return Ok(Judged::Refused(Refused::plain("connector_not_allowed")));
        }
        if !self.connectors.choices().iter().any(|choice| choice.id == connector) {
            return Ok(Judged::Refused(Refused::plain("unknown_connector")));
        }
        let rule = self.settings.throttle;
        if let Attempt::Locked { .. } =
            self.store.count_attempt(&counters.by_source, rule, at.now).await?
        {
            return Ok(Judged::Refused(Refused::plain("throttled")));
        }
        let unlimited = ThrottleRule { limit: i64::MAX, lockout: rule.lockout };
        if let Attempt::Allowed { count } =
            self.store.count_attempt(&counters.over_all, unlimited, at.now).await?
        {
            let delay = throttle::delay(count, rule.limit);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        }
        match self.authenticate(connector, username, password, at).await {
            Ok(identity) => Ok(Judged::Identity(Box::new(identity))),
            Err(ConnectorError::Refused { reason, detail }) => {
                let notice = match reason {
                    Refusal::PasswordExpired => Notice::PasswordExpired,
                    Refusal::PasswordMustChange => Notice::PasswordMustChange,
                    _ => Notice::Refused,
                };
                Ok(Judged::Refused(Refused { reason: reason.as_str(), detail, notice }))
            }
            Err(ConnectorError::Unavailable { reason, message }) => {
                // Not a wrong guess: an outage must lock nobody out.
                self.forgive(counters).await?;
                let event = cannot_judge(connector, reason, &message, at).account(username);
                self.note(event).await?;
                metrics::counter!("auth_logins_total", "connector" => connector.to_owned(), "result" => "failed")
                    .increment(1);
                Ok(Judged::Unavailable(reason))
            }
        }
    }

    async fn forgive(&self, counters: &Counters) -> Result<(), BrokerError> {
        self.store.forgive_attempt(&counters.by_source).await?;
        self.store.forgive_attempt(&counters.over_all).await?;
        Ok(())
    }

    async fn authenticate(
        &self,
        connector: &str,
        username: &str,
        password: Secret,
        at: &At<'_>,
    ) -> Result<VerifiedIdentity, ConnectorError> {
        if connector == LOCAL {
            return self.authenticate_local(username, password, at).await;
        }
        #[cfg(feature = "ldap")]
        if let Some(directory) = self.connectors.directory(connector) {
            return directory.authenticate(username, &password, at.now).await;
        }
        Err(ConnectorError::refused(Refusal::UnknownUser))
    }

    async fn authenticate_local(
        &self,
        username: &str,
        password: Secret,
        at: &At<'_>,
    ) -> Result<VerifiedIdentity, ConnectorError> {
        let Some(local) = &self.connectors.local else {
            return Err(ConnectorError::refused(Refusal::UnknownUser));
        };
        let account = self.local_account(username).await.map_err(store_unavailable)?;
        let stored = match &account {
            Some(account) => self.store.password(account.id).await.map_err(store_unavailable)?,
            None => None,
        };
        let (identity, rehashed) =
            local.authenticate(account.as_ref(), stored.as_ref(), password, at.now).await?;
        if let (Some(stored), Some(new_hash)) = (stored, rehashed) {
            // Best effort: the old hash is still good, the next login tries again.
            if let Err(error) =
                self.store.rehash_password(stored.account, &stored.hash, &new_hash).await
            {
                tracing::warn!(%error, "password hash not brought up to date");
            }
        }
        Ok(identity)
    }

    /// The account by user name if it has a local identity, else by e-mail address.
    async fn local_account(
        &self,
        typed: &str,
    ) -> Result<Option<AccountRecord>, crate::store::StoreError> {
        let named = self.store.account_by_username(&normalise(typed)).await?;
        if let Some(account) = &named
            && self.store.password(account.id).await?.is_some()
        {
            return Ok(named);
        }
        match email_key(typed) {
            Some(key) => Ok(self.store.account_by_email(&key).await?.or(named)),
            None => Ok(named),
        }
    }

    /// Refuses: one event, one neutral answer, never sooner than the floor.
    async fn refuse(
        &self,
        login: &PendingLogin,
        connector: &str,
        username: &str,
        refused: &Refused,
        counted: Counted<'_>,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        self.sources.refused(counted);
        self.audit_refusal(login, connector, username, refused, at).await?;
        self.observe(connector, "refused", at.begun);
        tokio::time::sleep_until(at.begun + self.settings.refusal_floor).await;
        let mut prompt = self.prompt(
            login.request(),
            at.handle,
            at.browser,
            login.version(),
            Some(connector),
            Some(username),
            Some(refused.notice),
        );
        prompt.passkey = self.passkey_options(login)?;
        debug_assert_eq!(login.step(), StepName::Credentials);
        Ok(Step::AskCredentials(prompt))
    }

    pub(super) async fn audit_refusal(
        &self,
        login: &PendingLogin,
        connector: &str,
        username: &str,
        refused: &Refused,
        at: &At<'_>,
    ) -> Result<(), BrokerError> {
        // What a stranger wrote into the path must not become a connector in the trail.
        let known = self.is_known(connector);
        let mut event = AuditRecord::new(at.now, "login.refused")
            .refused(refused.reason)
            .account(username)
            .connector(if known { connector } else { "unknown" })
            .from_request(at.origin);
        if let Some(client) = &login.request().client {
            event = event.client(client);
        }
        if let Some(detail) = &refused.detail {
            event = event.with("detail", detail.clone());
        }
        self.note(event).await?;
        Ok(())
    }

    fn is_known(&self, connector: &str) -> bool {
        connector == PASSKEY
            || self.connectors.choices().iter().any(|choice| choice.id == connector)
    }

    pub(super) fn observe(&self, connector: &str, result: &'static str, begun: Instant) {
        // What a stranger put into the path must not become a label.
        let connector =
            if self.is_known(connector) { connector.to_owned() } else { "unknown".to_owned() };
        let seconds: Duration = begun.elapsed();
        metrics::counter!("auth_logins_total", "connector" => connector.clone(), "result" => result)
            .increment(1);
        metrics::histogram!("auth_login_duration_seconds", "connector" => connector, "result" => result)
            .record(seconds.as_secs_f64());
    }
}

/// The event of a login that a connector cannot judge; the cause stands in the log alone.
pub(super) fn cannot_judge(
    connector: &str,
    reason: &str,
    message: &str,
    at: &At<'_>,
) -> AuditRecord {
    tracing::error!(connector, reason, cause = message, "connector cannot judge a login");
    AuditRecord::new(at.now, "login.failed")
        .failed(reason)
        .connector(connector)
        .from_request(at.origin)
}

enum Judged {
    Identity(Box<VerifiedIdentity>),
    Refused(Refused),
    Unavailable(&'static str),
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn store_unavailable(error: crate::store::StoreError) -> ConnectorError {
    ConnectorError::Unavailable { reason: "store_unavailable", message: error.to_string() }
}
