//! What identity providers said of their own sessions, so that a sign-out there ends the sessions
//! here, and one here can lead there.

use async_trait::async_trait;

use super::{SessionId, StoreError};
use crate::clock::Timestamp;

/// An identity provider's session behind a browser session of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSessionRecord {
    /// Our session.
    pub session: SessionId,
    /// The connector.
    pub connector: String,
    /// The stable subject there.
    pub subject: String,
    /// The provider's name for its session.
    pub index: Option<String>,
    /// What the provider wants back at a sign-out, sealed.
    pub sealed_hint: Option<Vec<u8>>,
    /// When our session is over at the latest.
    pub expires_at: Timestamp,
}

/// Sessions of identity providers.
#[async_trait]
pub trait UpstreamSessionStore: Send + Sync {
    /// Notes one, before our session is made; a second one for the same session replaces it.
    async fn add_upstream_session(&self, record: UpstreamSessionRecord) -> Result<(), StoreError>;

    /// The one behind a session of ours.
    async fn upstream_session(
        &self,
        session: SessionId,
    ) -> Result<Option<UpstreamSessionRecord>, StoreError>;

    /// Removes and returns those of `connector` that match all that is given, by session. With
    /// neither subject nor index there is none.
    async fn take_upstream_sessions(
        &self,
        connector: &str,
        subject: Option<&str>,
        index: Option<&str>,
    ) -> Result<Vec<UpstreamSessionRecord>, StoreError>;
}
