//! Signing in: `begin`, then `submit` until `Completed`. There is no HTTP in here; a web server
//! turns each [`Step`] into a page or a redirect.

use tokio::time::Instant;

use super::dialogue::{Completed, CredentialsPrompt, Event, Notice, Step};
use super::{Broker, BrokerError, Device};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::login::step::{self, StepName};
use crate::login::{CompletedLogin, LoginRequest, PendingLogin, PendingLoginError, Stage};
use crate::secret::{Secret, Token};
use crate::session::Session;
use crate::store::{FactorRecord, LoginCompletion, RecoveryCodeRecord, SessionId, SessionRecord};

impl Broker {
    /// Begins a login for the browser that holds the secret `browser`. Returns the login's
    /// handle, which belongs into URLs, and the first step.
    ///
    /// # Errors
    /// When this source begins too many at once, or the store fails.
    pub async fn begin(
        &self,
        request: LoginRequest,
        browser: &Token,
        origin: &Origin,
    ) -> Result<(Token, Step), BrokerError> {
        // Each begun login is a row in the store, and anybody may begin one.
        self.sources.begin(origin.ip).map_err(BrokerError::TooMany)?;
        let now = self.now();
        let handle = Token::generate(self.random.as_ref());
        let expires_at = now + self.settings.login_lifetime;
        let mut login = PendingLogin::begin(&handle, browser, request.clone(), now, expires_at);
        self.prepare_ceremony(&mut login, &Stage::Credentials).await?;
        let passkey = self.passkey_options(&login)?;
        let record = login.record(Stage::Credentials)?;
        let version = record.version;
        self.store.add_login(record).await?;
        let mut prompt = self.prompt(&request, &handle, browser, version, None, None, None);
        prompt.passkey = passkey;
        Ok((handle, Step::AskCredentials(prompt)))
    }

    /// Where a login stands, for showing its page again or going on after its end.
    ///
    /// # Errors
    /// When there is no such login for this browser, or the store fails.
    pub async fn resume(&self, handle: &Token, browser: &Token) -> Result<Step, BrokerError> {
        let login = self.load(handle, browser, self.now()).await?;
        let token = step::form_token(handle, browser, login.step(), login.version());
        Ok(match login.stage() {
            Stage::Credentials | Stage::Away { .. } | Stage::Returned { .. } => {
                let version = login.version();
                let mut prompt =
                    self.prompt(login.request(), handle, browser, version, None, None, None);
                prompt.passkey = self.passkey_options(&login)?;
                Step::AskCredentials(prompt)
            }
            Stage::Factor(first) => Step::AskFactor {
                form_token: token,
                methods: self.factor_methods(&login, first).await?,
                notice: None,
                request: Box::new(login.request().clone()),
            },
            Stage::Enrolment { first, sealed_seed } => {
                let seed = self.open_seed(&login, first, sealed_seed).await?;
                let request = Box::new(login.request().clone());
                Step::AskEnrolment { form_token: token, seed, notice: None, request }
            }
            Stage::Offered { connector, name, .. } => {
                let label = self.redirect_connector(connector).map(|it| it.label().to_owned());
                Step::AskContinue {
                    form_token: token,
                    name: name.clone(),
                    connector_label: label.unwrap_or_else(|| connector.clone()),
                    request: Box::new(login.request().clone()),
                }
            }
            Stage::Completed(session) => Step::AlreadyCompleted {
                session: *session,
                request: Box::new(login.request().clone()),
            },
            Stage::Unsolicited { .. } | Stage::SigningOut { .. } => {
                return Err(PendingLoginError::Unknown.into());
            }
        })
    }

    /// Takes an answer. `form_token` is the form's hidden field and names the login.
    /// `replaces` is the session that this browser has now, if any; completing ends it.
    ///
    /// # Errors
    /// When the form's token does not fit, there is no such login for this browser, or the store
    /// fails. A refused answer is no error but a step with a notice.
    pub async fn submit(
        &self,
        form_token: &str,
        browser: &Token,
        event: Event,
        replaces: Option<SessionId>,
        origin: &Origin,
    ) -> Result<Step, BrokerError> {
        self.submit_on(form_token, browser, event, replaces, Device::default(), origin).await
    }

