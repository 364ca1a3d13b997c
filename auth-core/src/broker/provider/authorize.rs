//! The authorization endpoint: a request is read, and answered with a code, a sign-in or an error.

use std::sync::Arc;

use super::{Provider, ProviderError, RecheckVerdict};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::acr::AuthenticationContext;
use crate::handoff::authorization::{
    AccountHint, AuthorizationDecision, AuthorizationErrorCode, AuthorizationRefusal,
    AuthorizationRequest, AuthorizationResponse, PageError, SignInDemand, decide, requested_client,
};
use crate::handoff::client::{Client, ClientKind};
use crate::handoff::gitlab;
use crate::handoff::issuer::Issuer;
use crate::handoff::parameters::Parameters;
use crate::handoff::{code, id_token};
use crate::secret::Token;
use crate::session::Session;
use crate::store::CodeRecord;

/// Why a request does not begin.
#[derive(Debug)]
pub enum AuthorizationFailure {
    /// Shown to the person: who asks, or where to answer, is not known for sure.
    Page(PageError),
    /// Carried to the client by the browser.
    Respond(AuthorizationResponse),
    /// Something broke.
    Provider(ProviderError),
}

impl From<ProviderError> for AuthorizationFailure {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

/// What becomes of a request now.
#[derive(Debug)]
pub enum AuthorizationOutcome {
    /// The person has to sign in; ask again with the session that this makes.
    SignIn(SignInDemand),
    /// Carried to the client by the browser.
    Respond(AuthorizationResponse),
    /// Shown to the person: the client changed while the person signed in, or the person's
    /// account lacks what the client needs.
    Page(PageError),
}

impl Provider {
    /// Reads an authorization request from the pairs of its query or form.
    ///
    /// # Errors
    /// Whom to tell, and what.
    pub async fn begin_authorization(
        &self,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<(AuthorizationRequest, Arc<Client>), AuthorizationFailure> {
        self.begin_authorization_of(ClientKind::Oidc, pairs, origin).await
    }

    /// The same at the endpoint of the clients of kind gitlab, or at that of all others; whoever
    /// belongs to the other endpoint is unknown here.
    ///
    /// # Errors
    /// Whom to tell, and what.
    pub async fn begin_authorization_of(
        &self,
        kind: ClientKind,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<(AuthorizationRequest, Arc<Client>), AuthorizationFailure> {
        let now = self.clock.now();
        let parameters = Parameters::new(pairs);
        let id = match requested_client(&parameters) {
            Ok(id) => id,
            Err(error) => return Err(self.refuse_on_page(error, None, origin, now).await),
        };
        let gitlab = kind == ClientKind::Gitlab;
        let client = self.find_client(id).await?;
        let client = client.filter(|client| (client.kind() == ClientKind::Gitlab) == gitlab);
        let Some(client) = client else {
            return Err(self.refuse_on_page(PageError::UnknownClient, None, origin, now).await);
        };
        let pushed = match self.pushed_parameters(&parameters, &client, now).await? {
            Ok(pushed) => pushed,
            Err(error) => {
                return Err(self.refuse_on_page(error, Some(&client), origin, now).await);
            }
        };
        // What stands beside the reference does not count (RFC 9126 section 4).
        let parameters = pushed.as_deref().map_or(parameters, Parameters::new);
        let request = match AuthorizationRequest::read(&parameters, &client, &self.issuer, now) {
            Ok(request) => request,
            Err(AuthorizationRefusal::Page(error)) => {
                return Err(self.refuse_on_page(error, Some(&client), origin, now).await);
            }
            Err(AuthorizationRefusal::Client { error, response }) => {
                let event = refused(now, error.code.as_str(), Some(&client), origin)
                    .with("description", error.description);
                self.note(event).await;
                return Err(AuthorizationFailure::Respond(response));
            }
        };
        let request = match parameters.get("id_token_hint") {
            None => request,
            Some(hint) => {
                let hint = self.account_hint(hint, &client, now).await?;
                request.with_account_hint(hint)
            }
        };
        Ok((request, client))
    }

    /// Answers a request for the browser's session. `policy_acr` is what the policy demands of
    /// this person for this client here and now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authorize(
        &self,
        request: &AuthorizationRequest,
        session: Option<&Session>,
        policy_acr: AuthenticationContext,
        origin: &Origin,
    ) -> Result<AuthorizationOutcome, ProviderError> {
        let now = self.clock.now();
        let Some(client) = self.find_client(request.client()).await? else {
            self.note(refused(now, PageError::UnknownClient.as_str(), None, origin)).await;
            return Ok(AuthorizationOutcome::Page(PageError::UnknownClient));
        };
        // The request may have waited for a login while an administrator changed the client.
        let still_good = client.allows_redirect_uri(request.redirect_uri())
            && (request.code_challenge().is_some() || !client.is_public());
        if !still_good {
            let error = PageError::WrongRedirectUri;
            self.note(refused(now, error.as_str(), Some(&client), origin)).await;
            return Ok(AuthorizationOutcome::Page(error));
        }
        let session = match session {
            Some(session) if !self.is_still_welcome(session).await? => None,
            other => other,
        };
        match (decide(request, &client, session, policy_acr, now), session) {
            (AuthorizationDecision::SignIn(demand), _) => Ok(AuthorizationOutcome::SignIn(demand)),
            (AuthorizationDecision::IssueCode, Some(session)) => {
                if client.kind() == ClientKind::Gitlab
                    && let Err(problem) = gitlab::Person::of(session.account())
                {
                    let event = refused(now, problem.as_str(), Some(&client), origin)
                        .account(&session.account().username)
                        .connector(&session.record().connector);
                    self.note(event).await;
                    return Ok(AuthorizationOutcome::Page(PageError::Email(problem)));
                }
                let code = self.make_code(request, &client, session, now).await?;
                let response = AuthorizationResponse::code(request, &code, self.told_to(&client));
                Ok(AuthorizationOutcome::Respond(response))
            }
            (AuthorizationDecision::IssueCode, None) => {
                Err(ProviderError::Task("a code was decided on without a session".to_owned()))
            }
            (AuthorizationDecision::Refuse(error), session) => {
                // A silent request that needs a login is everyday life, not an event.
                if error.code != AuthorizationErrorCode::LoginRequired {
                    let mut event = refused(now, error.code.as_str(), Some(&client), origin);
                    if let Some(session) = session {
                        event = event
                            .account(&session.account().username)
                            .connector(&session.record().connector);
                    }
                    self.note(event).await;
                }
                let response = AuthorizationResponse::error(request, error, self.told_to(&client));
                Ok(AuthorizationOutcome::Respond(response))
            }
        }
    }

    /// The issuer, where the client's protocol has a place for it.
    fn told_to(&self, client: &Client) -> Option<&Issuer> {
        (client.kind() == ClientKind::Oidc).then_some(&self.issuer)
    }

    /// Asks the session's connector again where its last answer is too old: somebody who was
    /// disabled in the directory gets no code from an old session.
    async fn is_still_welcome(&self, session: &Session) -> Result<bool, ProviderError> {
        let Some(recheck) = &self.recheck else { return Ok(true) };
        match recheck.recheck(session.account(), &session.record().connector).await {
            RecheckVerdict::Unchanged | RecheckVerdict::Updated(_) => Ok(true),
            RecheckVerdict::Refused { .. } => Ok(false),
            RecheckVerdict::Unavailable => Err(ProviderError::ConnectorUnavailable),
        }
    }

    async fn make_code(
        &self,
        request: &AuthorizationRequest,
        client: &Client,
        session: &Session,
        now: Timestamp,
    ) -> Result<Token, ProviderError> {
        let code = Token::generate(self.random.as_ref());
        self.store
            .add_code(CodeRecord {
                hash: code.hash(),
                client: client.id().to_owned(),
                account: session.account().id,
                session: session.id(),
                redirect_uri: request.redirect_uri().to_owned(),
                code_challenge: request.code_challenge().map(str::to_owned),
                nonce: request.nonce().map(str::to_owned),
                scope: client.narrow_scope(request.scope()).to_string(),
                created_at: now,
                expires_at: now + code::LIFETIME,
                redeemed_for: None,
            })
            .await?;
        Ok(code)
    }

    async fn account_hint(
        &self,
        hint: &str,
        client: &Client,
        now: Timestamp,
    ) -> Result<AccountHint, ProviderError> {
        let keys = self.signing_keys(now).await?;
        let read = id_token::read_hint(hint, &keys, &self.issuer)
            .filter(|read| read.audience.iter().any(|one| one == client.id()));
        let account = match read {
            Some(read) => self.account_of_hint(&read, client).await?,
            None => None,
        };
        Ok(account.map_or(AccountHint::Unreadable, AccountHint::Account))
    }

    /// Of a request without a known client, which anybody can send in any number, only the log
    /// hears.
    async fn refuse_on_page(
        &self,
        error: PageError,
        client: Option<&Client>,
        origin: &Origin,
        now: Timestamp,
    ) -> AuthorizationFailure {
        let event = refused(now, error.as_str(), client, origin);
        match client {
            Some(_) => self.note(event).await,
            None => event.log(),
        }
        AuthorizationFailure::Page(error)
    }
}

fn refused(now: Timestamp, reason: &str, client: Option<&Client>, origin: &Origin) -> AuditRecord {
    let event = AuditRecord::new(now, "authorization.refused").refused(reason).from_request(origin);
    match client {
        Some(client) => event.client(client.id()),
        None => event,
    }
}
