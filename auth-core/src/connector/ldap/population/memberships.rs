//! What has to be known of all people before any of them is mapped: groups and roles.

use std::collections::HashSet;

use ldap3::Scope;

use super::super::bind::Depth;
use super::super::dn::{self, Fingerprint};
use super::super::failure::Failure;
use super::super::filter;
use super::super::group::GroupSource;
use super::super::group_graph::GroupGraph;
use super::super::subject::SubjectSyntax;
use super::Population;
use super::reader::{Pages, Reader, Root};

/// Which group entries Active Directory's matching rule follows.
const ANY_GROUP: &str = "(objectClass=group)";

/// What has to be known of all people before any of them is mapped.
pub(super) struct Memberships<'a> {
    pub(super) graph: GroupGraph<'a>,
    guests: HashSet<Fingerprint>,
    administrators: HashSet<Fingerprint>,
}

impl<'a> Population<'a> {
    /// Reads both, in pages.
    pub(super) async fn memberships(
        &self,
        reader: &mut Reader<'a>,
        root: &Root,
    ) -> Result<Memberships<'a>, Failure> {
        let settings = self.directory.settings();
        Ok(Memberships {
            graph: self.graph(reader, root).await?,
            guests: self.of_role(reader, settings.guest_filter.as_deref()).await?,
            administrators: self.of_role(reader, settings.admin_filter.as_deref()).await?,
        })
    }

    /// All groups, in pages.
    async fn graph(&self, reader: &mut Reader<'a>, root: &Root) -> Result<GroupGraph<'a>, Failure> {
        let settings = self.directory.settings();
        let groups = &settings.groups;
        let base = groups.base_dn.as_deref().unwrap_or(&settings.base_dn);
        let mut graph = GroupGraph::new(groups, base);
        if !GroupGraph::is_needed(groups) {
            return Ok(graph);
        }
        let subtree = Scope::Subtree;
        let mut request = self.directory.request(base, subtree, &groups.filter, &[]);
        let mut of_filter = None;
        if groups.source == GroupSource::InChain {
            // The server's matching rule also follows groups that are not reported themselves.
            request.base = root.naming_context_of(base).to_owned();
            request.filter = ANY_GROUP.to_owned();
            if groups.filter != ANY_GROUP {
                let mut found = HashSet::new();
                let ids = self.directory.request(base, subtree, &groups.filter, &["1.1"]);
                let mut pages = Pages::new(&ids, "reading groups (groups.filter)");
                while let Some(entries) = reader.next_page(&mut pages).await? {
                    found.extend(entries.iter().map(|entry| dn::fingerprint(&entry.dn)));
                }
                of_filter = Some(found);
            }
        }
        request.attributes = GroupGraph::attributes(groups);
        let mut pages = Pages::new(&request, "reading groups");
        while let Some(entries) = reader.next_page(&mut pages).await? {
            for entry in &entries {
                let wanted =
                    of_filter.as_ref().is_none_or(|f| f.contains(&dn::fingerprint(&entry.dn)));
                graph.add(entry, wanted);
            }
        }
        graph.finish();
        Ok(graph)
    }

    /// The ids of those who match a role's filter, in pages.
    async fn of_role(
        &self,
        reader: &mut Reader<'a>,
        role: Option<&str>,
    ) -> Result<HashSet<Fingerprint>, Failure> {
        let mut found = HashSet::new();
        let Some(role) = role else { return Ok(found) };
        let settings = self.directory.settings();
        let id = settings.attributes.id.as_str();
        let syntax = SubjectSyntax::of(id);
        let both = filter::all_of(&[settings.user_filter.as_str(), role]);
        let scope = Depth::Configured.scope(settings);
        let request = self.directory.request(&settings.base_dn, scope, &both, &[id]);
        let mut pages = Pages::new(&request, "reading who has a role");
        while let Some(entries) = reader.next_page(&mut pages).await? {
            for entry in &entries {
                let subject = entry.first(id).and_then(|value| syntax.render(value));
                found.extend(subject.map(|subject| dn::fingerprint_of(subject.as_bytes())));
            }
        }
        Ok(found)
    }
}

impl Memberships<'_> {
    /// The role of a person, by the stable id.
    pub(super) fn roles_of(&self, subject: &str) -> Vec<String> {
        let id = dn::fingerprint_of(subject.as_bytes());
        // A guest is never an administrator: of two roles the weaker one counts.
        if self.guests.contains(&id) {
            vec!["guest".to_owned()]
        } else if self.administrators.contains(&id) {
            vec!["administrator".to_owned()]
        } else {
            Vec::new()
        }
    }

    /// Changes when anybody's role does.
    pub(super) fn roles_digest(&self) -> Fingerprint {
        let mut all: Vec<(Fingerprint, u8)> = self
            .guests
            .iter()
            .map(|&id| (id, 0))
            .chain(self.administrators.iter().map(|&id| (id, 1)))
            .collect();
        all.sort_unstable();
        let bytes: Vec<u8> =
            all.into_iter().flat_map(|(id, role)| id.into_iter().chain([role])).collect();
        dn::fingerprint_of(&bytes)
    }
}
