//! Single logout (SAML core section 3.7), both directions, by redirect and by POST.
//!
//! A message counts only when a pinned key signed it, and ends only sessions of this connection
//! that it names: NameID with format and qualifiers, and the session index where one is given.

mod judge;
mod send;

pub use judge::{LogoutRequest, LogoutResponse};
pub use send::LogoutResult;

/// How a logout message came in.
#[derive(Clone, Copy, Debug)]
pub enum Received<'m> {
    /// By POST: the decoded document and the RelayState.
    Post {
        /// The document.
        document: &'m [u8],
        /// RelayState of the form.
        relay_state: Option<&'m str>,
    },
    /// By redirect: the raw query, as the browser sent it.
    Redirect {
        /// Everything behind the question mark, octet for octet.
        query: &'m str,
    },
}
