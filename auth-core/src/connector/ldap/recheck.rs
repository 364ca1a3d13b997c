//! Reading a person again: still there and allowed, gone, or nothing proven.
//!
//! "Gone" is said only when the directory proves it: nobody is called gone by a base that is not
//! there, a filter that finds nobody, or an id attribute that can no longer be read.

use super::account_state::AccountState;
use super::bind::Depth;
use super::directory::{Directory, Judged, Verdict};
use super::entry::Entry;
use super::failure::{Failure, FailureKind};
use super::filter;
use super::group_search::complete_ranges;
use super::person::Person;
use super::search::SearchRequest;
use super::server::Server;
use super::subject::SubjectSyntax;
use crate::clock::Timestamp;
use crate::connector::{ConnectorError, Present, Recheck};

/// The word for somebody who is not in the directory.
const GONE: &str = "gone";

impl Directory {
    pub(super) async fn recheck(
        &self,
        subject: &str,
        now: Timestamp,
    ) -> Result<Recheck, ConnectorError> {
        let id = &self.settings().attributes.id;
        let Some(by_id) = SubjectSyntax::of(id).filter(id, subject) else {
            let message = format!("{subject:?} is no value of {id}: was attributes.id changed?");
            return Err(Failure::new(FailureKind::SearchFailed, message).into());
        };
        let (asked, answer) = self
            .on_some_server(|server| {
                let by_id = &by_id;
                async move {
                    Ok(match self.recheck_on(&server, by_id, now).await? {
                        Verdict::Answer(answer) => Verdict::Answer((server, answer)),
                        Verdict::Refused(refusal) => Verdict::Refused(refusal),
                    })
                }
            })
            .await?;
        if answer == (Recheck::Gone { reason: GONE }) {
            self.confirm_gone(&asked, &by_id, now).await?;
        }
        Ok(answer)
    }

    /// A replica may lack people that another server has. That somebody is not there at all counts
    /// only when a second server, if there is one, says so too.
    async fn confirm_gone(
        &self,
        asked: &Server,
        by_id: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let servers = self.servers().await?;
        let others = servers.iter().filter(|other| other.url() != asked.url());
        let mut silent = Vec::new();
        for other in others {
            match self.recheck_on(other, by_id, now).await {
                Ok(Verdict::Answer(Recheck::Gone { reason: GONE })) => return Ok(()),
                Ok(_) => {
                    let message = format!(
                        "the servers disagree: {} has no entry {by_id}, {} has: check the \
                         replication between them",
                        asked.url(),
                        other.url()
                    );
                    return Err(Failure::new(FailureKind::SearchFailed, message));
                }
                Err(failure) => silent.push(failure.at(other.url()).message),
            }
        }
        if silent.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} has no entry {by_id}, and no other server confirms it: {}; mend that server, or \
             take it out of servers",
            asked.url(),
            silent.join("; ")
        );
        Err(Failure::new(FailureKind::Unavailable, message))
    }

    async fn recheck_on(&self, server: &Server, by_id: &str, now: Timestamp) -> Judged<Recheck> {
        let gone = |reason| Ok(Verdict::Answer(Recheck::Gone { reason }));
        let allowed = filter::all_of(&[self.settings().user_filter.as_str(), by_id]);
        let Some(mut entry) = self.find_by_id(server, &allowed).await? else {
            if let Some(entry) = self.find_by_id(server, by_id).await? {
                return match AccountState::of(&entry, now) {
                    AccountState::Gone(reason) => gone(reason.as_str()),
                    _ => gone("out_of_filter"),
                };
            }
            self.people_are_visible(server).await?;
            return gone(GONE);
        };
        if let AccountState::Gone(reason) = AccountState::of(&entry, now) {
            return gone(reason.as_str());
        }
        complete_ranges(server, &mut entry).await?;
        // An attribute that can no longer be read is a fault of the directory, not of the person.
        let mut person = Person::from_entry(&entry, &self.settings().attributes)
            .map_err(|error| Failure::new(FailureKind::SearchFailed, error.to_string()))?;
        self.report_unreadable(&entry, &person);
        self.complete_profile(server, &entry, &mut person.profile).await?;
        Ok(Verdict::Answer(Recheck::Present(Box::new(Present {
            profile: person.profile,
            password_changed_at: person.password_changed_at,
        }))))
    }

    /// Nobody is called gone by a directory in which the service account sees nobody at all.
    async fn people_are_visible(&self, server: &Server) -> Result<(), Failure> {
        if !self.settings().base_dn.is_empty() {
            self.base_is_readable(server).await?;
        }
        let id = self.settings().attributes.id.as_str();
        let scope = Depth::Configured.scope(self.settings());
        let anybody = filter::all_of(&[self.settings().user_filter.clone(), filter::present(id)]);
        let mut request = self.request(&self.settings().base_dn, scope, &anybody, &[id]);
        request.size_limit = 1;
        let mut answer = server.search(&request).await?;
        if answer.code == 4 {
            // The expected end when there are more than the one asked for.
            answer.code = 0;
        }
        let found = answer.complete("looking for anybody")?;
        if found.first().is_none_or(|entry| entry.first(id).is_none()) {
            let message = format!(
                "nobody below base_dn matches user_filter and shows {id}: check user_filter, \
                 attributes.id, and the rights of the service account"
            );
            return Err(Failure::new(FailureKind::SearchFailed, message));
        }
        Ok(())
    }

    async fn find_by_id(&self, server: &Server, filter: &str) -> Result<Option<Entry>, Failure> {
        let scope = Depth::Configured.scope(self.settings());
        let request = SearchRequest {
            attributes: self.attributes.clone(),
            ..self.request(&self.settings().base_dn, scope, filter, &[])
        };
        let mut found = server.search(&request).await?.complete("searching by id")?;
        if found.len() > 1 {
            let message =
                format!("{filter} finds {} entries: attributes.id is not unique", found.len());
            return Err(Failure::new(FailureKind::SearchFailed, message));
        }
        Ok(found.pop())
    }
}
