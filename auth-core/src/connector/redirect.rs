//! Connectors that send the browser away and judge what it brings back.
//!
//! A closed enumeration and not a trait: what an embedder could implement would mint identities.
//! The state of a [`Departure`] belongs to its connector alone; the login stores it sealed, and
//! hands it back once.

#[cfg(feature = "saml")]
use std::sync::Arc;

use url::Url;

use super::ConnectorError;
#[cfg(feature = "oidc")]
use super::oidc::{CallbackAnswer, OidcConnector};
#[cfg(feature = "saml")]
use super::saml::SamlPlace;
use crate::clock::Timestamp;
use crate::random::Random;

/// What a connector is told when a browser is to be sent to its identity provider.
#[derive(Clone, Copy, Debug)]
pub struct DepartureRequest<'a> {
    /// Comes back with the answer: `HANDLE.MAC`, of one departure only. A `RelayState` has room for
    /// the handle alone; there the request's id stands for the departure.
    pub state: &'a str,
    /// Whether the person has to prove anew who they are (`prompt=login`, `ForceAuthn`).
    pub fresh: bool,
    /// What the person is probably called at the identity provider.
    pub login_hint: Option<&'a str>,
}

/// How the browser gets to the identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// By a redirect to this address.
    Redirect(Url),
    /// By a form that posts these fields.
    PostForm {
        /// Where to.
        action: Url,
        /// Names and values, unescaped.
        fields: Vec<(String, String)>,
    },
}

/// A browser on its way.
#[derive(Debug)]
pub struct Departure {
    /// Where it goes.
    pub destination: Destination,
    /// What the connector wants back with the answer (request id, nonce, code verifier).
    pub state: Vec<u8>,
}

/// A connector whose identity provider the browser is sent to.
#[derive(Debug)]
#[non_exhaustive]
pub enum RedirectConnector {
    /// OpenID Connect, or plain OAuth 2.0.
    #[cfg(feature = "oidc")]
    Oidc(Box<OidcConnector>),
    /// SAML 2.0. Shared with whoever keeps its metadata up to date.
    #[cfg(feature = "saml")]
    Saml(Arc<SamlPlace>),
}

impl RedirectConnector {
    /// Its id, as in `/login/{connector}`.
    #[must_use]
    pub fn id(&self) -> &str {
        match *self {
            #[cfg(feature = "oidc")]
            Self::Oidc(ref connector) => connector.id(),
            #[cfg(feature = "saml")]
            Self::Saml(ref place) => place.id(),
        }
    }

    /// What people read on its button.
    #[must_use]
    pub fn label(&self) -> &str {
        match *self {
            #[cfg(feature = "oidc")]
            Self::Oidc(ref connector) => connector.label(),
            #[cfg(feature = "saml")]
            Self::Saml(ref place) => place.label(),
        }
    }

    /// Whether people can be sent there now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match *self {
            #[cfg(feature = "oidc")]
            Self::Oidc(_) => true,
            #[cfg(feature = "saml")]
            Self::Saml(ref place) => place.connection().is_some(),
        }
    }

    /// Prepares the way to the identity provider.
    ///
    /// # Errors
    /// `Unavailable` when the identity provider's metadata cannot be had.
    #[cfg_attr(
        not(any(feature = "oidc", feature = "saml")),
        expect(unused_variables, reason = "without a protocol there is nowhere to go")
    )]
    pub async fn depart(
        &self,
        request: DepartureRequest<'_>,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Departure, ConnectorError> {
        match *self {
            #[cfg(feature = "oidc")]
            Self::Oidc(ref connector) => connector.depart(request, random, now).await,
            #[cfg(feature = "saml")]
            Self::Saml(ref place) => match place.connection() {
                Some(connection) => connection.depart(request, random, now),
                None => Err(ConnectorError::Unavailable {
                    reason: "no_metadata",
                    message: format!("connection {:?} has no metadata that counts", place.id()),
                }),
            },
        }
    }

    /// Reads what a browser brings back in the query of an OpenID callback; `None` when a known
    /// parameter is there twice.
    #[cfg(feature = "oidc")]
    #[must_use]
    pub fn read_callback(query: &str) -> Option<CallbackAnswer> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        CallbackAnswer::read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The connection to an OpenID provider.
    #[cfg(feature = "oidc")]
    #[must_use]
    pub fn oidc(&self) -> Option<&OidcConnector> {
        match *self {
            Self::Oidc(ref connector) => Some(connector),
            #[cfg(feature = "saml")]
            Self::Saml(_) => None,
        }
    }

    /// The connection to a SAML identity provider.
    #[cfg(feature = "saml")]
    #[must_use]
    pub const fn saml(&self) -> Option<&Arc<SamlPlace>> {
        match *self {
            Self::Saml(ref place) => Some(place),
            #[cfg(feature = "oidc")]
            Self::Oidc(_) => None,
        }
    }
}
