//! Sign-ins through SAML identity providers, in two requests.
//!
//! A response is posted from another site, so it comes without the browser's cookie:
//! [`Broker::saml_response`] judges it and parks the unspent assertion under the login that it
//! answers. The browser's next request carries the cookie, and [`Broker::redeem_returned`] compares
//! it before anybody is let in. In another browser the parked assertion is dropped. What came
//! without a login that it answers belongs to `saml_offer`.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::devices::Device;
use super::enrolment::login_row;
use super::first_factor::Refused;
use super::redirect::Away;
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::audit::{AuditRecord, Origin};
pub use crate::connector::saml::posted::MAX_FORM;
use crate::connector::saml::posted::Posted;
use crate::connector::saml::{
    Expectation, LegacyAlgorithm, RedeemedAssertion, SamlCode, SamlConnection, SamlRefusal,
    SentRequest, UnspentAssertion,
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

/// What was parked under a handle.
#[derive(Debug)]
pub enum Returned {
    /// Nothing: the login stands elsewhere.
    Nothing,
    /// An assertion, which was redeemed; this comes next.
    Redeemed(Step),
    /// What an identity provider sent unasked: this browser's login has the new handle, and asks
    /// the person first.
    Offered(Token),
}

impl Broker {
    /// The SAML connection with this id, as it is now; `None` while it is not complete.
    #[must_use]
    pub fn saml_connection(&self, id: &str) -> Option<Arc<SamlConnection>> {
        self.redirect_connector(id)?.saml()?.connection()
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
        let Some(connection) = self.saml_connection(connector) else {
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
            return self.unsolicited(&connection, posted, origin, begun).await;
        };
        let client = login.request().client.clone();
        let client = client.as_deref();
        let sent = SentRequest::read(&away.state).ok_or_else(|| {
            BrokerError::Internal(format!("state of a login at {:?}", away.connector))
        })?;
        let judged = self.judge_response(&connection, posted.document, Some(sent)).await?;
        let unspent = match judged {
            Ok(unspent) => unspent,
            Err(refusal) => {
                return self.refuse_saml(connector, refusal, client, origin, begun).await;
            }
        };
        let sealed = unspent.seal(&self.ring, &login_row(&login), self.random.as_ref());
        let record = login.record(Stage::Returned { connector: connector.to_owned(), sealed })?;
        if !self.store.advance_login(record, Vec::new()).await? {
            let refusal = SamlCode::InResponseTo.because("the login went on in the meantime");
            return self.refuse_saml(connector, refusal, client, origin, begun).await;
        }
        Ok(SamlArrival::Parked(handle))
    }

    /// Lets in whom a parked response names, in the browser that began the login.
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
    ) -> Result<Returned, BrokerError> {
        let now = self.now();
        let record = self.store.login(handle.hash()).await?;
        let Ok(mut login) = PendingLogin::without_browser(record, now) else {
            return Ok(Returned::Nothing);
        };
        let is_ours = login.is_of(browser);
        let row = login_row(&login);
        let next = login.next_version();
        let (connector, sealed) = match login.take_stage() {
            Stage::Returned { connector, sealed } => (connector, sealed),
            Stage::Unsolicited { connector, sealed } => {
                let parked = Parked { connector, sealed, row };
                return self.offer(login, parked, browser, origin).await;
            }
            _ => return Ok(Returned::Nothing),
        };
        let client = login.request().client.clone();
        // First of all it is taken out: whatever happens now, nobody finds it again.
        if !self.store.advance_login(login.record(Stage::Credentials)?, Vec::new()).await? {
            return Ok(Returned::Nothing);
        }
        let begun = Instant::now();
        if !is_ours {
            let error = PendingLoginError::OtherBrowser;
            let event = self.refusal_event(&connector, error.as_str(), client.as_deref(), origin);
            self.note(event).await?;
            self.observe(&connector, "refused", begun);
            return Err(error.into());
        }
        let at = At { handle, browser, replaces, device, origin, now, begun };
        let parked = Parked { connector, sealed, row };
        Ok(Returned::Redeemed(self.redeem_parked(next, parked, &at).await?))
    }

    /// Spends a parked assertion for the login that it was taken out of.
    pub(super) async fn redeem_parked(
        &self,
        login: PendingLogin,
        parked: Parked,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let Parked { connector, sealed, row } = parked;
        let redeemed = match UnspentAssertion::open(&sealed, &self.ring, &row, at.now) {
            Ok(unspent) => self.redeem(unspent, &connector).await?,
            Err(refusal) => Err(refusal),
        };
        match redeemed {
            Ok(RedeemedAssertion { identity, .. }) => self.arrived(login, identity, at).await,
            Err(SamlRefusal { code, detail }) => {
                let refused = Refused { detail: Some(detail), ..Refused::plain(code.as_str()) };
                self.turned_away(&login, &connector, &refused, at).await
            }
        }
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
    pub(super) async fn judge_response(
        &self,
        connection: &Arc<SamlConnection>,
        document: Vec<u8>,
        sent: Option<SentRequest>,
    ) -> Result<Result<UnspentAssertion, SamlRefusal>, BrokerError> {
        let (judge, now) = (Arc::clone(connection), self.now());
        let judged = off_the_async_threads(move || {
            let expectation =
                sent.as_ref().map_or(Expectation::Unsolicited, SentRequest::expectation);
            judge.verify(&document, expectation, now)
        });
        let judgement = judged.await?;
        if judgement.outcome.is_ok() {
            self.note_legacy(connection.id(), &judgement.legacy).await?;
        }
        Ok(judgement.outcome)
    }

    /// Counts and records what was accepted only because `allow_sha1` is set, so that an
    /// administrator sees whether the switch is still needed.
    pub(super) async fn note_legacy(
        &self,
        connector: &str,
        legacy: &BTreeSet<LegacyAlgorithm>,
    ) -> Result<(), BrokerError> {
        if legacy.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = legacy.iter().map(|it| it.as_str()).collect();
        for algorithm in &names {
            metrics::counter!("auth_saml_legacy_algorithms_total", "connector" => connector.to_owned(), "algorithm" => *algorithm)
                .increment(1);
        }
        let event = AuditRecord::new(self.now(), "saml.legacy_algorithm")
            .connector(connector)
            .with("algorithms", names.join(" "));
        Ok(self.note(event).await?)
    }

    pub(super) async fn refuse_saml(
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
        self.note(event).await?;
        self.observe(connector, "refused", begun);
        Ok(SamlArrival::Refused(refusal.code))
    }

    pub(super) fn refusal_event(
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

/// An assertion as it lay in a login's row.
pub(super) struct Parked {
    pub(super) connector: String,
    pub(super) sealed: Vec<u8>,
    /// What the sealing is bound to.
    pub(super) row: String,
}

/// Runs a computation of milliseconds where it holds up no request.
pub(super) async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BrokerError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BrokerError::Internal(format!("a SAML computation: {error}")))
}
