//! Signing in by a passkey alone, where it is allowed: the authenticator names the account, its
//! user was verified, and the account is let in through one of its own connectors.
//!
//! A person of a directory is looked up there first, so that whoever is disabled or gone there does
//! not come back by a passkey. An account that only an upstream identity provider vouches for
//! cannot be asked about, and signs in there.

use super::directory_facts::DirectoryFacts;
use super::first_factor::Refused;
use super::provider::RecheckVerdict;
use super::second_factor::Judged;
use super::sign_in::At;
use super::source_limit::Counted;
use super::{Broker, BrokerError, Step};
use crate::connector::{LOCAL, Recheck};
use crate::factor::PASSKEY;
use crate::factor::passkey::Assertion;
use crate::login::{CompletedLogin, PendingLogin, Stage, flow};
use crate::store::{AccountId, AccountRecord, IdentityRecord};

enum Verdict {
    Passed(Box<CompletedLogin>),
    Refused(Refused, Option<String>),
    Unavailable(&'static str),
}

enum Admitted {
    Through(String, Box<AccountRecord>),
    Refused(&'static str),
    Unavailable(&'static str),
}

impl Broker {
    pub(super) async fn passwordless(
        &self,
        login: PendingLogin,
        answer: &str,
        at: &At<'_>,
    ) -> Result<Step, BrokerError> {
        let _turn = self.sources.turn(at.origin.ip).await;
        let source = Counted::Network(at.origin.ip);
        if let Some(retry_after) = self.sources.wait(source) {
            let refused = Refused::plain("source_throttled");
            self.audit_refusal(&login, PASSKEY, "", &refused, at).await?;
            return Ok(Step::Wait { retry_after });
        }
        match self.judge_passwordless(&login, answer, at).await? {
            Verdict::Passed(completed) => self.complete(login, *completed, None, vec![], at).await,
            Verdict::Unavailable(reason) => {
                // The challenge is used up; the next attempt needs another one.
                let refused = Refused::plain(reason);
                self.begin_again(login, Stage::Credentials, &refused, at).await?;
                Ok(Step::Unavailable { reason })
            }
            Verdict::Refused(refused, account) => {
                self.sources.refused(source);
                let account = account.unwrap_or_default();
                self.audit_refusal(&login, PASSKEY, &account, &refused, at).await?;
                self.observe(PASSKEY, "refused", at.begun);
                tokio::time::sleep_until(at.begun + self.settings.refusal_floor).await;
                self.begin_again(login, Stage::Credentials, &refused, at).await
            }
        }
    }

    async fn judge_passwordless(
        &self,
        login: &PendingLogin,
        answer: &str,
        at: &At<'_>,
    ) -> Result<Verdict, BrokerError> {
        let refuse = |reason| Ok(Verdict::Refused(Refused::plain(reason), None));
        let allowed = self.passkeys.as_ref().is_some_and(|passkeys| passkeys.is_passwordless());
        let Some(ceremony) = self.ceremony_of(login)?.filter(|_| allowed) else {
            return Err(BrokerError::FormToken);
        };
        let assertion = match Assertion::parse(answer) {
            Ok(assertion) => assertion,
            Err(refusal) => return refuse(refusal.as_str()),
        };
        let Some(id) = assertion.account().map(AccountId) else { return refuse("passkey_wrong") };
        let Some(account) = self.store.account(id).await? else { return refuse("unknown_user") };
        let name = Some(account.username.clone());
        let refuse = |reason| Ok(Verdict::Refused(Refused::plain(reason), name.clone()));
        if !account.active {
            return refuse("account_inactive");
        }
        if login.request().account.is_some_and(|only| only != account.id) {
            return refuse("another_account");
        }
        // The signature is judged, and used up, before a directory is asked about anybody.
        let passed = match self.judge_passkey(&account, ceremony, &assertion, at).await? {
            Judged::Passed(passed) => passed,
            Judged::Refused(refused) => return Ok(Verdict::Refused(refused, name)),
        };
        match self.admitted_through(login, account, at).await? {
            Admitted::Refused(reason) => refuse(reason),
            Admitted::Unavailable(reason) => Ok(Verdict::Unavailable(reason)),
            Admitted::Through(connector, account) => {
                match flow::passwordless(&passed, *account, &connector, at.now) {
                    Some(completed) => Ok(Verdict::Passed(Box::new(completed))),
                    None => refuse("account_inactive"),
                }
            }
        }
    }

    /// The connector that lets the account in: a directory that says it is still welcome, else
    /// the local one.
    async fn admitted_through(
        &self,
        login: &PendingLogin,
        account: AccountRecord,
        at: &At<'_>,
    ) -> Result<Admitted, BrokerError> {
        let identities = self.store.identities(&[account.id]).await?;
        let (local, others): (Vec<_>, Vec<_>) = identities
            .into_iter()
            .filter(|identity| login.allows_connector(&identity.connector))
            .partition(|identity| identity.connector == LOCAL);
        for identity in others {
            let IdentityRecord { connector, subject, .. } = &identity;
            match self.ask_about(connector, subject, at.now).await {
                Ok(None) => {}
                Ok(Some(Recheck::Gone { reason })) => {
                    self.note_gone(&account, connector, reason, at.now).await;
                    return Ok(Admitted::Refused(reason));
                }
                Ok(Some(Recheck::Present(present))) => {
                    let facts = DirectoryFacts::of(connector, subject, &present);
                    // A changed password ends older sessions; the passkey is still the person's.
                    self.note_facts(&account, &facts, at.origin, at.now).await?;
                    let noted = self.note_present(&account, &identity, &present, at.now).await;
                    let account = match noted {
                        RecheckVerdict::Updated(account) => *account,
                        RecheckVerdict::Unavailable => {
                            return Ok(Admitted::Unavailable("store_unavailable"));
                        }
                        RecheckVerdict::Refused { .. } => {
                            return Ok(Admitted::Refused("account_inactive"));
                        }
                        RecheckVerdict::Unchanged => {
                            self.store.account(account.id).await?.unwrap_or(account)
                        }
                    };
                    return Ok(Admitted::Through(connector.clone(), Box::new(account)));
                }
                Err(cause) => {
                    tracing::error!(connector, cause, "directory not asked at a passkey login");
                    return Ok(Admitted::Unavailable("directory_unavailable"));
                }
            }
        }
        if !local.is_empty() && self.connectors.local.is_some() {
            return Ok(Admitted::Through(LOCAL.to_owned(), Box::new(account)));
        }
        Ok(Admitted::Refused("passwordless_not_possible"))
    }
}
