//! `form-action` of a page whose form may end at a client.
//!
//! Chromium applies `form-action` to every redirect after a form's post, so the pending client's
//! redirect URI must be allowed: its origin, or its scheme for an application's own scheme. It was
//! compared with the registered ones before it got here.

use auth_core::handoff::authorization::AuthorizationRequest;
use auth_core::login::LoginRequest;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use url::Url;

/// Allows the forms of `response` to end at the client that the login is for.
pub(super) fn with_form_targets(response: Response, request: &LoginRequest) -> Response {
    let pending = request
        .continuation
        .as_deref()
        .and_then(|json| serde_json::from_str::<AuthorizationRequest>(json).ok());
    match pending {
        Some(pending) => with_form_target(response, pending.redirect_uri()),
        None => response,
    }
}

/// What every page may do. [`crate::edge`] sets it where nothing else is set.
pub(crate) const DEFAULT: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Lets a page run our own script: those on which a passkey may be used, and no others.
pub(super) fn with_script(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).and_then(|it| it.to_str().ok());
    let policy = format!("script-src 'self'; {}", policy.unwrap_or(DEFAULT));
    if let Ok(value) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
    response
}

/// Allows the forms of `response` to end at `redirect_uri`.
pub(super) fn with_form_target(mut response: Response, redirect_uri: &str) -> Response {
    let Some(target) = source_expression(redirect_uri) else { return response };
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {target}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, value);
    }
    response
}

/// The host source or scheme source of a URI (CSP level 3 section 2.3.1).
fn source_expression(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    if matches!(url.scheme(), "http" | "https") {
        let origin = url.origin();
        return origin.is_tuple().then(|| origin.ascii_serialization());
    }
    let safe = url.scheme().bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    (safe && !matches!(url.scheme(), "javascript" | "data" | "blob" | "file" | "vbscript"))
        .then(|| format!("{}:", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::source_expression;

    #[test]
    fn only_an_origin_or_an_applications_scheme_is_allowed() {
        let cases = [
            ("https://chat.example.com/cb?x=1", Some("https://chat.example.com")),
            ("http://127.0.0.1:4711/cb", Some("http://127.0.0.1:4711")),
            ("http://[::1]:80/cb", Some("http://[::1]")),
            ("com.example.chat:/cb", Some("com.example.chat:")),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("nonsense", None),
        ];
        for (uri, expected) in cases {
            assert_eq!(source_expression(uri).as_deref(), expected, "{uri}");
        }
    }
}
