//! Incremental reads: who changed, and who is proven to be gone.
//!
//! On Active Directory by its DirSync control where the service account may use it, else by update
//! sequence numbers, both bound to the server's invocation id; by content
//! synchronisation (RFC 4533) where the server offers it; else by `modifyTimestamp`, which sees no
//! deletion. Whatever makes a position doubtful ends in a full read.

use super::super::client::content_sync::SYNC_REQUEST;
use super::super::client::{RefreshAnswer, SHOW_DELETED};
use super::super::entry::Entry;
use super::super::failure::{Failure, FailureKind};
use super::super::filter;
use super::super::position::{ReadPosition, Source, changed_since};
use super::super::preset::Preset;
use super::super::search::{SearchAnswer, SearchRequest};
use super::super::subject::SubjectSyntax;
use super::reader::{Pages, Reader, Root};
use super::{Memberships, Population, PopulationItem};
use crate::clock::Timestamp;
use ldap3::Scope;

/// More changes than this are better read in pages: a refresh comes in one piece.
pub(super) const MAX_REFRESHED: usize = 20_000;
/// Milliseconds from 1601-01-01 to 1970-01-01.
const FILETIME_EPOCH_MILLIS: i64 = 11_644_473_600_000;

impl<'a> Population<'a> {
    /// Where the next read may go on, noted before this one begins. `None`: only by the times of
    /// the entries themselves, if at all.
    pub(super) async fn source_before(
        &mut self,
        reader: &mut Reader<'a>,
        root: &Root,
    ) -> Result<Option<Source>, Failure> {
        if self.is_active_directory() {
            let Some(invocation) = self.invocation_id(reader, root).await? else { return Ok(None) };
            let replication = self.replication_source(root, &invocation).await;
            let by_number = root.highest_usn();
            return Ok(replication
                .or_else(|| by_number.map(|usn| Source::UpdateSequence { invocation, usn })));
        }
        if !root.has_control(SYNC_REQUEST) {
            return Ok(None);
        }
        let suffix = root.naming_context_of(&self.directory.settings().base_dn);
        let attributes = ["contextCSN"];
        let request = self.directory.request(suffix, Scope::Base, "(objectClass=*)", &attributes);
        let found = reader.search_if_allowed(&request, "reading contextCSN").await?;
        let numbers = found.first().map(|entry| entry.texts("contextCSN").join(";"));
        Ok(numbers
            .filter(|numbers| !numbers.is_empty())
            .map(|numbers| Source::SyncRefresh { cookie: format!("rid=000,csn={numbers}") }))
    }

    /// Sends who changed since `position`. `None`, with nothing sent: everybody has to be read.
    pub(super) async fn changed_people(
        &mut self,
        reader: &mut Reader<'a>,
        root: &Root,
        memberships: &mut Memberships<'a>,
        position: &ReadPosition,
    ) -> Result<Option<Source>, Failure> {
        match position.source() {
            Source::ModifyTimestamp { since } if !self.is_active_directory() => {
                let changed = changed_since(*since);
                self.matching(reader, memberships, &changed, true).await?;
                self.out_of_filter(reader, &changed).await?;
                Ok(self.timestamp_source(Some(*since)))
            }
            Source::UpdateSequence { invocation, usn } if self.is_active_directory() => {
                let same = self.invocation_id(reader, root).await?.as_ref() == Some(invocation);
                let Some(highest) = root.highest_usn().filter(|highest| same && highest >= usn)
                else {
                    return Ok(None);
                };
                let changed = format!("(uSNChanged>={})", usn.saturating_add(1));
                let expired = expired_between(position.at(), self.now);
                let either = filter::any_of(&[changed.as_str(), expired.as_str()]);
                self.matching(reader, memberships, &either, false).await?;
                self.out_of_filter(reader, &changed).await?;
                self.deleted_objects(reader, root, &changed).await?;
                Ok(Some(Source::UpdateSequence { invocation: invocation.clone(), usn: highest }))
            }
            Source::Replication { invocation, cookie } if self.is_active_directory() => {
                if self.invocation_id(reader, root).await?.as_ref() != Some(invocation) {
                    return Ok(None);
                }
                let cookie =
                    self.replicated_people(reader, root, memberships, position, cookie).await?;
                let invocation = invocation.clone();
                Ok(cookie.map(|cookie| Source::Replication { invocation, cookie }))
            }
            Source::SyncRefresh { cookie } if root.has_control(SYNC_REQUEST) => {
                self.refreshed(reader, memberships, cookie).await
            }
            _ => Ok(None),
        }
    }

