//! One connection of its own for a read of everybody, apart from the pools that logins need.
//!
//! It counts the searches, completes attributes that the server sent in part, and takes nothing
//! for the whole that the server did not call complete.

use ldap3::Scope;

use super::super::bind::Depth;
use super::super::client::{Connection, DirSyncAnswer, RefreshAnswer};
use super::super::directory::Directory;
use super::super::dn;
use super::super::entry::Entry;
use super::super::failure::{Failure, FailureKind};
use super::super::filter;
use super::super::group_search::{add_piece, next_piece};
use super::super::search::SearchRequest;
use super::super::server::Server;

/// No honest server sends so many pages without an entry one after the other.
const MAX_EMPTY_PAGES: u32 = 1000;

/// The connection.
pub(in crate::connector::ldap) struct Reader<'a> {
    connection: Connection,
    directory: &'a Directory,
    searches: u64,
}

/// What the server says of itself (RFC 4512 section 5.1).
#[derive(Debug, Default)]
pub(super) struct Root {
    entry: Entry,
}

impl<'a> Reader<'a> {
    /// Connects, binds the service account and looks for the base entry.
    pub(in crate::connector::ldap) async fn open(
        directory: &'a Directory,
        server: &Server,
    ) -> Result<Self, Failure> {
        let connection = server.open_reader().await?;
        let mut reader = Self { connection, directory, searches: 0 };
        let base = &directory.settings().base_dn;
        if !base.is_empty() {
            let request = directory.request(base, Scope::Base, "(objectClass=*)", &["1.1"]);
            if reader.search(&request, "reading base_dn").await?.is_empty() {
                let message = "base_dn is not visible to the service account: check its rights";
                return Err(Failure::new(FailureKind::SearchFailed, message));
            }
        }
        Ok(reader)
    }

    /// Search requests so far.
    pub(super) const fn searches(&self) -> u64 {
        self.searches
    }

    /// What the server says of itself.
    pub(super) async fn root(&mut self) -> Result<Root, Failure> {
        let attributes =
            ["dsServiceName", "highestCommittedUSN", "namingContexts", "supportedControl"];
        let request = self.directory.request("", Scope::Base, "(objectClass=*)", &attributes);
        let found = self.search(&request, "reading the root entry").await?;
        Ok(Root { entry: found.into_iter().next().unwrap_or_default() })
    }

    /// A search without pages, for few entries.
    pub(super) async fn search(
        &mut self,
        request: &SearchRequest,
        what: &str,
    ) -> Result<Vec<Entry>, Failure> {
        self.searches += 1;
        let answer = self.connection.search(request).await;
        answer.map_err(|failure| failure.during(what))?.complete(what)
    }

    /// As [`Reader::search`], but an entry that is missing or hidden is no failure.
    pub(super) async fn search_if_allowed(
        &mut self,
        request: &SearchRequest,
        what: &str,
    ) -> Result<Vec<Entry>, Failure> {
        self.searches += 1;
        let answer = self.connection.search(request).await;
        let answer = answer.map_err(|failure| failure.during(what))?;
        if matches!(answer.code, 10 | 32 | 50) { Ok(Vec::new()) } else { answer.complete(what) }
    }

    /// What changed since a cookie (RFC 4533).
    pub(super) async fn refresh(
        &mut self,
        request: &SearchRequest,
        cookie: Vec<u8>,
        limit: usize,
    ) -> Result<RefreshAnswer, Failure> {
        self.searches += 1;
        let answer = self.connection.refresh(request, cookie, limit).await;
        answer.map_err(|failure| failure.during("reading changed people"))
    }

    /// The next part of what changed since a cookie (Active Directory's DirSync).
    pub(super) async fn dir_sync(
        &mut self,
        request: &SearchRequest,
        cookie: &[u8],
    ) -> Result<DirSyncAnswer, Failure> {
        self.searches += 1;
        let answer = self.connection.dir_sync(request, cookie).await;
        answer.map_err(|failure| failure.during("reading changed entries"))
    }

