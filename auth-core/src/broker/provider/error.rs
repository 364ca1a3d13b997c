//! Technical failures of the provider. Their cause goes to the log once; a client is told
//! `server_error` or `temporarily_unavailable`.

use crate::handoff::client::ClientError;
use crate::handoff::id_token::IdTokenError;
use crate::handoff::oauth_error::{OAuthError, OAuthErrorCode};
use crate::handoff::signing_key::SigningKeyError;
use crate::key_ring::OpenError;
use crate::store::StoreError;

/// Why the provider could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed value does not open.
    #[error("{what}: {source}")]
    Sealed {
        /// Which value.
        what: String,
        /// Why not.
        source: OpenError,
    },
    /// A signing key cannot be made, read or written.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// No key signs with this algorithm now.
    #[error("no {algorithm} signing key is active: run `key rotate`")]
    NoSigningKey {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// An ID token could not be made.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// A client's settings are wrong.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A logout token could not be made.
    #[error("the logout token could not be signed: {0}")]
    LogoutToken(String),
    /// A stored client cannot be read.
    #[error("stored client {id:?}: {problem}")]
    StoredClient {
        /// Its id.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// An id is used twice.
    #[error(
        "client {id:?} is there twice ({places}): remove one of them, from the file or by \
         `client remove`"
    )]
    ClientTwice {
        /// The id.
        id: String,
        /// Where.
        places: &'static str,
    },
    /// The issuer is no URL that one can be.
    #[error("public_url: {0}")]
    Issuer(#[from] url::ParseError),
    /// A task of the runtime died.
    #[error("background work failed: {0}")]
    Task(String),
    /// Others changed the same thing again and again.
    #[error("{0} kept changing under this request")]
    Contention(&'static str),
    /// Others hold every user name that the account could have at a client.
    #[error(
        "account {account:?}: other accounts hold every user name that it could have at the \
         client; rename one of them"
    )]
    NoUsername {
        /// Its own user name.
        account: String,
    },
    /// A connector that must be asked does not answer.
    #[error("the connector of the account does not answer")]
    ConnectorUnavailable,
}

impl ProviderError {
    /// Whether a retry may succeed.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Unavailable { .. })
                | Self::Contention(_)
                | Self::ConnectorUnavailable
        )
    }
}

impl From<ProviderError> for OAuthError {
    fn from(error: ProviderError) -> Self {
        tracing::error!(%error, "provider request failed");
        if error.is_temporary() {
            Self::new(OAuthErrorCode::TemporarilyUnavailable, "try again in a moment")
        } else {
            Self::new(OAuthErrorCode::ServerError, "the request could not be completed")
        }
    }
}
