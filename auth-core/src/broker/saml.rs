//! Sign-ins through SAML identity providers, in two requests.
//!
//! A response is posted from another site, so it comes without the browser's cookie:
//! [`Broker::saml_response`] judges it and parks the unspent assertion under the login that it
//! answers. The browser's next request carries the cookie, and [`Broker::redeem_returned`] compares
//! it before anybody is let in. In another browser the parked assertion is dropped.

use std::sync::Arc;

use tokio::time::Instant;

use super::devices::Device;
use super::first_factor::Refused;
use super::redirect::Away;
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::audit::{AuditRecord, Origin};
use crate::connector::saml::posted::{Posted, Unverified};
use crate::connector::saml::{
    RedeemedAssertion, SamlCode, SamlConnection, SamlRefusal, SentRequest, UnspentAssertion,
};
use crate::login::{PendingLogin, PendingLoginError, Stage};
use crate::replay;
use crate::secret::Token;
use crate::store::SessionId;

/// What became of a posted response.
#[derive(Debug)]
pub enum SamlArrival {
    /// It is good, and parked under the login with this handle.
    Parked(Token),
    /// It was refused; the event says why.
    Refused(SamlCode),
}

impl Broker {
    /// The SAML connection with this id.
    #[must_use]
    pub fn saml_connection(&self, id: &str) -> Option<&Arc<SamlConnection>> {
        self.redirect_connector(id)?.saml()
    }

    /// Judges the form that a browser posts to the assertion consumer service of `connector`
    /// (SAML bindings section 3.5). A login's request is answered once: the first response that
    /// names it uses it up, good or not.
    ///
    /// # Errors
    /// When there is no such connection, or the store fails.
    pub async fn saml_response(
        &self,
        connector: &str,
        form: &[u8],
        origin: &Origin,
    ) -> Result<SamlArrival, BrokerError> {
        let begun = Instant::now();
        let Some(connection) = self.saml_connection(connector).map(Arc::clone) else {
            return Err(super::accounts::invalid("connection", "there is none with this id"));
        };
        let posted = match Posted::from_form(form, "SAMLResponse") {
            Ok(posted) => posted,
            Err(refusal) => return self.refuse_saml(connector, refusal, None, origin, begun).await,
        };
        let handle = posted.relay_state.as_deref().and_then(Token::parse);
        let taken = match &handle {
            Some(handle) => self.take_request(handle, connector).await?,
            None => None,
        };
        let (Some(handle), Some((login, away))) = (handle, taken) else {
            let refusal = without_request(&connection, &posted.document);
            return self.refuse_saml(connector, refusal, None, origin, begun).await;
        };
        let client = login.request().client.clone();
        let client = client.as_deref();
        let unspent = match self.judge_response(&connection, posted.document, &away).await? {
            Ok(unspent) => unspent,
            Err(refusal) => {
                return self.refuse_saml(connector, refusal, client, origin, begun).await;
            }
        };
        if connection.settings().allow_sha1 {
            metrics::counter!("auth_saml_legacy_responses_total", "connector" => connector.to_owned())
                .increment(1);
        }
        let sealed = unspent.seal(&self.ring, &row(&login), self.random.as_ref());
        let record = login.record(Stage::Returned { connector: connector.to_owned(), sealed })?;
        if !self.store.advance_login(record, Vec::new()).await? {
            let refusal = SamlCode::InResponseTo.because("the login went on in the meantime");
            return self.refuse_saml(connector, refusal, client, origin, begun).await;
        }
        Ok(SamlArrival::Parked(handle))
    }

    /// Lets in whom a parked response names, in the browser that began the login. `None` when
    /// nothing is parked under `handle`.
    ///
    /// # Errors
    /// When the response was parked for another browser, which drops it, or the store fails.
    pub async fn redeem_returned(
        &self,
        handle: &Token,
        browser: &Token,
        replaces: Option<SessionId>,
        device: Device<'_>,
        origin: &Origin,
    ) -> Result<Option<Step>, BrokerError> {
        let now = self.now();
        let record = self.store.login(handle.hash()).await?;
        let Ok(mut login) = PendingLogin::without_browser(record, now) else { return Ok(None) };
        if !matches!(login.stage(), Stage::Returned { .. }) {
            return Ok(None);
        }
        let is_ours = login.is_of(browser);
        let row = row(&login);
        let next = login.next_version();
        let client = login.request().client.clone();
        let Stage::Returned { connector, sealed } = login.take_stage() else { return Ok(None) };
        // First of all it is taken out: whatever happens now, nobody finds it again.
        if !self.store.advance_login(login.record(Stage::Credentials)?, Vec::new()).await? {
            return Ok(None);
        }
        let begun = Instant::now();
        if !is_ours {
            let error = PendingLoginError::OtherBrowser;
            let event = self.refusal_event(&connector, error.as_str(), client.as_deref(), origin);
            event.log();
            self.store.append_audit(vec![event]).await?;
            self.observe(&connector, "refused", begun);
            return Err(error.into());
        }
        let at = At { handle, browser, replaces, device, origin, now, begun };
        let redeemed = match UnspentAssertion::open(&sealed, &self.ring, &row, now) {
            Ok(unspent) => self.redeem(unspent, &connector).await?,
            Err(refusal) => Err(refusal),
        };
        let step = match redeemed {
            Ok(RedeemedAssertion { identity, .. }) => self.arrived(next, identity, &at).await?,
            Err(SamlRefusal { code, detail }) => {
                let refused = Refused { detail: Some(detail), ..Refused::plain(code.as_str()) };
                self.turned_away(&next, &connector, &refused, &at).await?
            }
        };
        Ok(Some(step))
    }

