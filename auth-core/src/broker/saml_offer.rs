//! Sign-ins that an identity provider begins by itself, where a connection allows them.
//!
//! Such a response answers no login, so nothing ties it to the browser that posts it: a page of
//! somebody else could post one to sign a visitor in under a foreign name. So it is parked under a
//! login that no browser holds; the first browser that shows the handle gets the assertion moved
//! into a login of its own, is asked, and only its answer redeems it. A live session is never
//! replaced.

use std::sync::Arc;

use tokio::time::Instant;

use super::enrolment::login_row;
use super::saml::{Parked, Returned, SamlArrival};
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::audit::Origin;
use crate::connector::saml::posted::{MAX_RELAY_STATE, Posted, Unverified};
use crate::connector::saml::{SamlCode, SamlConnection, SamlRefusal, UnspentAssertion};
use crate::login::{LoginRequest, PendingLogin, Stage};
use crate::secret::Token;

impl Broker {
    /// A response that answers no pending login.
    pub(super) async fn unsolicited(
        &self,
        connection: &Arc<SamlConnection>,
        posted: Posted,
        origin: &Origin,
        begun: Instant,
    ) -> Result<SamlArrival, BrokerError> {
        let connector = connection.id();
        let Posted { document, relay_state } = posted;
        if let Some(refusal) = out_of_place(connection, &document) {
            return self.refuse_saml(connector, refusal, None, origin, begun).await;
        }
        // Each one is a row in the store, and whoever holds a response may post it again.
        self.sources.begin(origin.ip).map_err(BrokerError::TooMany)?;
        let unspent = match self.judge_response(connection, document, None).await? {
            Ok(unspent) => unspent,
            Err(refusal) => {
                return self.refuse_saml(connector, refusal, None, origin, begun).await;
            }
        };
        // What is longer than SAML allows names no client.
        let start_at = relay_state.filter(|it| !it.is_empty() && it.len() <= MAX_RELAY_STATE);
        let request = LoginRequest { start_at, ..LoginRequest::default() };
        // Held by nobody: the secret is forgotten at once.
        let holder = Token::generate(self.random.as_ref());
        let (handle, login) = self.new_login(&holder, request);
        let sealed = unspent.seal(&self.ring, &login_row(&login), self.random.as_ref());
        let stage = Stage::Unsolicited { connector: connector.to_owned(), sealed };
        self.store.add_login(login.record(stage)?).await?;
        Ok(SamlArrival::Parked(handle))
    }

    /// Moves what came unasked into a login of this browser. `login` is the one that it is taken
    /// out of.
    pub(super) async fn offer(
        &self,
        login: PendingLogin,
        parked: Parked,
        browser: &Token,
        origin: &Origin,
    ) -> Result<Returned, BrokerError> {
        let (begun, now) = (Instant::now(), self.now());
        let request = login.request().clone();
        // Taken out first, so that one browser gets it at most.
        if !self.store.advance_login(login.record(Stage::Credentials)?, Vec::new()).await? {
            return Ok(Returned::Nothing);
        }
        let Parked { connector, sealed, row } = parked;
        let unspent = match UnspentAssertion::open(&sealed, &self.ring, &row, now) {
            Ok(unspent) => unspent,
            Err(refusal) => {
                self.refuse_saml(&connector, refusal, None, origin, begun).await?;
                return Ok(Returned::Nothing);
            }
        };
        let (handle, login) = self.new_login(browser, request);
        let name = unspent.display_name().to_owned();
        let sealed = unspent.seal(&self.ring, &login_row(&login), self.random.as_ref());
        let stage = Stage::Offered { connector, name, sealed };
        self.store.add_login(login.record(stage)?).await?;
        Ok(Returned::Offered(handle))
    }

    /// The person goes on as whom the identity provider named.
    pub(super) async fn accept_offer(
        &self,
        mut login: PendingLogin,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        if at.replaces.is_some() {
            // A live session is not replaced by what came unasked: the page says so.
            return self.resume(at.handle, at.browser).await;
        }
        let (row, next) = (login_row(&login), login.next_version());
        let Stage::Offered { connector, sealed, .. } = login.take_stage() else {
            return Err(BrokerError::FormToken);
        };
        if !self.store.advance_login(login.record(Stage::Credentials)?, Vec::new()).await? {
            return self.resume(at.handle, at.browser).await;
        }
        self.redeem_parked(next, Parked { connector, sealed, row }, at).await
    }

    fn new_login(&self, browser: &Token, request: LoginRequest) -> (Token, PendingLogin) {
        let now = self.now();
        let handle = Token::generate(self.random.as_ref());
        let expires_at = now + self.settings.login_lifetime;
        let login = PendingLogin::begin(&handle, browser, request, now, expires_at);
        (handle, login)
    }
}

/// Why a response that answers no pending login is refused before it is verified: there is nothing
/// that it could lead to.
fn out_of_place(connection: &SamlConnection, document: &[u8]) -> Option<SamlRefusal> {
    match Unverified::look(document) {
        Err(refusal) => Some(refusal),
        Ok(Unverified { in_response_to: Some(_), .. }) => Some(
            SamlCode::InResponseTo
                .because("RelayState names no login that waits for an answer of this connection"),
        ),
        Ok(_) if connection.settings().allow_idp_initiated => None,
        Ok(_) => Some(SamlCode::Unsolicited.because(
            "the identity provider began by itself: begin at the application, or set \
             allow_idp_initiated",
        )),
    }
}
