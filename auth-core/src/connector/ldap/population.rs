//! Reading everybody: in pages, and never one search for each person.
//!
//! Group entries and the matches of the role filters are read once and held; people stream
//! through. Each is mapped exactly as a login or a recheck would map them. A read counts only when
//! every page and every further search ended with success: until [`LdapConnector::read_people`]
//! returns, nothing that it sent proves anything.
//!
//! An incremental read brings who changed. It becomes a full one when its position does not fit
//! the server or the settings, or when groups or roles changed: who lost a membership cannot be
//! seen in the person's own entry.

mod changes;
mod memberships;
mod reader;
mod replicated;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::Sender;

use super::LdapConnector;
use super::account_state::AccountState;
use super::bind::Depth;
use super::directory::{Directory, Verdict};
use super::entry::Entry;
use super::failure::{Failure, FailureKind};
use super::person::Person;
use super::position::{ReadPosition, Source};
use super::preset::Preset;
use super::search::SearchRequest;
use super::server::Server;
use crate::clock::Timestamp;
use crate::connector::{ConnectorError, Profile};
use memberships::Memberships;
pub(super) use reader::{Pages, Reader};

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// Everybody.
    Full,
    /// Who changed since an earlier read, where that can be known; else everybody.
    Since(&'a ReadPosition),
}

/// One entry, mapped, with groups and roles right, exactly as a login or a recheck would map it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryPerson {
    /// The stable id.
    pub subject: String,
    /// The distinguished name, for messages.
    pub dn: String,
    /// What the person's account is made of.
    pub profile: Profile,
    /// Whether the person may have an active account.
    pub state: PersonState,
    /// What the directory says of the last change of the password; opaque, to be compared.
    pub changed_password_at: Option<String>,
}

/// Whether somebody is to be deactivated. A temporary lockout, or a password to be changed, is
/// `Active`: anyone could cause the first by typing wrong passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonState {
    /// May have an active account.
    Active,
    /// Disabled or expired by an administrator, with the word for the audit trail.
    Inactive(&'static str),
}

/// What a read sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PopulationItem {
    /// Somebody who matches `user_filter`.
    Person(Box<DirectoryPerson>),
    /// An entry of the filter that cannot be mapped. Whoever it is, is not gone.
    Unmappable {
        /// Its distinguished name.
        dn: String,
        /// The attribute that is missing or cannot be used.
        attribute: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Of an incremental read only: proven to be no longer in the filter or in the directory.
    Gone {
        /// The stable id; it may be of an entry that never was a person.
        subject: String,
        /// The word for the audit trail.
        reason: &'static str,
    },
}

/// A read that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopulationRead {
    /// Whether only changes were read.
    pub incremental: bool,
    /// Entries of people that were read, those that cannot be mapped included.
    pub entries: u64,
    /// Search requests that were sent, each page counted.
    pub searches: u64,
    /// Entries that cannot be mapped.
    pub unmappable: u64,
    /// Where the next incremental read goes on; `None`: this server gives no such thing.
    pub position: Option<ReadPosition>,
    /// The server that was read from.
    pub server: String,
}

impl LdapConnector {
    /// Reads people and sends pages of items. The receiver must treat nothing as true before this
    /// returned `Ok`. A full read never sends [`PopulationItem::Gone`]; after it, whoever was not
    /// sent is gone, unless some entry could not be mapped.
    ///
    /// # Errors
    /// `Unavailable`, with what to do, when no server could be asked, when a search did not end
    /// with success, or when what was read cannot be the whole: nobody at all, or nobody with a
    /// readable id.
    pub async fn read_people(
        &self,
        reading: Reading<'_>,
        now: Timestamp,
        items: Sender<Vec<PopulationItem>>,
    ) -> Result<PopulationRead, ConnectorError> {
        let directory = &self.directory;
        let first = match reading {
            Reading::Full => None,
            Reading::Since(position) => Some(position.server()),
        };
        let (reader, server) = directory
            .on_some_server_but_first(first, |server| async move {
                Ok(Verdict::Answer((Reader::open(directory, &server).await?, server)))
            })
            .await?;
        let population = Population {
            directory,
            server: Arc::clone(&server),
            now,
            items,
            entries: 0,
            unmappable: 0,
            unreadable: 0,
            latest: None,
            searches_apart: 0,
            begun: Instant::now(),
        };
        population.read(reader, reading).await.map_err(|failure| {
            let failure = failure.at(server.url());
            if failure.kind.fails_over() {
                directory.mark_down(&server);
            }
            tracing::warn!(
                directory = %directory.settings().id, reason = failure.kind.reason(),
                error = %failure.message, "the read of all people failed"
            );
            failure.into()
        })
    }
}

