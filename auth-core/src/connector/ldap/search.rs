//! Searches: what is asked, what came back, and when that counts.
//!
//! Only result code 0 counts. A size or time limit, a referral, a busy server or a missing base
//! are failed searches, whatever entries came before: a partial result is never taken for the whole.

use ldap3::Scope;

use super::bind::Depth;
use super::entry::Entry;
use super::failure::{Failure, FailureKind};
use super::settings::{LdapSettings, SearchScope};

/// A search, or one page of it.
#[derive(Clone, Debug)]
pub(super) struct SearchRequest {
    /// Base DN.
    pub(super) base: String,
    /// Scope.
    pub(super) scope: Scope,
    /// Filter.
    pub(super) filter: String,
    /// Attributes, each by name.
    pub(super) attributes: Vec<String>,
    /// At most so many entries; 0: no limit of ours.
    pub(super) size_limit: i32,
    /// Whether Active Directory's deleted objects are shown too.
    pub(super) deleted: bool,
}

/// What a search, or one page of it, brought. It counts only when `code` is 0.
#[derive(Clone, Debug, Default)]
pub(super) struct SearchAnswer {
    /// Result code.
    pub(super) code: u32,
    /// Diagnostic text.
    pub(super) diagnostic: String,
    /// Entries, also of a search that failed later.
    pub(super) entries: Vec<Entry>,
    /// References to other servers; never followed.
    pub(super) references: Vec<String>,
    /// Cookie of the next page; empty: there is none.
    pub(super) cookie: Vec<u8>,
    /// Whether the server answered as one that pages.
    pub(super) paged: bool,
    /// The value of a DirSync answer.
    pub(super) dir_sync: Option<Vec<u8>>,
}

impl Depth {
    /// The scope of a search.
    pub(super) const fn scope(self, settings: &LdapSettings) -> Scope {
        match (self, settings.scope) {
            (Self::Base, _) => Scope::Base,
            (Self::Configured, SearchScope::OneLevel) => Scope::OneLevel,
            (Self::Configured, SearchScope::Subtree) => Scope::Subtree,
        }
    }
}

impl SearchAnswer {
    /// The entries, when the search was complete. Everything else is a failed search: a partial
    /// result is never taken for the whole.
    pub(super) fn complete(self, what: &str) -> Result<Vec<Entry>, Failure> {
        let (kind, repair) = match self.code {
            0 => return Ok(self.entries),
            3 => (
                FailureKind::Timeout,
                "time limit exceeded: raise the server's limit or index the attributes",
            ),
            4 => (
                FailureKind::SearchFailed,
                "size limit exceeded: allow the service account more, or paging",
            ),
            10 => (
                FailureKind::SearchFailed,
                "the server refers to another one: name that in servers, or use the global catalog (3268, 3269)",
            ),
            11 => (
                FailureKind::SearchFailed,
                "administrative limit exceeded: lower page_size or raise the server's limit",
            ),
            32 => (
                FailureKind::SearchFailed,
                "no such entry, or the service account may not see it: check base_dn",
            ),
            50 => (FailureKind::SearchFailed, "the service account may not search here"),
            51 => (FailureKind::Busy, "the server is busy"),
            52 => (FailureKind::Unavailable, "the server is unavailable"),
            1 => (
                FailureKind::SearchFailed,
                "operations error: Active Directory wants a bind first; set bind_dn",
            ),
            _ => (FailureKind::SearchFailed, "the search failed"),
        };
        Err(Failure::new(
            kind,
            format!("{what}: {repair} (result {}: {})", self.code, self.diagnostic),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;

    #[test]
    fn only_success_counts() {
        let check = |code, expected: Option<FailureKind>| {
            let entries = vec![entry("cn=a", &[])];
            let answer = SearchAnswer { code, entries, ..SearchAnswer::default() };
            let found = answer.complete("searching").map(|entries| entries.len());
            assert_eq!(
                found.map_err(|failure| failure.kind),
                expected.map_or(Ok(1), Err),
                "{code}"
            );
        };
        check(0, None);
        check(3, Some(FailureKind::Timeout));
        check(51, Some(FailureKind::Busy));
        check(52, Some(FailureKind::Unavailable));
        for code in [1, 4, 10, 11, 12, 32, 50, 53, 80, 88, 4096] {
            check(code, Some(FailureKind::SearchFailed));
        }
    }
}
