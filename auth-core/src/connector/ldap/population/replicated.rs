//! Incremental reads by Active Directory's DirSync control, where the service account has the right
//! to replicate (`DS-Replication-Get-Changes` on the domain).
//!
//! It names every entry of the domain that changed, moved or was deleted, with what changed of it
//! alone. People among them are read whole, in pages; who changed and is not found then has left
//! the base or the filter. An odd answer, a cookie that is not taken, or too many changes end in a
//! full read.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ldap3::Scope;

use super::super::client::{DIR_SYNC, DirSyncAnswer};
use super::super::failure::Failure;
use super::super::filter;
use super::super::position::{ReadPosition, Source};
use super::super::search::SearchRequest;
use super::super::subject::SubjectSyntax;
use super::changes::{MAX_REFRESHED, expired_between};
use super::reader::{Pages, Reader, Root};
use super::{Memberships, Population, PopulationItem};

/// The one id that names deleted entries too.
const ID: &str = "objectGUID";
/// A full read is quicker than more than this.
const PATIENCE: Duration = Duration::from_secs(300);
/// In bytes. It has a part for each domain controller; the position is kept in the store.
const MAX_COOKIE: usize = 64 * 1024;
/// People that are looked for in one search.
const TOGETHER: usize = 200;

/// What changed, by id: whether the entry is deleted now.
#[derive(Debug, Default)]
struct Replicated {
    cookie: Vec<u8>,
    deleted: HashMap<String, bool>,
}

/// Why changes cannot be told.
enum Refusal {
    /// With a result code of the server.
    Refused(String),
    /// Anything else.
    Failed(String),
}

impl<'a> Population<'a> {
    /// Where the next read may go on; `None` where the service account may not replicate.
    pub(super) async fn replication_source(
        &mut self,
        root: &Root,
        invocation: &str,
    ) -> Option<Source> {
        let settings = self.directory.settings();
        if !settings.attributes.id.eq_ignore_ascii_case(ID) || !root.has_control(DIR_SYNC) {
            return None;
        }
        // Nothing has this id: only the cookie at the end is wanted.
        let nothing = format!("({ID}={})", filter::escape_bytes(&[0; 16]));
        let request = self.replication_request(root, &nothing);
        let found = match self.replicated(&request, Vec::new()).await {
            Ok(found) => found,
            Err(Refusal::Refused(refused)) => {
                tracing::info!(
                    directory = %settings.id, refused,
                    "changes are found by update sequence numbers: with the right \"Replicating \
                     Directory Changes\" the service account would see deletions and moves at once"
                );
                return None;
            }
            Err(Refusal::Failed(error)) => {
                tracing::warn!(
                    directory = %settings.id, error,
                    "DirSync failed: changes are found by update sequence numbers"
                );
                return None;
            }
        };
        let cookie = STANDARD.encode(found.cookie);
        Some(Source::Replication { invocation: invocation.to_owned(), cookie })
    }

    /// Sends who changed since `cookie`. `None`, with nothing sent: everybody has to be read.
    pub(super) async fn replicated_people(
        &mut self,
        reader: &mut Reader<'a>,
        root: &Root,
        memberships: &mut Memberships<'a>,
        position: &ReadPosition,
        cookie: &str,
    ) -> Result<Option<String>, Failure> {
        let Ok(cookie) = STANDARD.decode(cookie) else { return Ok(None) };
        let request = self.replication_request(root, "(objectClass=*)");
        let found = match self.replicated(&request, cookie).await {
            Ok(found) => found,
            Err(Refusal::Refused(error) | Refusal::Failed(error)) => {
                let directory = &self.directory.settings().id;
                tracing::warn!(directory, error, "changes cannot be told: everybody is read");
                return Ok(None);
            }
        };
        // Nobody changed an entry whose end came.
        let expired = expired_between(position.at(), self.now);
        self.matching(reader, memberships, &expired, false).await?;
        let (deleted, changed): (Vec<_>, Vec<_>) =
            found.deleted.into_iter().partition(|(_, deleted)| *deleted);
        let changed: Vec<String> = changed.into_iter().map(|(id, _)| id).collect();
        let mut gone = Vec::new();
        for together in changed.chunks(TOGETHER) {
            let seen = self.whole(reader, memberships, together).await?;
            let missing = together.iter().filter(|id| !seen.contains(*id)).cloned();
            gone.extend(missing.map(|subject| (subject, "out_of_filter")));
        }
        self.somebody_is_mappable()?;
        gone.extend(deleted.into_iter().map(|(subject, _)| (subject, "gone")));
        if !gone.is_empty() {
            self.somebody_matches(reader).await?;
        }
        let items = gone.into_iter();
        self.send(
            items.map(|(subject, reason)| PopulationItem::Gone { subject, reason }).collect(),
        )
        .await?;
        Ok(Some(STANDARD.encode(found.cookie)))
    }