/// A read under way.
struct Population<'a> {
    directory: &'a Directory,
    server: Arc<Server>,
    now: Timestamp,
    items: Sender<Vec<PopulationItem>>,
    entries: u64,
    unmappable: u64,
    unreadable: u64,
    /// The latest `modifyTimestamp` seen.
    latest: Option<Timestamp>,
    /// Search requests on other connections than the read's own.
    searches_apart: u64,
    begun: Instant,
}

impl<'a> Population<'a> {
    async fn read(
        mut self,
        mut reader: Reader<'a>,
        reading: Reading<'_>,
    ) -> Result<PopulationRead, Failure> {
        let root = reader.root().await?;
        let mut memberships = self.memberships(&mut reader, &root).await?;
        let groups = memberships.graph.digest();
        let roles = memberships.roles_digest();
        let settings = self.directory.settings();
        if let Reading::Since(position) = reading
            && position.fits(settings, self.server.url(), self.now)
            && position.memberships_are(&groups, &roles)
            && let Some(source) =
                self.changed_people(&mut reader, &root, &mut memberships, position).await?
        {
            let position =
                ReadPosition::new(settings, self.server.url(), self.now, &groups, &roles, source);
            return Ok(self.done(&reader, true, Some(position)));
        }
        let before = self.source_before(&mut reader, &root).await?;
        self.everybody(&mut reader, &mut memberships, before.is_none()).await?;
        let source = before.or_else(|| self.timestamp_source(None));
        let position = source.map(|source| {
            ReadPosition::new(settings, self.server.url(), self.now, &groups, &roles, source)
        });
        Ok(self.done(&reader, false, position))
    }

    fn done(
        &self,
        reader: &Reader<'_>,
        incremental: bool,
        position: Option<ReadPosition>,
    ) -> PopulationRead {
        if self.unreadable > 0 {
            tracing::warn!(
                directory = %self.directory.settings().id, entries = self.unreadable,
                "values that are no text, or far too long, were left out"
            );
        }
        PopulationRead {
            incremental,
            entries: self.entries,
            searches: reader.searches() + self.searches_apart,
            unmappable: self.unmappable,
            position,
            server: self.server.url().to_owned(),
        }
    }

    /// Everybody who matches `user_filter`, in pages.
    async fn everybody(
        &mut self,
        reader: &mut Reader<'a>,
        memberships: &mut Memberships<'a>,
        with_timestamps: bool,
    ) -> Result<(), Failure> {
        let settings = self.directory.settings();
        let request = self.people_request(&settings.user_filter, with_timestamps);
        self.all_people(reader, &request, "reading people", memberships).await?;
        let filter = &settings.user_filter;
        if self.entries == 0 {
            return Err(Failure::new(
                FailureKind::SearchFailed,
                format!(
                    "{filter} finds nobody below {:?}: check base_dn, user_filter and the rights of \
                     the service account",
                    settings.base_dn
                ),
            ));
        }
        self.somebody_is_mappable()
    }

    /// Maps and sends a search's pages; one is worked on while the next one is fetched.
    async fn all_people(
        &mut self,
        reader: &mut Reader<'a>,
        request: &SearchRequest,
        what: &'static str,
        memberships: &mut Memberships<'a>,
    ) -> Result<(), Failure> {
        let mut pages = Pages::new(request, what);
        let mut page = reader.next_page(&mut pages).await?;
        while let Some(entries) = page {
            let (next, sent) =
                tokio::join!(reader.next_page(&mut pages), self.send_people(entries, memberships));
            sent?;
            page = next?;
        }
        Ok(())
    }

    /// An attribute that nobody shows is a fault of the settings or of the rights.
    fn somebody_is_mappable(&self) -> Result<(), Failure> {
        if self.entries > 0 && self.entries == self.unmappable {
            let map = &self.directory.settings().attributes;
            return Err(Failure::new(
                FailureKind::SearchFailed,
                format!(
                    "none of {} entries can be mapped: check attributes.id ({}), \
                     attributes.username ({}) and whether the service account may read them",
                    self.entries, map.id, map.username
                ),
            ));
        }
        Ok(())
    }

