//! Single logout with SAML identity providers, both directions, through the browser.
//!
//! A LogoutRequest ends the sessions of its connection that it names, and with them the chat
//! servers' sessions that came from them. It comes without the browser's cookie, and needs none:
//! the signature says whose sessions are over.

use std::sync::Arc;

use super::saml::off_the_async_threads;
use super::{Broker, BrokerError};
use crate::audit::{AuditRecord, Origin};
use crate::connector::redirect::Destination;
use crate::connector::saml::posted::Posted;
use crate::connector::saml::{
    LogoutRequest, LogoutResult, Received, SamlCode, SamlConnection, SamlRefusal, SamlSession,
};
use crate::login::{LoginRequest, PendingLogin, Stage};
use crate::secret::{Secret, Token, TokenHash};

/// Scope of the marks of used LogoutRequests.
const LOGOUT_REQUESTS: &str = "saml-logout";

/// How long a LogoutRequest is remembered: longer than one can count.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// A logout message as the browser brought it.
#[derive(Debug)]
pub enum LogoutMessage {
    /// The body of a form.
    Form(Vec<u8>),
    /// The raw query of a redirect, octet for octet: the signature is over them.
    Query(String),
}

/// What became of a logout message.
#[derive(Debug)]
pub enum SamlLogout {
    /// The identity provider asked, and it was done. The browser takes this answer back, where
    /// there is an address for it.
    Done(Option<Destination>),
    /// The identity provider answered our request.
    Answered {
        /// Whether every session there ended too.
        complete: bool,
    },
    /// It was refused; the event says why.
    Refused(SamlCode),
}

impl Broker {
    /// Takes a logout message to the single logout service of `connector` (SAML core section 3.7).
    ///
    /// # Errors
    /// When there is no such connection, or the store fails.
    pub async fn saml_logout(
        &self,
        connector: &str,
        message: LogoutMessage,
        origin: &Origin,
    ) -> Result<SamlLogout, BrokerError> {
        let Some(connection) = self.saml_connection(connector) else {
            return Err(super::accounts::invalid("connection", "there is none with this id"));
        };
        let outcome = if message.is_request() {
            self.logout_asked(connection, message, origin).await?
        } else {
            self.logout_answered(connection, message, origin).await?
        };
        let result = if outcome.is_ok() { "accepted" } else { "refused" };
        metrics::counter!("auth_upstream_logouts_total", "connector" => connector.to_owned(), "result" => result)
            .increment(1);
        match outcome {
            Ok(done) => Ok(done),
            Err(refusal) => {
                let code = refusal.code;
                self.note_refused_logout(connector, refusal, origin).await?;
                Ok(SamlLogout::Refused(code))
            }
        }
    }

    async fn note_refused_logout(
        &self,
        connector: &str,
        refusal: SamlRefusal,
        origin: &Origin,
    ) -> Result<(), BrokerError> {
        let event = AuditRecord::new(self.now(), "upstream_logout.refused")
            .refused(refusal.code.as_str())
            .connector(connector)
            .from_request(origin)
            .with("detail", refusal.detail);
        Ok(self.note(event).await?)
    }

