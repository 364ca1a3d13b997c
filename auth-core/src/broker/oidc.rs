//! Sign-ins through OpenID providers: what the browser brings back, and sign-outs on both sides.

use tokio::time::Instant;

use super::devices::Device;
use super::redirect::Away;
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::audit::{AuditRecord, Origin};
use crate::connector::ConnectorError;
use crate::connector::oidc::{CallbackAnswer, OidcConnector};
use crate::login::step::{self, StepName};
use crate::login::{PendingLoginError, Stage};
use crate::secret::{Token, TokenHash};
use crate::store::SessionId;

/// Scope of the marks of used logout tokens.
const LOGOUT_TOKENS: &str = "oidc-logout";

/// What became of a logout token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackchannelLogout {
    /// So many sessions ended.
    Done(usize),
    /// The token was refused, for this reason.
    Refused(&'static str),
    /// It cannot be judged now.
    Unavailable,
}

impl Broker {
    /// Takes what a browser brought back from the provider of `connector`. Returns the login's
    /// handle and what comes next.
    ///
    /// # Errors
    /// When the answer belongs to no departure of this browser, or the store fails.
    pub async fn oidc_callback(
        &self,
        connector: &str,
        answer: &CallbackAnswer,
        browser: &Token,
        replaces: Option<SessionId>,
        device: Device<'_>,
        origin: &Origin,
    ) -> Result<(Token, Step), BrokerError> {
        let now = self.now();
        let state = answer.state.as_deref().unwrap_or_default();
        let handle = step::handle_of(state).ok_or(BrokerError::FormToken)?;
        let login = match self.load(&handle, browser, now).await {
            Err(BrokerError::Login(error @ PendingLoginError::OtherBrowser)) => {
                self.audit_foreign_answer(connector, error.as_str(), origin).await?;
                return Err(error.into());
            }
            loaded => loaded?,
        };
        let is_away = matches!(login.stage(), Stage::Away { .. });
        if !step::verify(state, browser, StepName::Away, login.version()) || !is_away {
            self.audit_foreign_answer(connector, "state_mismatch", origin).await?;
            return Err(BrokerError::FormToken);
        }
        let begun = Instant::now();
        let at = At { handle: &handle, browser, replaces, device, origin, now, begun };
        let Some((login, away)) = self.take_departure(login, connector).await? else {
            self.audit_foreign_answer(connector, "state_mismatch", origin).await?;
            return Err(BrokerError::FormToken);
        };
        let step = match self.judge_answer(&away, answer, &at).await {
            Ok(identity) => self.arrived(login, identity, &at).await?,
            Err(error) => self.arrival_failed(&login, connector, error, &at).await?,
        };
        Ok((handle, step))
    }

    async fn judge_answer(
        &self,
        away: &Away,
        answer: &CallbackAnswer,
        at: &At<'_>,
    ) -> Result<crate::connector::VerifiedIdentity, ConnectorError> {
        let unknown = || ConnectorError::Unavailable {
            reason: "unknown_connector",
            message: format!("connector {:?} is gone", away.connector),
        };
        let connector = self.oidc_connector(&away.connector).ok_or_else(unknown)?;
        connector.arrive(answer, &away.state, at.now).await
    }

    /// The OpenID connection with this id.
    #[must_use]
    pub fn oidc_connector(&self, id: &str) -> Option<&OidcConnector> {
        self.redirect_connector(id)?.oidc()
    }

    /// An answer that this browser did not ask for: somebody else's, an old one, or a forged one.
    async fn audit_foreign_answer(
        &self,
        connector: &str,
        reason: &'static str,
        origin: &Origin,
    ) -> Result<(), BrokerError> {
        let known = self.redirect_connector(connector).is_some();
        let event = AuditRecord::new(self.now(), "login.refused")
            .refused(reason)
            .connector(if known { connector } else { "unknown" })
            .from_request(origin);
        self.note(event).await?;
        self.observe(connector, "refused", Instant::now());
        Ok(())
    }

    /// Ends the sessions that a provider says are over (OpenID Connect Back-Channel Logout 1.0).
    ///
    /// # Errors
    /// When there is no such connection, or the store fails.
    pub async fn backchannel_logout(
        &self,
        connector: &str,
        token: &str,
        origin: &Origin,
    ) -> Result<BackchannelLogout, BrokerError> {
        let now = self.now();
        let Some(connection) = self.oidc_connector(connector) else {
            return Err(super::accounts::invalid("connector", "there is none with this id"));
        };
        let notice = match connection.read_logout_token(token, now).await {
            Ok(notice) => notice,
            Err(ConnectorError::Refused { reason, detail }) => {
                self.audit_logout_refusal(connector, reason.as_str(), detail, origin).await?;
                return Ok(BackchannelLogout::Refused(reason.as_str()));
            }
            Err(ConnectorError::Unavailable { reason, message }) => {
                tracing::error!(connector, reason, cause = message, "logout token not judged");
                return Ok(BackchannelLogout::Unavailable);
            }
        };
        let key = TokenHash::of(format!("{connector}|{}", notice.token_id).as_bytes());
        if !self.store.first_seen(LOGOUT_TOKENS, key, notice.expires_at).await? {
            let reason = "no_logout_token";
            let detail = Some("used before".to_owned());
            self.audit_logout_refusal(connector, reason, detail, origin).await?;
            return Ok(BackchannelLogout::Refused(reason));
        }
        let (subject, index) = (notice.subject.as_deref(), notice.session.as_deref());
        let over = self.store.take_upstream_sessions(connector, subject, index).await?;
        let mut ended = 0;
        for record in over {
            ended += self.end_for_upstream(&record, origin).await?;
        }
        metrics::counter!("auth_upstream_logouts_total", "connector" => connector.to_owned(), "result" => "accepted")
            .increment(1);
        Ok(BackchannelLogout::Done(ended))
    }

    async fn audit_logout_refusal(
        &self,
        connector: &str,
        reason: &str,
        detail: Option<String>,
        origin: &Origin,
    ) -> Result<(), BrokerError> {
        let mut event = AuditRecord::new(self.now(), "upstream_logout.refused")
            .refused(reason)
            .connector(connector)
            .from_request(origin);
        if let Some(detail) = detail {
            event = event.with("detail", detail);
        }
        self.note(event).await?;
        metrics::counter!("auth_upstream_logouts_total", "connector" => connector.to_owned(), "result" => "refused")
            .increment(1);
        Ok(())
    }
}
