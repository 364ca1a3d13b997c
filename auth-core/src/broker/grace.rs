//! Putting off the enrolment that the policy asks for.

use super::first_factor::Refused;
use super::sign_in::At;
use super::{Broker, BrokerError, Step};
use crate::audit::AuditRecord;
use crate::factor::{Postponed, Postponement};
use crate::login::flow;
use crate::login::{FirstFactor, PendingLogin, Stage};
use crate::store::{PostponementRecord, SessionId};

impl Broker {
    /// What a person who has to enrol may still put off; nothing where the client itself asks for
    /// two factors.
    pub(super) async fn postponement(
        &self,
        login: &PendingLogin,
        first: &FirstFactor,
    ) -> Result<Option<Postponement>, BrokerError> {
        let rule = self.settings.mfa.grace.filter(|_| !login.request().two_factors);
        if rule.is_none() {
            return Ok(None);
        }
        let noted = self.store.postponements(first.account()).await?;
        Ok(Postponement::offered(rule, &noted, self.now()))
    }

    /// Ends the login without the enrolment, if the store notes that it was put off once more.
    pub(super) async fn postpone(
        &self,
        mut login: PendingLogin,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let (Stage::Enrolment { first, .. }, Some(rule)) =
            (login.take_stage(), self.settings.mfa.grace)
        else {
            return Err(BrokerError::FormToken);
        };
        let Some(account) = self.still_welcome(&login, &first, at).await? else {
            return Err(BrokerError::FormToken);
        };
        let demand = self.demand(&login, &first, &account, at).await?;
        if demand.two_factors_asked || demand.enrolled {
            return Err(BrokerError::FormToken);
        }
        // Counted before the login ends: two tabs cannot share one postponement.
        let session = SessionId(self.new_id(at.now));
        let note = PostponementRecord { account: account.id, session, at: at.now };
        let noted = self.store.postpone_enrolment(note, rule).await?;
        let Some(postponed) = Postponed::noted(noted, account.id) else {
            let refused = Refused::plain("grace_over");
            let connector = first.connector().to_owned();
            self.audit_refusal(&login, &connector, &account.username, &refused, at).await?;
            return self.asked_again(at, refused.notice).await;
        };
        let event = AuditRecord::new(at.now, "factor.enrolment_postponed")
            .account(&account.username)
            .connector(first.connector())
            .from_request(at.origin)
            .with("session", session.to_string());
        match flow::after_postponement(first, account, &postponed, &demand) {
            Some(done) => {
                self.complete_as(session, login, done, None, vec![event], vec![], at).await
            }
            None => Err(BrokerError::FormToken),
        }
    }
}