    /// As [`Self::submit`], for a browser that says which device it is.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn submit_on(
        &self,
        form_token: &str,
        browser: &Token,
        event: Event,
        replaces: Option<SessionId>,
        device: Device<'_>,
        origin: &Origin,
    ) -> Result<Step, BrokerError> {
        let now = self.now();
        let handle = step::handle_of(form_token).ok_or(BrokerError::FormToken)?;
        let login = self.load(&handle, browser, now).await?;
        let begun = Instant::now();
        let at = At { handle: &handle, browser, replaces, device, origin, now, begun };
        if let Stage::Completed(session) = login.stage() {
            // The answer of a double click, or of a second tab, whose twin came first.
            return Ok(Step::AlreadyCompleted {
                session: *session,
                request: Box::new(login.request().clone()),
            });
        }
        if !step::verify(form_token, browser, login.step(), login.version()) {
            tracing::warn!(ip = ?origin.ip, "a login form's token does not fit its step");
            return Err(BrokerError::FormToken);
        }
        match (login.step(), event) {
            (StepName::Credentials, Event::Credentials { connector, username, password }) => {
                self.first_factor(login, &connector, &username, password, &at).await
            }
            (StepName::Factor | StepName::Enrolment, Event::Code(code)) => {
                self.second_factor(login, code, &at).await
            }
            (StepName::Credentials, Event::Passkey { answer, .. }) => {
                self.passwordless(login, &answer, &at).await
            }
            (StepName::Factor, Event::Passkey { answer, .. }) => {
                self.factor_by_passkey(login, &answer, &at).await
            }
            (StepName::Enrolment, Event::Passkey { answer, name }) => {
                self.enrol_passkey(login, &answer, name.as_deref(), &at).await
            }
            #[cfg(feature = "saml")]
            (StepName::Offer, Event::Continue) => self.accept_offer(login, &at).await,
            (StepName::Enrolment, Event::PostponeEnrolment) => self.postpone(login, &at).await,
            _ => Err(BrokerError::FormToken),
        }
    }

    pub(super) async fn load(
        &self,
        handle: &Token,
        browser: &Token,
        now: Timestamp,
    ) -> Result<PendingLogin, BrokerError> {
        let record = self.store.login(handle.hash()).await?;
        Ok(PendingLogin::resume(record, browser, now)?)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one prompt")]
    pub(super) fn prompt(
        &self,
        request: &LoginRequest,
        handle: &Token,
        browser: &Token,
        version: i64,
        selected: Option<&str>,
        username: Option<&str>,
        notice: Option<Notice>,
    ) -> CredentialsPrompt {
        let allowed = |id: &str| {
            request.connectors.as_ref().is_none_or(|list| list.iter().any(|known| known == id))
        };
        CredentialsPrompt {
            form_token: step::form_token(handle, browser, StepName::Credentials, version),
            connectors: self
                .connectors
                .choices()
                .into_iter()
                .filter(|choice| allowed(&choice.id))
                .collect(),
            selected: selected.map(str::to_owned),
            username: username.map(str::to_owned).or_else(|| request.login_hint.clone()),
            passkey: None,
            notice,
            request: Box::new(request.clone()),
        }
    }

    /// Ends the login and makes its session, in one transaction. A lost race with another writer
    /// of the account is tried again: the factors are proved already, and a code once consumed
    /// must not be lost.
    pub(super) async fn complete(
        &self,
        login: PendingLogin,
        completed: CompletedLogin,
        confirmed: Option<Confirmed>,
        clear_throttle: Vec<String>,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let id = SessionId(self.new_id(at.now));
        self.complete_as(id, login, completed, confirmed, vec![], clear_throttle, at).await
    }

    /// As [`Self::complete`], for a session whose id is known already, with further events.
    #[expect(clippy::too_many_arguments, reason = "the parts of one completion")]
    pub(super) async fn complete_as(
        &self,
        id: SessionId,
        login: PendingLogin,
        mut completed: CompletedLogin,
        confirmed: Option<Confirmed>,
        mut audit: Vec<AuditRecord>,
        clear_throttle: Vec<String>,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let request = login.request().clone();
        let record = Session::issue(&completed, id.0, self.settings.session, at.origin, at.now);
        if record.expires_at <= at.now {
            // The identity provider's session ended while another factor was asked for.
            return Err(PendingLoginError::Expired.into());
        }
        let final_state = login.record(Stage::Completed(record.id))?;
        self.note_upstream(&completed, &record).await?;
        let added = confirmed.as_ref().map(|confirmed| confirmed.event.clone());
        audit.extend(added.clone());
        let (factor, recovery_codes) = match confirmed {
            Some(confirmed) => (Some(confirmed.factor), confirmed.shown),
            None => (None, Vec::new()),
        };
        audit.extend(self.replaced_event(at).await?);
        audit.extend(accepted_events(&completed, &record, &request, at));
        for _ in 0..ATTEMPTS {
            let mut account = completed.account().clone();
            account.last_login_at = Some(at.now);
            account.updated_at = at.now;
            let completion = LoginCompletion {
                login: final_state.clone(),
                account: Some(account.clone()),
                session: record.clone(),
                replaces: at.replaces,
                factor: factor.clone(),
                clear_throttle: clear_throttle.clone(),
                audit: audit.clone(),
            };
            if self.store.complete_login(completion).await? {
                audit.iter().for_each(AuditRecord::log);
                self.observe(completed.connector(), "accepted", at.begun);
                if let (Some(notice), Some(event)) = (&self.notice, &added) {
                    notice.security_changed(&account, event).await;
                }
                let device = self.remember_device(&completed, at).await;
                let known_browser = self.remember_browser(&completed, at).await;
                account.version += 1;
                if !self.is_upstream_live(&completed, &record, at).await? {
                    return self.resume(at.handle, at.browser).await;
                }
                let session = Session::resume(record, account, at.now)
                    .ok_or_else(|| BrokerError::Internal("a new session is not live".to_owned()))?;
                return Ok(Step::Completed(Box::new(Completed {
                    session,
                    request,
                    recovery_codes,
                    device,
                    known_browser,
                })));
            }
            let fresh = self.store.account(completed.account().id).await?;
            match fresh.and_then(|fresh| completed.with_account(fresh)) {
                Some(again) => completed = again,
                None => break,
            }
        }
        // Another answer of the same login came first, or the account was closed under it.
        self.resume(at.handle, at.browser).await
    }

    async fn replaced_event(&self, at: &At<'_>) -> Result<Option<AuditRecord>, BrokerError> {
        let Some(id) = at.replaces else { return Ok(None) };
        let Some(session) = self.store.session(id).await? else { return Ok(None) };
        let mut event = AuditRecord::new(at.now, "session.revoked")
            .connector(&session.connector)
            .from_request(at.origin)
            .with("session", id.to_string())
            .with("reason", "replaced");
        if let Some(account) = self.store.account(session.account).await? {
            event = event.account(&account.username);
        }
        Ok(Some(event))
    }

    /// Removes what has expired; to be called every few minutes by one job of each node.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn purge(&self) -> Result<u64, BrokerError> {
        self.sources.sweep();
        Ok(self.store.purge(self.now()).await?)
    }
}