    fn people_request(&self, filter: &str, with_timestamps: bool) -> SearchRequest {
        let settings = self.directory.settings();
        let scope = Depth::Configured.scope(settings);
        let mut request = self.directory.request(&settings.base_dn, scope, filter, &[]);
        request.attributes.clone_from(&self.directory.attributes);
        if with_timestamps {
            request.attributes.push("modifyTimestamp".to_owned());
        }
        request
    }

    async fn send_people(
        &mut self,
        entries: Vec<Entry>,
        memberships: &mut Memberships<'a>,
    ) -> Result<(), Failure> {
        let items = entries.iter().map(|entry| self.map(entry, memberships)).collect();
        self.send(items).await
    }

    async fn send(&self, items: Vec<PopulationItem>) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        self.items.send(items).await.map_err(|_| {
            Failure::new(FailureKind::SearchFailed, "the read was given up: nobody takes its items")
        })
    }

    fn map(&mut self, entry: &Entry, memberships: &mut Memberships<'a>) -> PopulationItem {
        self.entries += 1;
        let settings = self.directory.settings();
        if let Some(changed) = super::position::time_of(entry) {
            self.latest = self.latest.max(Some(changed));
        }
        let unmappable = |attribute: &str, problem: &str| PopulationItem::Unmappable {
            dn: entry.dn.clone(),
            attribute: attribute.to_owned(),
            problem: problem.to_owned(),
        };
        // Every account has it; without it a disabled person would look usable.
        if settings.preset == Preset::ActiveDirectory && entry.first(CONTROL).is_none() {
            self.unmappable += 1;
            return unmappable(CONTROL, "cannot be read by the service account");
        }
        match Person::from_entry(entry, &settings.attributes) {
            Ok(mut person) => {
                self.unreadable += u64::from(!person.unreadable.is_empty());
                let groups = memberships.graph.groups_of(entry);
                if groups.cut {
                    tracing::warn!(
                        directory = %settings.id, dn = %entry.dn,
                        "more or deeper groups than the bounds allow: some are left out"
                    );
                }
                person.profile.groups = groups.names;
                person.profile.roles = memberships.roles_of(&person.subject);
                super::group_map::apply(&settings.group_map, &mut person.profile);
                let state = match AccountState::of(entry, self.now) {
                    AccountState::Gone(reason) => PersonState::Inactive(reason.as_str()),
                    AccountState::NoLogin(_) | AccountState::Usable => PersonState::Active,
                };
                PopulationItem::Person(Box::new(DirectoryPerson {
                    subject: person.subject,
                    dn: entry.dn.clone(),
                    profile: person.profile,
                    state,
                    changed_password_at: person.password_changed_at,
                }))
            }
            Err(error) => {
                self.unmappable += 1;
                unmappable(&error.attribute, error.problem)
            }
        }
    }

    /// Where a read by time goes on: what the latest entry says, less the time that the read took,
    /// for entries may have changed while it went on.
    fn timestamp_source(&self, before: Option<Timestamp>) -> Option<Source> {
        if self.directory.settings().preset == Preset::ActiveDirectory {
            return None;
        }
        let latest = self.latest.max(before)?;
        let took = i64::try_from(self.begun.elapsed().as_secs()).unwrap_or(i64::MAX) + 1;
        let since = Timestamp::from_seconds(latest.seconds().saturating_sub(took));
        Some(Source::ModifyTimestamp { since: since.max(before.unwrap_or(since)) })
    }
}

const CONTROL: &str = "userAccountControl";

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    /// A read runs as a task of its own beside who compares what it sends.
    #[tokio::test]
    async fn a_read_can_be_a_task() {
        let servers = vec![url::Url::parse("ldaps://127.0.0.1:1").unwrap()];
        let settings = super::super::LdapSettings::new("x", Preset::OpenLdap, servers, "dc=x");
        let random = std::sync::Arc::new(crate::random::SystemRandom::new());
        let Ok(connector) = LdapConnector::new(settings, random) else { return };
        let (items, _kept) = tokio::sync::mpsc::channel(1);
        let read = connector.read_people(Reading::Full, Timestamp::from_seconds(0), items);
        is_send(&read);
    }
}
