//! The refresh grant: rotation by compare-and-swap, siblings, and the end of a reused family.

use super::account_recheck::RecheckVerdict;
use super::token::{Answer, respond, session_event};
use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::Client;
use crate::handoff::client_session;
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::refresh::{RefreshDecision, RefreshRefusal, decide};
use crate::handoff::scope::Scope;
use crate::handoff::token::{TokenResponse, refreshed_scope};
use crate::secret::{Token, TokenHash};
use crate::store::{AccountRecord, RefreshRotation, RefreshTokenStatus};

/// How often a request looks again after another one was quicker. Each round ends in another
/// answer (first use, then sibling, then reuse), so more than a few cannot happen.
const ROUNDS: usize = 4;

impl Provider {
    pub(super) async fn refresh(
        &self,
        client: &Client,
        presented: &Token,
        asked: Option<Scope>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenResponse, OAuthError> {
        let hash = presented.hash();
        for _ in 0..ROUNDS {
            let found = self.store.refresh_token(hash).await.map_err(ProviderError::from)?;
            let Some(status) = found else {
                let event = refused(client, "refresh_token_unknown", origin, now);
                self.note(event).await;
                return Err(OAuthError::invalid_grant());
            };
            let first_use = match decide(&status, client, now) {
                RefreshDecision::Rotate => true,
                RefreshDecision::Sibling => false,
                RefreshDecision::Reused => {
                    return Err(self.end_family(client, &status, origin, now).await);
                }
                RefreshDecision::Refused(refusal) => {
                    let event = refused(client, refusal.as_str(), origin, now)
                        .account(&status.account.username)
                        .with("session", status.session.id.to_string());
                    self.note(event).await;
                    return Err(OAuthError::invalid_grant());
                }
            };
            let account = self.recheck(client, &status, origin, now).await?;
            let account = account.as_ref().unwrap_or(&status.account);
            if !client.allows_groups(&account.groups) {
                let event = refused(client, RefreshRefusal::Groups.as_str(), origin, now)
                    .account(&account.username)
                    .with("session", status.session.id.to_string());
                self.note(event).await;
                return Err(OAuthError::invalid_grant());
            }
            let attempt = Attempt { client, status: &status, account, hash, first_use };
            if let Some(response) =
                self.rotate_refresh_token(attempt, asked.clone(), origin, now).await?
            {
                return Ok(response);
            }
        }
        Err(ProviderError::Contention("the refresh token").into())
    }

    /// Asks the connector whether the person is still welcome. `Some` is the account as it is
    /// now, where it changed.
    async fn recheck(
        &self,
        client: &Client,
        status: &RefreshTokenStatus,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<AccountRecord>, OAuthError> {
        let Some(recheck) = &self.recheck else { return Ok(None) };
        match recheck.recheck(&status.account, &status.session.connector).await {
            RecheckVerdict::Unchanged => Ok(None),
            RecheckVerdict::Updated(account) => Ok(Some(*account)),
            RecheckVerdict::Refused { reason } => {
                let event = refused(client, &reason, origin, now)
                    .account(&status.account.username)
                    .connector(&status.session.connector)
                    .with("session", status.session.id.to_string());
                self.note(event).await;
                Err(OAuthError::invalid_grant())
            }
            RecheckVerdict::Unavailable => Err(ProviderError::ConnectorUnavailable.into()),
        }
    }

    /// Writes the new tokens; `None` when another request was quicker.
    async fn rotate_refresh_token(
        &self,
        attempt: Attempt<'_>,
        asked: Option<Scope>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<TokenResponse>, OAuthError> {
        let Attempt { client, status, account, hash, first_use } = attempt;
        let session = &status.session;
        let granted = client.narrow_scope(&Scope::of_stored(&session.scope));
        let scope = refreshed_scope(granted, asked)?;
        let random = self.random.as_ref();
        let tokens = client_session::issue_tokens(session, &scope, client, Some(hash), random, now);
        let answer = Answer {
            client,
            account,
            session,
            scope: &scope,
            nonce: None,
            refreshed: true,
            tokens: &tokens,
        };
        let id_token = self.sign_id_token(&answer, now).await?;
        let name = "token.refresh_sibling";
        let audit = if first_use {
            Vec::new()
        } else {
            vec![session_event(name, client, Some(account), session, origin, now)]
        };
        let rotation = RefreshRotation {
            presented: hash,
            first_use,
            now,
            issue: tokens.records.clone(),
            audit: audit.clone(),
        };
        let written =
            self.store.rotate_refresh_token(rotation).await.map_err(ProviderError::from)?;
        if !written {
            return Ok(None);
        }
        audit.iter().for_each(AuditRecord::log);
        Ok(Some(respond(client, tokens, id_token, scope, now)))
    }

    async fn end_family(
        &self,
        client: &Client,
        status: &RefreshTokenStatus,
        origin: &Origin,
        now: Timestamp,
    ) -> OAuthError {
        let (name, reason) = ("token.refresh_reused", "refresh_token_reused");
        let event =
            session_event(name, client, Some(&status.account), &status.session, origin, now)
                .refused(reason);
        match self.end_session(status.session.id, reason, event, now).await {
            Ok(()) => OAuthError::invalid_grant(),
            Err(error) => error.into(),
        }
    }
}

/// One try to rotate what was read.
struct Attempt<'a> {
    client: &'a Client,
    status: &'a RefreshTokenStatus,
    account: &'a AccountRecord,
    hash: TokenHash,
    first_use: bool,
}

fn refused(client: &Client, reason: &str, origin: &Origin, now: Timestamp) -> AuditRecord {
    AuditRecord::new(now, "token.refresh_refused")
        .refused(reason)
        .client(client.id())
        .from_request(origin)
}
