//! A cookie that remembers how this browser signed in the last time: a connector's id and nothing
//! else. It only decides what the sign-in page offers first.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::app::Site;
use crate::extract::browser::LONGEST;

/// Remembers the connector.
pub(super) fn remember(site: &Site, mut response: Response, connector: &str) -> Response {
    let secure = if site.secure { "; Secure" } else { "" };
    let cookie = format!(
        "{}={connector}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LONGEST}{secure}",
        site.last_used_cookie()
    );
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}