    /// People of the filter who changed.
    pub(super) async fn matching(
        &mut self,
        reader: &mut Reader<'a>,
        memberships: &mut Memberships<'a>,
        changed: &str,
        with_timestamps: bool,
    ) -> Result<(), Failure> {
        let user_filter = self.directory.settings().user_filter.as_str();
        let both = filter::all_of(&[user_filter, changed]);
        let request = self.people_request(&both, with_timestamps);
        self.all_people(reader, &request, "reading changed people", memberships).await?;
        // With few entries this may be their own fault, but it costs only a full read to know.
        self.somebody_is_mappable()
    }

    /// Entries that changed and are not of the filter (any more).
    async fn out_of_filter(
        &mut self,
        reader: &mut Reader<'a>,
        changed: &str,
    ) -> Result<(), Failure> {
        let settings = self.directory.settings();
        let id = settings.attributes.id.as_str();
        let others = filter::none_of(&settings.user_filter);
        let filter = filter::all_of(&[changed, &filter::present(id), &others]);
        let scope = super::super::bind::Depth::Configured.scope(settings);
        let request = self.directory.request(&settings.base_dn, scope, &filter, &[id]);
        self.send_gone(reader, &request, "reading who left the filter", "out_of_filter").await
    }

    /// What is left of deleted entries. Only an account with the right to see them does.
    async fn deleted_objects(
        &mut self,
        reader: &mut Reader<'a>,
        root: &Root,
        changed: &str,
    ) -> Result<(), Failure> {
        let settings = self.directory.settings();
        let id = settings.attributes.id.as_str();
        if SubjectSyntax::of(id) == SubjectSyntax::Text || !root.has_control(SHOW_DELETED) {
            return Ok(());
        }
        let filter = filter::all_of(&["(isDeleted=TRUE)", changed]);
        let base = root.naming_context_of(&settings.base_dn);
        let mut request = self.directory.request(base, Scope::Subtree, &filter, &[id]);
        request.deleted = true;
        self.send_gone(reader, &request, "reading deleted entries", "gone").await
    }

    async fn send_gone(
        &mut self,
        reader: &mut Reader<'a>,
        request: &SearchRequest,
        what: &'static str,
        reason: &'static str,
    ) -> Result<(), Failure> {
        let id = self.directory.settings().attributes.id.as_str();
        let syntax = SubjectSyntax::of(id);
        let mut any = false;
        let mut pages = Pages::new(request, what);
        while let Some(entries) = reader.next_page(&mut pages).await? {
            let items: Vec<_> = entries
                .iter()
                .filter_map(|entry| syntax.render(entry.first(id)?))
                .map(|subject| PopulationItem::Gone { subject, reason })
                .collect();
            any |= !items.is_empty();
            self.send(items).await?;
        }
        if any { self.somebody_matches(reader).await } else { Ok(()) }
    }

    /// Nobody is called gone by a directory in which nobody can be seen.
    pub(super) async fn somebody_matches(&self, reader: &mut Reader<'a>) -> Result<(), Failure> {
        if self.entries > self.unmappable {
            return Ok(());
        }
        if reader.anybody().await? {
            return Ok(());
        }
        let settings = self.directory.settings();
        Err(Failure::new(
            FailureKind::SearchFailed,
            format!(
                "entries changed, and nobody below base_dn matches user_filter and shows {}: check \
                 user_filter, attributes.id and the rights of the service account",
                settings.attributes.id
            ),
        ))
    }

