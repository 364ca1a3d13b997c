//! What the outside is told when a request fails: a closed list of codes with a request id.
//!
//! Handlers answer with a [`PublicError`]; the one place that renders it, [`with_body`], knows whether
//! a person (page) or a program (RFC 9457 problem document) asked. The cause chain goes to the
//! log once, in the `From` impls below, and never to the outside. OAuth endpoints have their own
//! form (RFC 6749 section 5.2).

use std::time::Duration;

use auth_core::broker::BrokerError;
use auth_core::broker::provider::ProviderError;
use auth_core::store::StoreError;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::pages;

/// Everything that the outside may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum PublicError {
    /// The request cannot be understood.
    BadRequest,
    /// A client did not prove who it is.
    ClientRefused,
    /// A chat server's code is not good, or not any more.
    InvalidCode,
    /// A chat server's session is over, or was never one of its own.
    SessionOver,
    /// The form is of a step that is over, or was sent from another place.
    FormExpired,
    /// The login took too long, or was begun in another browser.
    LoginExpired,
    /// An identity provider's answer was refused, or whom it named may not sign in.
    SignInRefused,
    /// There is nothing here.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// The body is larger than anything we read.
    PayloadTooLarge,
    /// The body is of another type than the form asks for.
    UnsupportedMediaType,
    /// It took too long.
    Timeout,
    /// Too many attempts from this source.
    TooManyRequests(Duration),
    /// Something that we need is down or busy.
    Unavailable(Duration),
    /// A fault of ours.
    Internal,
}

impl PublicError {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::LoginExpired | Self::InvalidCode => StatusCode::BAD_REQUEST,
            Self::ClientRefused => StatusCode::UNAUTHORIZED,
            Self::FormExpired | Self::SignInRefused => StatusCode::FORBIDDEN,
            Self::NotFound | Self::SessionOver => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code in problem documents and on pages.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::ClientRefused => "client_refused",
            Self::InvalidCode => "invalid_code",
            Self::SessionOver => "session_over",
            Self::FormExpired => "form_expired",
            Self::LoginExpired => "login_expired",
            Self::SignInRefused => "sign_in_refused",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Timeout => "timeout",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::Unavailable(_) => "unavailable",
            Self::Internal => "internal_error",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadRequest | Self::UnsupportedMediaType | Self::PayloadTooLarge => {
                "This request cannot be read"
            }
            Self::ClientRefused => "Client authentication failed",
            Self::InvalidCode => "The code is not valid",
            Self::SessionOver => "The session is over",
            Self::FormExpired => "This form is no longer valid",
            Self::LoginExpired => "This sign-in is over",
            Self::SignInRefused => "You could not be signed in",
            Self::NotFound => "Nothing here",
            Self::MethodNotAllowed => "Not possible this way",
            Self::Timeout => "This took too long",
            Self::TooManyRequests(_) => "Too many attempts",
            Self::Unavailable(_) => "Not possible right now",
            Self::Internal => "Something went wrong",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "Please go back and try again.",
            Self::ClientRefused => "Send the client's id and secret by HTTP Basic.",
            Self::InvalidCode => {
                "It was used before, has expired, or was made for another client or redirect URI."
            }
            Self::SessionOver => "It ended or expired, or is not one of this client.",
            Self::FormExpired => {
                "It was used already, or was opened in another browser or tab. Please begin anew."
            }
            Self::LoginExpired => {
                "It took too long, or was begun in another browser. Please begin anew at the \
                 application that you want to open. Cookies have to be allowed for this site."
            }
            Self::SignInRefused => {
                "Please begin anew at the application that you want to open. If it happens again, give \
                 the reference below to your administrator."
            }
            Self::NotFound => "There is no page at this address.",
            Self::MethodNotAllowed => "This address does not take this kind of request.",
            Self::PayloadTooLarge => "It is larger than anything this address takes.",
            Self::UnsupportedMediaType => "It is not of the type that this address takes.",
            Self::Timeout => "Please try again.",
            Self::TooManyRequests(_) => "Please wait a while before you try again.",
            Self::Unavailable(_) => {
                "Signing in is not possible right now. Please try again in a few minutes."
            }
            Self::Internal => "It is our fault. Please try again; if it stays, ask for help.",
        }
    }

    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TooManyRequests(wait) | Self::Unavailable(wait) => Some(wait),
            _ => None,
        }
    }

    const fn of_status(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Self::BadRequest,
            StatusCode::INTERNAL_SERVER_ERROR => Self::Internal,
            _ => return None,
        })
    }
}

