//! Finds a person's groups by the searches that `group` plans, and completes values that the
//! server sent in ranges.

use ldap3::Scope;

use super::entry::{Entry, RangeCut};
use super::failure::{Failure, FailureKind};
use super::group::{GroupSource, GroupWalk};
use super::search::{SearchAnswer, SearchRequest};
use super::server::Server;
use super::settings::LdapSettings;
use super::{filter, subject};

/// No attribute is read in more pieces than this.
const MAX_RANGES: u32 = 10_000;

/// The names of the groups that `person` is in.
pub(super) async fn groups_of(
    server: &Server,
    settings: &LdapSettings,
    person: &Entry,
) -> Result<Vec<String>, Failure> {
    let groups = &settings.groups;
    let base = groups.base_dn.as_deref().unwrap_or(&settings.base_dn);
    let find = GroupFinder { server, settings, base };
    let mut walk = GroupWalk::new(groups, base);
    match groups.source {
        GroupSource::None => return Ok(Vec::new()),
        GroupSource::MemberOf => {
            for dn in person.texts("memberOf") {
                walk.add(dn, None);
            }
            find.follow(&mut walk).await?;
        }
        GroupSource::Search => {
            walk.add_entries(&find.groups(&groups.direct_filter(person)).await?);
            find.follow(&mut walk).await?;
        }
        GroupSource::InChain => {
            walk.add_entries(&find.groups(&groups.chain_filter(&person.dn)).await?);
            if let Some(primary) = find.primary_group(person).await? {
                walk.add_entries(std::slice::from_ref(&primary));
                if groups.nested {
                    walk.add_entries(&find.groups(&groups.chain_filter(&primary.dn)).await?);
                }
            }
        }
    }
    if walk.is_cut() {
        tracing::warn!(
            directory = %settings.id, dn = %person.dn, depth = groups.max_depth, groups = groups.max_groups,
            "more or deeper groups than the bounds allow: some are left out"
        );
    }
    Ok(walk.into_names())
}

/// Reads the rest of attributes that the server sent in part (`member;range=0-1499`).
pub(super) async fn complete_ranges(server: &Server, entry: &mut Entry) -> Result<(), Failure> {
    let mut pieces = 0;
    while let Some((cut, request)) = next_piece(entry, &mut pieces)? {
        add_piece(entry, &cut, server.search(&request).await?)?;
    }
    Ok(())
}

/// The search for the next piece of an attribute that the server sent in part.
pub(super) fn next_piece(
    entry: &Entry,
    pieces: &mut u32,
) -> Result<Option<(RangeCut, SearchRequest)>, Failure> {
    let Some(cut) = entry.cut() else { return Ok(None) };
    *pieces += 1;
    if *pieces > MAX_RANGES {
        return Err(never_ended(entry, &cut));
    }
    let request = SearchRequest {
        base: entry.dn.clone(),
        scope: Scope::Base,
        filter: "(objectClass=*)".to_owned(),
        attributes: vec![cut.description()],
        size_limit: 0,
        deleted: false,
    };
    Ok(Some((cut, request)))
}

/// Adds what that search brought.
pub(super) fn add_piece(
    entry: &mut Entry,
    cut: &RangeCut,
    answer: SearchAnswer,
) -> Result<(), Failure> {
    let further = answer.complete("reading a long attribute")?.into_iter().next();
    if entry.extend(cut, further.unwrap_or_default()) {
        Ok(())
    } else {
        Err(never_ended(entry, cut))
    }
}

fn never_ended(entry: &Entry, cut: &RangeCut) -> Failure {
    Failure::new(
        FailureKind::SearchFailed,
        format!("{}: the server never ended the values of {}", entry.dn, cut.attribute),
    )
}

struct GroupFinder<'a> {
    server: &'a Server,
    settings: &'a LdapSettings,
    base: &'a str,
}

impl GroupFinder<'_> {
    async fn follow(&self, walk: &mut GroupWalk<'_>) -> Result<(), Failure> {
        loop {
            let filters = walk.next_filters();
            if filters.is_empty() {
                return Ok(());
            }
            for filter in filters {
                walk.add_entries(&self.groups(&filter).await?);
            }
        }
    }

    async fn groups(&self, filter: &str) -> Result<Vec<Entry>, Failure> {
        let request = SearchRequest {
            base: self.base.to_owned(),
            scope: Scope::Subtree,
            filter: filter.to_owned(),
            attributes: vec![self.settings.groups.name_attribute.clone()],
            size_limit: 0,
            deleted: false,
        };
        let mut entries = Vec::new();
        let page_size = self.settings.page_size;
        let limit = self.settings.groups.max_groups;
        let answer = self
            .server
            .search_paged(&request, page_size, |page| {
                entries.append(&mut page.entries);
                // One more than allowed, so that the walk sees that it is cut.
                entries.len() <= limit
            })
            .await?;
        SearchAnswer { entries, ..answer }.complete("searching groups")
    }

    async fn primary_group(&self, person: &Entry) -> Result<Option<Entry>, Failure> {
        let sid = person.first("objectSid");
        let relative_id = person.number("primaryGroupID").and_then(|id| u32::try_from(id).ok());
        let Some(sid) =
            sid.zip(relative_id).and_then(|(own, id)| subject::primary_group_sid(own, id))
        else {
            return Ok(None);
        };
        let filter = format!("(objectSid={})", filter::escape_bytes(&sid));
        Ok(self.groups(&filter).await?.into_iter().next())
    }
}
