//! The way to the identity provider: the request that is sent, and what has to be remembered of it.

use serde::{Deserialize, Serialize};

use super::authn_request::AuthnRequestOptions;
use super::connection::SamlConnection;
use super::outgoing::Delivery;
use super::semantics::{Expectation, PendingRequest};
use crate::clock::Timestamp;
use crate::connector::ConnectorError;
use crate::connector::redirect::{Departure, DepartureRequest, Destination};
use crate::random::Random;

/// What the login keeps of a request that was sent, sealed.
#[derive(Debug, Serialize, Deserialize)]
pub struct SentRequest {
    id: String,
    forced_at: Option<Timestamp>,
}

impl SentRequest {
    /// Reads what [`SamlConnection::depart`] gave as the state of its departure.
    #[must_use]
    pub fn read(state: &[u8]) -> Option<Self> {
        serde_json::from_slice(state).ok()
    }

    /// What the response has to answer.
    #[must_use]
    pub fn expectation(&self) -> Expectation<'_> {
        Expectation::Request(PendingRequest { id: &self.id, forced_at: self.forced_at })
    }
}

impl SamlConnection {
    /// Prepares the way to the identity provider. `RelayState` is the login's handle: the whole
    /// state would be longer than the 80 bytes of SAML bindings section 3.4.3.
    ///
    /// # Errors
    /// `Unavailable` when the request cannot be made or signed.
    pub fn depart(
        &self,
        request: DepartureRequest<'_>,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Departure, ConnectorError> {
        let handle = request.state.split_once('.').map_or(request.state, |(handle, _)| handle);
        let options = AuthnRequestOptions { force_authn: request.fresh, is_passive: false };
        let outgoing =
            self.authn_request(options, Some(handle), random, now).map_err(|refusal| {
                ConnectorError::Unavailable {
                    reason: refusal.code.as_str(),
                    message: refusal.detail,
                }
            })?;
        let forced = request.fresh || self.settings().force_authn;
        let sent = SentRequest { id: outgoing.id, forced_at: forced.then_some(outgoing.issued_at) };
        let state = serde_json::to_vec(&sent).map_err(|error| ConnectorError::Unavailable {
            reason: "internal_error",
            message: error.to_string(),
        })?;
        Ok(Departure { destination: outgoing.delivery.into(), state })
    }
}

impl From<Delivery> for Destination {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Redirect(url) => Self::Redirect(url),
            Delivery::Post(form) => {
                let fields = form.fields.into_iter();
                Self::PostForm {
                    action: form.action,
                    fields: fields.map(|(name, value)| (name.to_owned(), value)).collect(),
                }
            }
        }
    }
}
