//! What a browser keeps between two logins: that it is known for the names that signed in there,
//! and that its device is remembered after a second factor.

use std::convert::Infallible;
use std::sync::Arc;

use auth_core::broker::{Completed, Device};
use auth_core::clock::Timestamp;
use auth_core::secret::Token;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;

use super::cookie::{LONGEST, cookie, set_cookie};
use crate::app::App;

/// What the browser's own cookies say of it; nothing of it is checked yet.
pub(crate) struct DeviceCookies {
    known: Option<String>,
    token: Option<Token>,
    known_name: &'static str,
    device_name: &'static str,
    secure: bool,
}

impl DeviceCookies {
    /// The token of a remembered device.
    pub(crate) const fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// What the broker is told of this browser.
    pub(crate) fn device(&self, remember: bool) -> Device<'_> {
        Device { known: self.known.as_deref(), token: self.token(), remember }
    }

    /// Sets what the browser is to keep after this login.
    pub(crate) fn set(&self, response: &mut Response, completed: &Completed, now: Timestamp) {
        if let Some(known) = &completed.known_browser {
            set_cookie(response, self.secure, self.known_name, known, Some(LONGEST));
        }
        if let Some(made) = &completed.device {
            let seconds = made.expires_at.since(now).as_secs();
            let token = made.token.expose();
            set_cookie(response, self.secure, self.device_name, token, Some(seconds));
        }
    }
}

impl FromRequestParts<Arc<App>> for DeviceCookies {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let (known_name, device_name) = (app.site.known_cookie(), app.site.device_cookie());
        let known = cookie(&parts.headers, known_name).map(str::to_owned);
        let token = cookie(&parts.headers, device_name).and_then(Token::parse);
        Ok(Self { known, token, known_name, device_name, secure: app.site.secure })
    }
}
