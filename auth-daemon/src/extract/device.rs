//! The cookie of a device on which somebody passed the second factor and asked to be remembered.

use std::convert::Infallible;
use std::sync::Arc;

use auth_core::broker::{Device, RememberedDevice};
use auth_core::clock::Timestamp;
use auth_core::secret::Token;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::browser::cookie;
use crate::app::App;

/// The device token of a request, if it carried one.
pub(crate) struct DeviceCookie {
    token: Option<Token>,
    name: &'static str,
    secure: bool,
}

impl DeviceCookie {
    /// The token.
    pub(crate) const fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// What the broker is told of this browser.
    pub(crate) const fn device(&self, remember: bool) -> Device<'_> {
        Device { token: self.token(), remember }
    }

    /// Sets the cookie of a device that is remembered from now on.
    pub(crate) fn set(&self, response: &mut Response, made: &RememberedDevice, now: Timestamp) {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
            self.name,
            made.token.expose(),
            made.expires_at.since(now).as_secs(),
        );
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

impl FromRequestParts<Arc<App>> for DeviceCookie {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let name = app.site.device_cookie();
        let token = cookie(&parts.headers, name).and_then(Token::parse);
        Ok(Self { token, name, secure: app.site.secure })
    }
}
