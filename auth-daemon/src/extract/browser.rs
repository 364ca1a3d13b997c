//! The browser's login secret: a cookie that binds pending logins to one browser.

use std::sync::Arc;

use auth_core::random::SystemRandom;
use auth_core::secret::Token;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;

use super::cookie::{cookie, set_cookie};
use crate::app::App;
use crate::error::PublicError;

/// The secret in the login cookie; a fresh one when the browser had none.
pub(crate) struct Browser {
    pub(crate) secret: Token,
    /// The connector that this browser signed in through the last time, as it says itself.
    pub(crate) last_used: Option<String>,
    fresh: bool,
    name: &'static str,
    secure: bool,
}

impl Browser {
    /// Sets the cookie if this browser has none yet.
    pub(crate) fn remember(&self, mut response: Response) -> Response {
        if self.fresh {
            set_cookie(&mut response, self.secure, self.name, self.secret.expose(), None);
        }
        response
    }

    /// Whether the request carried the cookie.
    pub(crate) const fn is_known(&self) -> bool {
        !self.fresh
    }

    /// The secret of a browser that must have one already.
    pub(crate) fn known(&self) -> Result<&Token, PublicError> {
        if self.fresh { Err(PublicError::LoginExpired) } else { Ok(&self.secret) }
    }
}

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let name = app.site.login_cookie();
        let known = cookie(&parts.headers, name).and_then(Token::parse);
        let fresh = known.is_none();
        let secret = known.unwrap_or_else(|| Token::generate(&SystemRandom::new()));
        let last_used = cookie(&parts.headers, app.site.last_used_cookie()).map(str::to_owned);
        Ok(Self { secret, last_used, fresh, name, secure: app.site.secure })
    }
}