    async fn redeem(
        &self,
        unspent: UnspentAssertion,
        connector: &str,
    ) -> Result<Result<RedeemedAssertion, SamlRefusal>, BrokerError> {
        if unspent.connection() != connector || self.saml_connection(connector).is_none() {
            let refusal = SamlCode::Structure.because("parked by a connection that is gone");
            return Ok(Err(refusal));
        }
        let Some(fresh) = replay::claim(self.store.as_ref(), unspent.replay_key()).await? else {
            return Ok(Err(SamlCode::Replayed.because("its ID was redeemed before")));
        };
        Ok(unspent.redeem(fresh))
    }

    /// The request of the login `handle` that is pending at `connector`, taken out of it.
    async fn take_request(
        &self,
        handle: &Token,
        connector: &str,
    ) -> Result<Option<(PendingLogin, Away)>, BrokerError> {
        let record = self.store.login(handle.hash()).await?;
        match PendingLogin::without_browser(record, self.now()) {
            Ok(login) => self.take_departure(login, connector).await,
            Err(PendingLoginError::Unreadable) => Err(PendingLoginError::Unreadable.into()),
            Err(_) => Ok(None),
        }
    }

    /// Verifies off the threads that serve requests: it takes milliseconds of a processor.
    async fn judge_response(
        &self,
        connection: &Arc<SamlConnection>,
        document: Vec<u8>,
        away: &Away,
    ) -> Result<Result<UnspentAssertion, SamlRefusal>, BrokerError> {
        let sent = SentRequest::read(&away.state).ok_or_else(|| {
            BrokerError::Internal(format!("state of a login at {:?}", away.connector))
        })?;
        let (connection, now) = (Arc::clone(connection), self.now());
        let judge = move || connection.verify(&document, sent.expectation(), now).outcome;
        tokio::task::spawn_blocking(judge)
            .await
            .map_err(|error| BrokerError::Internal(format!("a SAML verification: {error}")))
    }

    async fn refuse_saml(
        &self,
        connector: &str,
        refusal: SamlRefusal,
        client: Option<&str>,
        origin: &Origin,
        begun: Instant,
    ) -> Result<SamlArrival, BrokerError> {
        let event = self
            .refusal_event(connector, refusal.code.as_str(), client, origin)
            .with("detail", refusal.detail);
        event.log();
        self.store.append_audit(vec![event]).await?;
        self.observe(connector, "refused", begun);
        Ok(SamlArrival::Refused(refusal.code))
    }

    fn refusal_event(
        &self,
        connector: &str,
        reason: &str,
        client: Option<&str>,
        origin: &Origin,
    ) -> AuditRecord {
        let event = AuditRecord::new(self.now(), "login.refused")
            .refused(reason)
            .connector(connector)
            .from_request(origin);
        match client {
            Some(client) => event.client(client),
            None => event,
        }
    }
}

/// Why a response that belongs to no pending request is refused. It is not verified: there is
/// nothing that it could lead to.
fn without_request(connection: &SamlConnection, document: &[u8]) -> SamlRefusal {
    match Unverified::look(document) {
        Err(refusal) => refusal,
        Ok(Unverified { in_response_to: Some(_), .. }) => SamlCode::InResponseTo
            .because("RelayState names no login that waits for an answer of this connection"),
        Ok(_) if connection.settings().allow_idp_initiated => SamlCode::Unsolicited.because(
            "the identity provider began by itself, which this version does not serve in spite \
             of allow_idp_initiated: begin at the application",
        ),
        Ok(_) => SamlCode::Unsolicited
            .because("the identity provider began by itself: begin at the application"),
    }
}

/// What a parked assertion is bound to.
fn row(login: &PendingLogin) -> String {
    login.handle().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