    async fn logout_asked(
        &self,
        connection: Arc<SamlConnection>,
        message: LogoutMessage,
        origin: &Origin,
    ) -> Result<Result<SamlLogout, SamlRefusal>, BrokerError> {
        let now = self.now();
        let judge = Arc::clone(&connection);
        let verified = off_the_async_threads(move || {
            message.judged("SAMLRequest", |received| judge.verify_logout_request(received, now))
        });
        let request = match verified.await? {
            Ok(request) => request,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.note_legacy(connection.id(), request.legacy()).await?;
        let key = TokenHash::of(format!("{}|{}", connection.id(), request.id()).as_bytes());
        if !self.store.first_seen(LOGOUT_REQUESTS, key, now + REMEMBERED).await? {
            return Ok(Err(SamlCode::Replayed.because("this logout request was used before")));
        }
        if self.end_named(&connection, &request, origin).await? == 0 {
            // The answer is the same: nobody by this name is signed in here, which is what the
            // identity provider wants.
            let nobody = LogoutRequest::names_nobody();
            self.note_refused_logout(connection.id(), nobody, origin).await?;
        }
        let random = Arc::clone(&self.random);
        let answer = off_the_async_threads(move || {
            connection.logout_response(&request, LogoutResult::Success, random.as_ref(), now)
        });
        Ok(answer.await?.map(|answer| SamlLogout::Done(answer.map(|it| it.delivery.into()))))
    }

    async fn end_named(
        &self,
        connection: &SamlConnection,
        request: &LogoutRequest,
        origin: &Origin,
    ) -> Result<usize, BrokerError> {
        let name = request.name_id().subject();
        let indexes: Vec<Option<&str>> = match request.session_indexes() {
            [] => vec![None],
            some => some.iter().map(|index| Some(index.as_str())).collect(),
        };
        let mut ended = 0;
        for index in indexes {
            let store = &self.store;
            let over = store.take_upstream_sessions(connection.id(), Some(&name), index).await?;
            for record in over {
                ended += self.end_for_upstream(&record, origin).await?;
            }
        }
        Ok(ended)
    }

    async fn logout_answered(
        &self,
        connection: Arc<SamlConnection>,
        message: LogoutMessage,
        origin: &Origin,
    ) -> Result<Result<SamlLogout, SamlRefusal>, BrokerError> {
        let now = self.now();
        let pending = self.take_logout(connection.id(), &message).await?;
        let id = connection.id().to_owned();
        let verified = off_the_async_threads(move || {
            message.judged("SAMLResponse", |received| {
                connection.verify_logout_response(received, pending.as_deref(), now)
            })
        });
        let answer = match verified.await? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.note_legacy(&id, &answer.legacy).await?;
        let event = AuditRecord::new(now, "upstream_logout.answered")
            .connector(&id)
            .from_request(origin)
            .with("complete", answer.complete);
        self.note(event).await?;
        Ok(Ok(SamlLogout::Answered { complete: answer.complete }))
    }

    /// The ID of our pending request that `message` names by its RelayState, used up.
    async fn take_logout(
        &self,
        connector: &str,
        message: &LogoutMessage,
    ) -> Result<Option<String>, BrokerError> {
        let Some(handle) = message.relay_state().as_deref().and_then(Token::parse) else {
            return Ok(None);
        };
        let record = self.store.login(handle.hash()).await?;
        let Ok(mut login) = PendingLogin::without_browser(record, self.now()) else {
            return Ok(None);
        };
        let Stage::SigningOut { connector: asked, message_id } = login.take_stage() else {
            return Ok(None);
        };
        let taken = asked == connector
            && self.store.advance_login(login.record(Stage::Credentials)?, Vec::new()).await?;
        Ok(taken.then_some(message_id))
    }

    /// The way to the identity provider's sign-out, for the session there that `hint` holds.
    pub(super) async fn saml_sign_out(
        &self,
        connection: &Arc<SamlConnection>,
        hint: Option<&Secret>,
    ) -> Result<Option<Destination>, BrokerError> {
        if !connection.settings().sign_out_upstream {
            return Ok(None);
        }
        let Some(session) =
            hint.and_then(|hint| serde_json::from_str::<SamlSession>(hint.expose()).ok())
        else {
            return Ok(None);
        };
        let now = self.now();
        let handle = Token::generate(self.random.as_ref());
        let (sender, random) = (Arc::clone(connection), Arc::clone(&self.random));
        let relay_state = handle.expose().to_owned();
        let made = off_the_async_threads(move || {
            sender.logout_request(&session, Some(&relay_state), random.as_ref(), now)
        });
        let outgoing = match made.await? {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) => return Ok(None),
            Err(refusal) => {
                // The person is signed out here in any case.
                let connector = connection.id();
                tracing::error!(connector, error = %refusal, "a logout request cannot be made");
                return Ok(None);
            }
        };
        // Held by no browser: the answer may be posted from there, without a cookie.
        let holder = Token::generate(self.random.as_ref());
        let expires_at = now + self.settings.login_lifetime;
        let login = PendingLogin::begin(&handle, &holder, LoginRequest::default(), now, expires_at);
        let connector = connection.id().to_owned();
        let stage = Stage::SigningOut { connector, message_id: outgoing.id.clone() };
        self.store.add_login(login.record(stage)?).await?;
        Ok(Some(outgoing.delivery.into()))
    }
}

impl LogoutMessage {
    fn parameters(&self) -> url::form_urlencoded::Parse<'_> {
        url::form_urlencoded::parse(match self {
            Self::Form(body) => body,
            Self::Query(query) => query.as_bytes(),
        })
    }

    fn is_request(&self) -> bool {
        self.parameters().any(|(name, _)| name == "SAMLRequest")
    }

    fn relay_state(&self) -> Option<String> {
        let found = self.parameters().find(|(name, _)| name == "RelayState");
        found.map(|(_, value)| value.into_owned())
    }

    fn judged<T>(
        &self,
        parameter: &str,
        judge: impl FnOnce(Received<'_>) -> Result<T, SamlRefusal>,
    ) -> Result<T, SamlRefusal> {
        match self {
            Self::Form(body) => {
                let Posted { document, relay_state } = Posted::from_form(body, parameter)?;
                judge(Received::Post { document: &document, relay_state: relay_state.as_deref() })
            }
            Self::Query(query) => judge(Received::Redirect { query }),
        }
    }
}
