//! Reading an authorization request, in the order in which its errors may be told: first who asks
//! and where the answer goes (errors of that are shown to the person), then the rest.

use super::response::{AuthorizationError, AuthorizationErrorCode as Code, PageError};
use super::{AuthorizationRequest, AuthorizationResponse, Prompt, ResponseMode};
use crate::clock::Timestamp;
use crate::handoff::acr::AuthenticationContext;
use crate::handoff::client::{Client, ClientKind};
use crate::handoff::issuer::Issuer;
use crate::handoff::parameters::Parameters;
use crate::handoff::pkce;
use crate::handoff::scope::{self, READ_USER, Scope};

const LONGEST_STATE: usize = 4096;
const LONGEST_NONCE: usize = 1024;
const LONGEST_LOGIN_HINT: usize = 256;
const MOST_UI_LOCALES: usize = 10;

/// Why a request was refused, and whom the answer goes to.
#[derive(Debug)]
pub enum AuthorizationRefusal {
    /// To the person in front of the browser.
    Page(PageError),
    /// To the client, through the browser.
    Client {
        /// What is wrong.
        error: AuthorizationError,
        /// The answer that says so.
        response: AuthorizationResponse,
    },
}

/// The id of the client that asks.
///
/// # Errors
/// When it is missing or repeated.
pub fn requested_client<'a>(parameters: &Parameters<'a>) -> Result<&'a str, PageError> {
    parameters.get("client_id").ok_or(PageError::NoClient)
}

impl AuthorizationRequest {
    /// Reads and checks a request of `client` that arrived at `now`.
    ///
    /// # Errors
    /// Whom to tell, and what.
    pub fn read(
        parameters: &Parameters<'_>,
        client: &Client,
        issuer: &Issuer,
        now: Timestamp,
    ) -> Result<Self, AuthorizationRefusal> {
        let page = AuthorizationRefusal::Page;
        let redirect_uri = parameters.get("redirect_uri").ok_or(page(PageError::NoRedirectUri))?;
        if !client.allows_redirect_uri(redirect_uri) {
            return Err(page(PageError::WrongRedirectUri));
        }
        let state = parameters.get("state");
        if parameters.is_repeated("state") || state.is_some_and(cannot_be_returned) {
            return Err(page(PageError::BadState));
        }
        let issuer = (client.kind() == ClientKind::Oidc).then_some(issuer);
        let refuse = |response_mode, error| AuthorizationRefusal::Client {
            error,
            response: AuthorizationResponse::early_error(
                redirect_uri,
                response_mode,
                state,
                error,
                issuer,
            ),
        };
        let response_mode =
            response_mode(parameters).map_err(|error| refuse(ResponseMode::Query, error))?;
        let mut request = Self {
            client: client.id().to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            response_mode,
            scope: Scope::default(),
            state: state.map(str::to_owned),
            nonce: None,
            code_challenge: None,
            prompt: Vec::new(),
            max_age: None,
            minimum_acr: None,
            login_hint: None,
            ui_locales: Vec::new(),
            account_hint: None,
            started_at: now,
        };
        match request.read_details(parameters, client) {
            Ok(()) => Ok(request),
            Err(error) => Err(refuse(response_mode, error)),
        }
    }

    fn read_details(
        &mut self,
        parameters: &Parameters<'_>,
        client: &Client,
    ) -> Result<(), AuthorizationError> {
        if parameters.any_repeated().is_some() {
            return Err(invalid("a parameter is repeated"));
        }
        refuse_unsupported(parameters)?;
        self.scope = scope(parameters, client)?;
        self.code_challenge = code_challenge(parameters, client)?;
        self.prompt = prompt(parameters)?;
        self.max_age = max_age(parameters)?;
        self.nonce = match parameters.get("nonce") {
            Some(nonce) if nonce.len() > LONGEST_NONCE => {
                return Err(invalid("nonce is longer than 1024 bytes"));
            }
            nonce => nonce.map(str::to_owned),
        };
        self.minimum_acr =
            parameters.get("acr_values").and_then(AuthenticationContext::demanded_by);
        self.login_hint = parameters
            .get("login_hint")
            .filter(|hint| hint.len() <= LONGEST_LOGIN_HINT && !hint.chars().any(char::is_control))
            .map(str::to_owned);
        self.ui_locales = parameters
            .get("ui_locales")
            .into_iter()
            .flat_map(|list| list.split(' '))
            .filter(|tag| is_language_tag(tag))
            .take(MOST_UI_LOCALES)
            .map(str::to_owned)
            .collect();
        Ok(())
    }
}

