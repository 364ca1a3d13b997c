//! The way to an identity provider and back: departure, and what an arrival becomes.

use tokio::time::Instant;

use super::devices::Device;
use super::enrolment::login_row;
use super::first_factor::{Refused, cannot_judge};
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::audit::Origin;
use crate::connector::redirect::{DepartureRequest, Destination, RedirectConnector};
use crate::connector::{ConnectorError, VerifiedIdentity};
use crate::key_ring::SealContext;
use crate::login::step::{self, StepName};
use crate::login::{PendingLogin, Stage};
use crate::secret::Token;

/// What a connector remembers while the browser is away.
pub(super) struct Away {
    /// The connector.
    pub(super) connector: String,
    /// Its state, opened.
    pub(super) state: zeroize::Zeroizing<Vec<u8>>,
}

impl Broker {
    /// Sends the browser of the login `handle` to the identity provider of `connector`.
    ///
    /// A login can depart again and again; only the answer to the last departure counts. `hint` is
    /// what the person typed before choosing, e.g. their address.
    ///
    /// # Errors
    /// When there is no such login for this browser or no such connector, or the store fails.
    pub async fn depart(
        &self,
        handle: &Token,
        browser: &Token,
        connector: &str,
        hint: Option<&str>,
        origin: &Origin,
    ) -> Result<Step, BrokerError> {
        let now = self.now();
        let login = self.load(handle, browser, now).await?;
        let (device, begun) = (Device::default(), Instant::now());
        let at = At { handle, browser, replaces: None, device, origin, now, begun };
        if !matches!(
            login.stage(),
            Stage::Credentials | Stage::Away { .. } | Stage::Returned { .. }
        ) {
            return self.resume(handle, browser).await;
        }
        let Some(redirect) = self.redirect_connector(connector) else {
            return Err(BrokerError::Invalid {
                what: "connector".to_owned(),
                problem: format!("{connector:?} is no connector that a browser is sent to"),
            });
        };
        if !login.allows_connector(connector) {
            let refused = Refused::plain("connector_not_allowed");
            return self.turned_away(&login, connector, &refused, &at).await;
        }
        let state = step::form_token(handle, browser, StepName::Away, login.version() + 1);
        let request = DepartureRequest {
            state: &state,
            // Who links an identity shows by this very answer that it is theirs; who proves anew
            // who they are has to sign in there again.
            fresh: (login.request().account.is_some() && login.request().link.is_none())
                || login.request().fresh,
            login_hint: hint.or(login.request().login_hint.as_deref()),
        };
        let departure = match redirect.depart(request, self.random.as_ref(), now).await {
            Ok(departure) => departure,
            Err(error) => return self.arrival_failed(&login, connector, error, &at).await,
        };
        let row = away_row(&login, connector);
        let context = SealContext { table: "login", column: "away", row: &row };
        let sealed = self.ring.seal(context, &departure.state, self.random.as_ref());
        let request = Box::new(login.request().clone());
        let record = login.record(Stage::Away { connector: connector.to_owned(), sealed })?;
        if !self.store.advance_login(record, Vec::new()).await? {
            // A second tab moved the login on; the browser is shown where it is.
            return self.resume(handle, browser).await;
        }
        Ok(match departure.destination {
            Destination::Redirect(url) => Step::Redirect { url, request },
            Destination::PostForm { action, fields } => Step::PostForm { action, fields, request },
        })
    }

    /// The redirect connector with this id.
    pub(super) fn redirect_connector(&self, id: &str) -> Option<&RedirectConnector> {
        self.connectors.redirects.iter().find(|connector| connector.id() == id)
    }

    /// Takes the departure out of a login that is away at `connector`, so that its answer is
    /// judged once: the stored login is at its first step again afterwards. `None` when it is
    /// away at no connector or another one, or another answer came first.
    pub(super) async fn take_departure(
        &self,
        mut login: PendingLogin,
        connector: &str,
    ) -> Result<Option<(PendingLogin, Away)>, BrokerError> {
        let row = away_row(&login, connector);
        let Stage::Away { connector: away_at, sealed } = login.take_stage() else {
            return Ok(None);
        };
        if away_at != connector {
            return Ok(None);
        }
        let context = SealContext { table: "login", column: "away", row: &row };
        let state = self.ring.open(context, &sealed).map_err(|error| {
            BrokerError::Internal(format!("state of a login at {connector:?}: {error}"))
        })?;
        let next = login.next_version();
        let record = login.record(Stage::Credentials)?;
        if !self.store.advance_login(record, Vec::new()).await? {
            return Ok(None);
        }
        Ok(Some((next, Away { connector: away_at, state })))
    }

    /// A connector verified somebody: let them in, ask for more, or refuse.
    pub(super) async fn arrived(
        &self,
        login: PendingLogin,
        identity: VerifiedIdentity,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let connector = identity.connector().to_owned();
        if let Some(session) = login.request().link {
            return self.link_arrived(login, &identity, session, at).await;
        }
        match self.admitted(login, &identity, None, at).await? {
            Ok(step) => Ok(step),
            Err((login, refused)) => self.turned_away(&login, &connector, &refused, at).await,
        }
    }

    /// A connector gave no identity.
    pub(super) async fn arrival_failed(
        &self,
        login: &PendingLogin,
        connector: &str,
        error: ConnectorError,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        match error {
            ConnectorError::Refused { reason, detail } => {
                let refused = Refused { detail, ..Refused::plain(reason.as_str()) };
                self.turned_away(login, connector, &refused, at).await
            }
            ConnectorError::Unavailable { reason, message } => {
                self.note(cannot_judge(connector, reason, &message, at)).await?;
                self.observe(connector, "failed", at.begun);
                Ok(Step::Unavailable { reason })
            }
        }
    }

    /// Refuses somebody who came back from an identity provider: one event, one neutral page.
    pub(super) async fn turned_away(
        &self,
        login: &PendingLogin,
        connector: &str,
        refused: &Refused,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        self.audit_refusal(login, connector, "", refused, at).await?;
        self.observe(connector, "refused", at.begun);
        Ok(Step::Refused { reason: refused.reason, request: Box::new(login.request().clone()) })
    }
}

fn away_row(login: &PendingLogin, connector: &str) -> String {
    format!("{}:{connector}", login_row(login))
}