impl IntoResponse for PublicError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BrokerError> for PublicError {
    fn from(error: BrokerError) -> Self {
        match &error {
            BrokerError::FormToken => Self::FormExpired,
            BrokerError::TooMany(wait) => Self::TooManyRequests(*wait),
            BrokerError::Busy => Self::Unavailable(Duration::from_secs(5)),
            BrokerError::Store(store) => log_store(store),
            _ if error.is_stale_login() => Self::LoginExpired,
            other => {
                tracing::error!(error = %other, "request failed");
                Self::Internal
            }
        }
    }
}

impl From<StoreError> for PublicError {
    fn from(error: StoreError) -> Self {
        log_store(&error)
    }
}

impl From<tower_sessions::session::Error> for PublicError {
    fn from(error: tower_sessions::session::Error) -> Self {
        tracing::error!(%error, "browser session store failed");
        Self::Unavailable(Duration::from_secs(5))
    }
}

fn log_store(error: &StoreError) -> PublicError {
    tracing::error!(%error, "store failed");
    match error {
        StoreError::Unavailable { .. } => PublicError::Unavailable(Duration::from_secs(5)),
        _ => PublicError::Internal,
    }
}

/// Who reads an answer: a person or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Person,
    Program,
    /// A relying party at an OAuth endpoint, which reads RFC 6749 section 5.2.
    RelyingParty,
}

impl Audience {
    /// Whoever sent this request.
    pub(crate) fn of(request: &Request) -> Self {
        let wants_page = request
            .headers()
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let path = request.uri().path();
        let is_oauth = path.starts_with("/oauth2/") || path.starts_with("/oauth/");
        let for_people = path.ends_with("/authorize") || path == "/oauth2/logout";
        if (is_oauth && !for_people) || path == "/api/v4/user" {
            return Self::RelyingParty;
        }
        if wants_page && !is_for_program(request.uri().path()) {
            Self::Person
        } else {
            Self::Program
        }
    }
}

/// Gives a failed response its body, as a page or a problem document.
pub(crate) fn with_body(response: Response, audience: Audience, request_id: &str) -> Response {
    let error = match response.extensions().get::<PublicError>() {
        Some(error) => *error,
        // A framework's own refusal (a missing route, an oversized body) has a plain text body.
        None => match PublicError::of_status(response.status()) {
            Some(error) if !has_own_body(&response) => error,
            _ => return response,
        },
    };
    let body = match audience {
        Audience::Program => problem(error, request_id),
        Audience::RelyingParty => oauth(error, request_id),
        Audience::Person => page(error, request_id),
    };
    let (mut parts, _) = response.into_parts();
    parts.status = error.status();
    let (body_parts, body) = body.into_parts();
    for (name, value) in &body_parts.headers {
        parts.headers.insert(name.clone(), value.clone());
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body)
}

fn is_for_program(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/oauth2/token") || path == "/healthz"
}

fn has_own_body(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"application/") || kind.starts_with(b"text/html")
    })
}

fn oauth(error: PublicError, request_id: &str) -> Response {
    let word = match error {
        PublicError::Unavailable(_) | PublicError::Timeout | PublicError::TooManyRequests(_) => {
            "temporarily_unavailable"
        }
        PublicError::Internal => "server_error",
        _ => "invalid_request",
    };
    let body = json!({
        "error": word,
        "error_description": error.text(),
        "code": error.code(),
        "request_id": request_id,
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    retry((kind, body.to_string()).into_response(), error)
}

fn problem(error: PublicError, request_id: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": error.title(),
        "status": error.status().as_u16(),
        "detail": error.text(),
        "code": error.code(),
        "request_id": request_id,
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    retry((kind, body.to_string()).into_response(), error)
}

fn page(error: PublicError, request_id: &str) -> Response {
    let link = match error {
        PublicError::NotFound | PublicError::MethodNotAllowed => Some(("/account", "Your account")),
        PublicError::LoginExpired | PublicError::FormExpired | PublicError::SignInRefused => {
            Some(("/login", "Sign in"))
        }
        _ => None,
    };
    let page = pages::Message {
        title: error.title(),
        text: error.text(),
        link,
        reference: Some(format!("{} {request_id}", error.code())),
    };
    retry(pages::render(&page), error)
}

fn retry(mut response: Response, error: PublicError) -> Response {
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs().max(1);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error == PublicError::ClientRefused {
        let challenge = HeaderValue::from_static("Basic realm=\"sessions API\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// What the outside is told of a failure of the provider.
pub(crate) fn of_provider(error: &ProviderError) -> PublicError {
    tracing::error!(%error, "provider request failed");
    if error.is_temporary() {
        PublicError::Unavailable(Duration::from_secs(5))
    } else {
        PublicError::Internal
    }
}