/// A state that is too long, or was no UTF-8 (what stands in its place would not be what came).
fn cannot_be_returned(state: &str) -> bool {
    state.len() > LONGEST_STATE || state.contains('\u{fffd}')
}

const fn invalid(description: &'static str) -> AuthorizationError {
    AuthorizationError::new(Code::InvalidRequest, description)
}

fn response_mode(parameters: &Parameters<'_>) -> Result<ResponseMode, AuthorizationError> {
    if parameters.is_repeated("response_mode") {
        return Err(invalid("response_mode is repeated"));
    }
    match parameters.get("response_mode") {
        None | Some("query") => Ok(ResponseMode::Query),
        Some("form_post") => Ok(ResponseMode::FormPost),
        Some(_) => Err(invalid("response_mode must be query or form_post")),
    }
}

fn refuse_unsupported(parameters: &Parameters<'_>) -> Result<(), AuthorizationError> {
    for (name, code, description) in [
        ("request", Code::RequestNotSupported, "request objects are not supported"),
        ("request_uri", Code::RequestUriNotSupported, "request_uri is not supported"),
        ("registration", Code::RegistrationNotSupported, "registration is not supported"),
    ] {
        if parameters.get(name).is_some() {
            return Err(AuthorizationError::new(code, description));
        }
    }
    match parameters.get("response_type") {
        Some("code") => Ok(()),
        Some(_) => Err(AuthorizationError::new(
            Code::UnsupportedResponseType,
            "response_type must be code",
        )),
        None => Err(invalid("response_type is missing")),
    }
}

fn scope(parameters: &Parameters<'_>, client: &Client) -> Result<Scope, AuthorizationError> {
    if client.kind() == ClientKind::Gitlab {
        // One scope, whatever is asked for and also when nothing is (RFC 6749 section 3.3 lets a
        // server ignore the request's; the token's answer says what was granted).
        return Ok(Scope::of_value(READ_USER));
    }
    let error = |description| AuthorizationError::new(Code::InvalidScope, description);
    let default = match client.kind() {
        // Its protocol knows no scope: what it is told is settled by the administrator.
        ClientKind::SessionApi => scope::SUPPORTED.join(" "),
        _ => String::new(),
    };
    let asked = Scope::parse(parameters.get("scope").unwrap_or(&default))
        .ok_or(error("scope holds a character that is not allowed"))?;
    // Values that are not understood are left out (OpenID Connect Core 1.0 section 3.1.2.1).
    let granted = client.narrow_scope(&asked);
    if granted.is_empty() {
        return Err(error("scope holds nothing that this client may have"));
    }
    Ok(granted)
}

fn code_challenge(
    parameters: &Parameters<'_>,
    client: &Client,
) -> Result<Option<String>, AuthorizationError> {
    let method = parameters.get("code_challenge_method");
    match parameters.get("code_challenge") {
        None if client.is_public() => Err(invalid("code_challenge is required of this client")),
        None if method.is_some() => Err(invalid("code_challenge is missing")),
        None => Ok(None),
        // RFC 7636 section 4.3: left out means `plain`, which is not accepted.
        Some(_) if method != Some("S256") => Err(invalid("code_challenge_method must be S256")),
        Some(challenge) if pkce::is_challenge(challenge) => Ok(Some(challenge.to_owned())),
        Some(_) => Err(invalid("code_challenge is malformed")),
    }
}

fn prompt(parameters: &Parameters<'_>) -> Result<Vec<Prompt>, AuthorizationError> {
    let values = parameters.get("prompt").unwrap_or_default();
    let prompts = values
        .split(' ')
        .filter(|value| !value.is_empty())
        .map(|value| match value {
            "none" => Ok(Prompt::None),
            "login" => Ok(Prompt::Login),
            "consent" => Ok(Prompt::Consent),
            "select_account" => Ok(Prompt::SelectAccount),
            _ => Err(invalid("prompt holds a value that is not supported")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if prompts.contains(&Prompt::None) && prompts.len() > 1 {
        return Err(invalid("prompt=none stands with another value"));
    }
    Ok(prompts)
}

fn max_age(parameters: &Parameters<'_>) -> Result<Option<u32>, AuthorizationError> {
    match parameters.get("max_age") {
        None => Ok(None),
        // A number too large to count is longer than any session.
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Some(text.parse().unwrap_or(u32::MAX)))
        }
        Some(_) => Err(invalid("max_age must be a number of seconds")),
    }
}

fn is_language_tag(tag: &str) -> bool {
    (1..=35).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
