//! A cookie that remembers how this browser signed in the last time: a connector's id and nothing
//! else. It only decides what the sign-in page offers first.

use axum::response::Response;

use crate::app::Site;
use crate::extract::cookie::{LONGEST, set_cookie};

/// Remembers the connector.
pub(super) fn remember(site: &Site, mut response: Response, connector: &str) -> Response {
    set_cookie(&mut response, site.secure, site.last_used_cookie(), connector, Some(LONGEST));
    response
}
