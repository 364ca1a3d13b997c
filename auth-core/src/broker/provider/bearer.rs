//! Client sessions with one token that stands for them as long as they live: those of the
//! sessions API and of reverse proxies.

use super::redeem::JudgedCode;
use super::token::session_event;
use super::{Provider, ProviderError, RecheckVerdict};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, SessionKind};
use crate::handoff::client_session;
use crate::handoff::code::{CodeRefusal, Redemption};
use crate::handoff::session_api::{stands, wants_touch};
use crate::secret::Token;
use crate::store::{AccessTokenStatus, AccountRecord, CodeRedemption, SessionRecord};

/// A session that was just made.
pub(super) struct Bearer {
    pub(super) token: Token,
    pub(super) session: SessionRecord,
    pub(super) account: AccountRecord,
}

impl Provider {
    /// Redeems a code for a session with one token; `None` when it is refused.
    pub(super) async fn redeem_bearer(
        &self,
        client: &Client,
        presented: &Token,
        beside: Redemption<'_>,
        kind: SessionKind,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<Bearer>, ProviderError> {
        let refusal = match self.judge_code(client, presented, beside, now).await? {
            Ok(judged) => match self.write_bearer(client, judged, kind, origin, now).await? {
                Ok(bearer) => return Ok(Some(bearer)),
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        self.refuse_code(client, refusal, origin, now).await?;
        Ok(None)
    }

    async fn write_bearer(
        &self,
        client: &Client,
        judged: JudgedCode,
        kind: SessionKind,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<Bearer, CodeRefusal>, ProviderError> {
        let JudgedCode { code, browser, account } = judged;
        let id = self.new_session_id(now);
        let lengths = &self.session_lengths;
        let mut session = client_session::open(id, &browser, &code, client, lengths, now);
        kind.as_str().clone_into(&mut session.kind);
        session.expires_at = now + lengths.of_kind(client, kind);
        let (token, issue) = client_session::bearer(&session, self.random.as_ref(), now);
        let event = session_event("session.issued", client, Some(&account), &session, origin, now)
            .with("browser_session", browser.id.to_string());
        let written =
            self.store.redeem_code(code.hash, session.clone(), issue, vec![event.clone()]).await?;
        Ok(match written {
            CodeRedemption::Redeemed => {
                event.log();
                Ok(Bearer { token, session, account })
            }
            CodeRedemption::AlreadyRedeemed(session) => Err(CodeRefusal::Replayed(session)),
            CodeRedemption::Refused => Err(CodeRefusal::SessionEnded),
        })
    }

    /// The session of `client` behind a token, if it stands.
    pub(super) async fn standing_bearer(
        &self,
        client: &Client,
        token: &Token,
        now: Timestamp,
    ) -> Result<Option<AccessTokenStatus>, ProviderError> {
        let found = self.store.access_token(token.hash()).await?;
        Ok(found.filter(|status| stands(status, client, now)))
    }

    /// Asks the connector again where its last answer is too old, and notes the use. The session
    /// as it stands then; `None` when the person is not welcome any more.
    pub(super) async fn use_bearer(
        &self,
        client: &Client,
        mut status: AccessTokenStatus,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<AccessTokenStatus>, ProviderError> {
        if let Some(recheck) = &self.recheck {
            match recheck.recheck(&status.account, &status.session.connector).await {
                RecheckVerdict::Unchanged => {}
                RecheckVerdict::Updated(account) => status.account = *account,
                RecheckVerdict::Refused { reason } => {
                    self.note(extend_refused(client, &status, &reason, origin, now)).await;
                    return Ok(None);
                }
                RecheckVerdict::Unavailable => return Err(ProviderError::ConnectorUnavailable),
            }
        }
        if !stands(&status, client, now) {
            let event = extend_refused(client, &status, "group_not_allowed", origin, now);
            self.note(event).await;
            return Ok(None);
        }
        if wants_touch(&status.session, now) {
            // Revoked in between.
            if !self.store.touch_session(status.session.id, now).await? {
                return Ok(None);
            }
            status.session.last_seen_at = now;
        }
        Ok(Some(status))
    }
}

fn extend_refused(
    client: &Client,
    status: &AccessTokenStatus,
    reason: &str,
    origin: &Origin,
    now: Timestamp,
) -> AuditRecord {
    let (account, session) = (Some(&status.account), &status.session);
    session_event("session.extend_refused", client, account, session, origin, now).refused(reason)
}
