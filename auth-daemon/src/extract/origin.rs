//! Request id and source address of a request, as an argument. [`crate::edge`] sets them.

use std::convert::Infallible;

use auth_core::audit::Origin;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Where the request came from.
#[derive(Clone, Debug)]
pub(crate) struct RequestOrigin(pub(crate) Origin);

impl<S: Send + Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| {
            Self(Origin { ip: None, request_id: String::new(), user_agent: None })
        }))
    }
}
