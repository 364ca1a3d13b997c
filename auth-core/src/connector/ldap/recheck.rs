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
        self.on_some_server(|server| self.recheck_on(server, &by_id, now)).await
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
            return gone("gone");
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