/// How often a completion is tried again when the account changes under it.
const ATTEMPTS: usize = 4;

/// A second factor that this login confirmed.
pub(super) struct Confirmed {
    pub(super) factor: (FactorRecord, Vec<RecoveryCodeRecord>),
    pub(super) shown: Vec<Secret>,
    pub(super) event: AuditRecord,
}

fn accepted_events(
    completed: &CompletedLogin,
    session: &SessionRecord,
    request: &LoginRequest,
    at: &At<'_>,
) -> [AuditRecord; 2] {
    ["login.accepted", "session.issued"].map(|name| {
        let event = AuditRecord::new(at.now, name)
            .account(&completed.account().username)
            .connector(completed.connector())
            .from_request(at.origin)
            .with("session", session.id.to_string())
            .with("acr", completed.acr());
        match &request.client {
            Some(client) => event.client(client),
            None => event,
        }
    })
}

/// One answer's circumstances.
pub(super) struct At<'a> {
    pub(super) handle: &'a Token,
    pub(super) browser: &'a Token,
    pub(super) replaces: Option<SessionId>,
    pub(super) device: Device<'a>,
    pub(super) origin: &'a Origin,
    pub(super) now: Timestamp,
    pub(super) begun: Instant,
}

impl From<serde_json::Error> for BrokerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("a stored value cannot be read: {error}"))
    }
}