    /// By content synchronisation. All of it is held until it is known to be an answer to the cookie.
    async fn refreshed(
        &mut self,
        reader: &mut Reader<'a>,
        memberships: &mut Memberships<'a>,
        cookie: &str,
    ) -> Result<Option<Source>, Failure> {
        let settings = self.directory.settings();
        let request = self.people_request(&settings.user_filter, false);
        let answer = reader.refresh(&request, cookie.as_bytes().to_vec(), MAX_REFRESHED).await?;
        let Some(answer) = usable(answer)? else { return Ok(None) };
        let cookie = answer
            .cookie
            .map_or_else(|| Some(cookie.to_owned()), |cookie| String::from_utf8(cookie).ok());
        let Some(cookie) = cookie else { return Ok(None) };
        let is_entry_uuid = settings.attributes.id.eq_ignore_ascii_case("entryUUID");
        if !answer.deleted.is_empty() && !is_entry_uuid {
            // Only the entryUUID of who is gone is told, and that is not the id here.
            return Ok(None);
        }
        let gone: Vec<PopulationItem> = answer
            .deleted
            .iter()
            .filter_map(|id| uuid::Uuid::from_slice(id).ok())
            .map(|id| PopulationItem::Gone { subject: id.hyphenated().to_string(), reason: "gone" })
            .collect();
        let any = !gone.is_empty();
        self.send_people(answer.entries, memberships).await?;
        self.somebody_is_mappable()?;
        if any {
            self.somebody_matches(reader).await?;
        }
        self.send(gone).await?;
        Ok(Some(Source::SyncRefresh { cookie }))
    }

    async fn invocation_id(
        &self,
        reader: &mut Reader<'a>,
        root: &Root,
    ) -> Result<Option<String>, Failure> {
        let Some(name) = root.service_name() else { return Ok(None) };
        let attributes = ["invocationId"];
        let request = self.directory.request(name, Scope::Base, "(objectClass=*)", &attributes);
        let found = reader.search_if_allowed(&request, "reading the invocation id").await?;
        let value = found.first().and_then(|entry| entry.first("invocationId"));
        Ok(value.and_then(|value| SubjectSyntax::Guid.render(value)))
    }

    fn is_active_directory(&self) -> bool {
        self.directory.settings().preset == Preset::ActiveDirectory
    }
}

/// The answer, if it is one to the cookie that was sent.
fn usable(answer: RefreshAnswer) -> Result<Option<RefreshAnswer>, Failure> {
    match answer.code {
        _ if answer.too_many => Ok(None),
        // With a cookie that it cannot use a server sends everything, and names neither what is
        // unchanged nor what is deleted.
        0 => Ok((answer.names_deleted || answer.named_unchanged).then_some(answer)),
        // Refresh required (RFC 4533 section 2.6); not offered here; not allowed; more than the
        // account may read without pages; a cookie of another server.
        2 | 4 | 11 | 12 | 50 | 53 | 4096 => Ok(None),
        code => SearchAnswer { code, diagnostic: answer.diagnostic, ..SearchAnswer::default() }
            .complete("reading changed people")
            .map(|_: Vec<Entry>| None),
    }
}

/// Accounts whose end came since the last read: nobody changed their entries.
pub(super) fn expired_between(from: Timestamp, to: Timestamp) -> String {
    let ticks = |at: Timestamp| at.millis().saturating_add(FILETIME_EPOCH_MILLIS) * 10_000;
    format!("(&(accountExpires>={})(accountExpires<={}))", ticks(from), ticks(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_counts_only_as_an_answer_to_its_cookie() {
        let check = |change: fn(&mut RefreshAnswer), expected: Option<bool>| {
            let mut answer = RefreshAnswer::default();
            change(&mut answer);
            let found = usable(answer).map(|answer| answer.is_some());
            assert_eq!(found.ok(), expected);
        };
        check(|a| a.names_deleted = true, Some(true));
        check(|a| a.named_unchanged = true, Some(true));
        check(|_| {}, Some(false));
        check(|a| (a.names_deleted, a.too_many) = (true, true), Some(false));
        for code in [2, 4, 12, 53, 4096] {
            let answer = RefreshAnswer { code, names_deleted: true, ..RefreshAnswer::default() };
            assert!(usable(answer).unwrap().is_none());
        }
        check(|a| (a.names_deleted, a.code) = (true, 51), None);
        check(|a| (a.names_deleted, a.code) = (true, 32), None);
    }

    #[test]
    fn expiry_in_ticks_of_windows() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap();
        assert_eq!(
            expired_between(at("2026-11-24T10:00:00Z"), at("2026-11-24T10:00:01Z")),
            "(&(accountExpires>=134399880000000000)(accountExpires<=134399880010000000))"
        );
    }
}