    /// Whether anybody matches `user_filter` and shows the id.
    pub(super) async fn anybody(&mut self) -> Result<bool, Failure> {
        let settings = self.directory.settings();
        let id = settings.attributes.id.as_str();
        let scope = Depth::Configured.scope(settings);
        let wanted = filter::all_of(&[settings.user_filter.clone(), filter::present(id)]);
        let mut request = self.directory.request(&settings.base_dn, scope, &wanted, &[id]);
        request.size_limit = 1;
        self.searches += 1;
        let what = "looking for anybody";
        let answer = self.connection.search(&request).await;
        let mut answer = answer.map_err(|failure| failure.during(what))?;
        if answer.code == 4 {
            // The expected end when there are more than the one asked for.
            answer.code = 0;
        }
        Ok(answer.complete(what)?.first().is_some_and(|entry| entry.first(id).is_some()))
    }

    /// The next page of a search; `None` after the last one.
    pub(in crate::connector::ldap) async fn next_page(
        &mut self,
        pages: &mut Pages<'_>,
    ) -> Result<Option<Vec<Entry>>, Failure> {
        let Some(cookie) = pages.cookie.take() else { return Ok(None) };
        pages.page += 1;
        self.searches += 1;
        let size = self.directory.settings().page_size;
        let what = format!("{}, page {} after {} entries", pages.what, pages.page, pages.entries);
        let first = cookie.is_empty();
        let answer = self.connection.page(pages.request, size, cookie).await;
        let mut answer = answer.map_err(|failure| failure.during(&what))?;
        let (cookie, paged) = (std::mem::take(&mut answer.cookie), answer.paged);
        if !answer.references.is_empty() {
            tracing::debug!(references = ?answer.references, "references are not followed");
        }
        let mut entries = answer.complete(&what)?;
        if !first && !paged {
            return Err(Failure::new(
                FailureKind::SearchFailed,
                format!("{what}: the server stopped paging in the middle: what it sent may be cut"),
            ));
        }
        pages.entries += entries.len();
        pages.empty = if entries.is_empty() { pages.empty + 1 } else { 0 };
        if pages.empty > MAX_EMPTY_PAGES {
            return Err(Failure::new(
                FailureKind::SearchFailed,
                format!("{what}: the server sends empty pages without end"),
            ));
        }
        pages.cookie = Some(cookie).filter(|cookie| !cookie.is_empty());
        for entry in &mut entries {
            let mut pieces = 0;
            while let Some((cut, request)) = next_piece(entry, &mut pieces)? {
                self.searches += 1;
                add_piece(entry, &cut, self.connection.search(&request).await?)?;
            }
        }
        Ok(Some(entries))
    }
}

/// A search in pages under way.
pub(in crate::connector::ldap) struct Pages<'r> {
    request: &'r SearchRequest,
    what: &'static str,
    /// Empty: nothing was asked yet. `None`: the last page came.
    cookie: Option<Vec<u8>>,
    page: u32,
    empty: u32,
    entries: usize,
}

impl<'r> Pages<'r> {
    /// A search that has not begun; `what` is for messages.
    pub(in crate::connector::ldap) const fn new(
        request: &'r SearchRequest,
        what: &'static str,
    ) -> Self {
        Self { request, what, cookie: Some(Vec::new()), page: 0, empty: 0, entries: 0 }
    }
}

impl Root {
    /// Whether the server knows a control.
    pub(super) fn has_control(&self, oid: &str) -> bool {
        self.entry.texts("supportedControl").contains(&oid)
    }

    /// The highest update sequence number (Active Directory).
    pub(super) fn highest_usn(&self) -> Option<u64> {
        self.entry.text("highestCommittedUSN").ok()??.parse().ok()
    }

    /// The entry that holds the server's invocation id (Active Directory).
    pub(super) fn service_name(&self) -> Option<&str> {
        self.entry.text("dsServiceName").ok()?
    }

    /// The suffix that `base` lies in; `base` itself when the server names none.
    pub(super) fn naming_context_of<'b>(&'b self, base: &'b str) -> &'b str {
        dn::longest_suffix(&self.entry.texts("namingContexts"), base)
    }
}