    /// Everything of the domain: the control is good at its root alone.
    fn replication_request(&self, root: &Root, filter: &str) -> SearchRequest {
        let base = root.naming_context_of(&self.directory.settings().base_dn);
        self.directory.request(base, Scope::Subtree, filter, &[])
    }

    /// All that changed since the cookie, or why that cannot be told. On a connection of its own: a
    /// server that takes too long over it costs this way of finding changes, and not the read.
    async fn replicated(
        &mut self,
        request: &SearchRequest,
        cookie: Vec<u8>,
    ) -> Result<Replicated, Refusal> {
        let opened = Reader::open(self.directory, &self.server).await;
        let mut reader = opened.map_err(|failure| Refusal::Failed(failure.message))?;
        let found = parts(&mut reader, request, cookie).await;
        self.searches_apart += reader.searches();
        found
    }

    /// Sends those of these entries that are people now; gives the ids that it found.
    async fn whole(
        &mut self,
        reader: &mut Reader<'a>,
        memberships: &mut Memberships<'a>,
        ids: &[String],
    ) -> Result<HashSet<String>, Failure> {
        let named: Vec<String> =
            ids.iter().filter_map(|id| SubjectSyntax::Guid.filter(ID, id)).collect();
        let user_filter = self.directory.settings().user_filter.as_str();
        let either = filter::any_of(&named);
        let request = self.people_request(&filter::all_of(&[user_filter, either.as_str()]), false);
        let mut seen = HashSet::new();
        let mut pages = Pages::new(&request, "reading changed people");
        while let Some(entries) = reader.next_page(&mut pages).await? {
            let ids = entries.iter().filter_map(|entry| entry.first(ID));
            seen.extend(ids.filter_map(|id| SubjectSyntax::Guid.render(id)));
            self.send_people(entries, memberships).await?;
        }
        Ok(seen)
    }
}

/// Reads part after part. An entry may be in several: what the last one says counts.
async fn parts(
    reader: &mut Reader<'_>,
    request: &SearchRequest,
    cookie: Vec<u8>,
) -> Result<Replicated, Refusal> {
    let begun = Instant::now();
    let mut found = Replicated { cookie, ..Replicated::default() };
    let failed = |problem: String| Err(Refusal::Failed(problem));
    while begun.elapsed() < PATIENCE {
        let answer = reader.dir_sync(request, &found.cookie).await;
        let answer = answer.map_err(|failure| Refusal::Failed(failure.message))?;
        let DirSyncAnswer { search, next } = answer;
        if search.code != 0 {
            return Err(Refusal::Refused(format!("result {}: {}", search.code, search.diagnostic)));
        }
        let Some((cookie, more)) = next else { return failed("the answer has no cookie".into()) };
        if cookie.len() > MAX_COOKIE {
            return failed(format!(
                "the cookie has {} bytes, more than {MAX_COOKIE}",
                cookie.len()
            ));
        }
        found.cookie = cookie;
        for entry in &search.entries {
            let id = entry.first(ID).and_then(|id| SubjectSyntax::Guid.render(id));
            let Some(id) = id else {
                return failed(format!("a changed entry has no {ID}: {}", entry.dn));
            };
            found.deleted.insert(id, entry.is_true("isDeleted"));
        }
        if found.deleted.len() > MAX_REFRESHED {
            return failed(format!("more than {MAX_REFRESHED} changes"));
        }
        if !more {
            return Ok(found);
        }
    }
    failed(format!("the parts did not end within {} seconds", PATIENCE.as_secs()))
}
