//! Where an incremental read goes on, and when that is worth nothing any more.

use serde::{Deserialize, Serialize};

use super::dn::{self, Fingerprint};
use super::entry::Entry;
use super::settings::LdapSettings;
use crate::clock::Timestamp;
use crate::secret::hex;

/// Older than this nothing is trusted: servers forget deletions after some time (Active Directory
/// after 60 days at the least).
const MAX_AGE_SECONDS: u64 = 30 * 86_400;
/// Entries may become visible later than their time says: another server's clock, a replica.
const OVERLAP_SECONDS: i64 = 60;

/// Where an incremental read goes on. Opaque outside: it is stored and handed back. It belongs to
/// one server and to one set of settings; with any other the read is a full one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPosition {
    settings: String,
    server: String,
    at: Timestamp,
    groups: String,
    roles: String,
    source: Source,
}

/// How changes are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// By `modifyTimestamp`, in the server's time. Deletions are not seen.
    ModifyTimestamp {
        /// Entries changed before are known.
        since: Timestamp,
    },
    /// By content synchronisation (RFC 4533).
    SyncRefresh {
        /// The server's cookie.
        cookie: String,
    },
    /// By Active Directory's DirSync control.
    Replication {
        /// The server's invocation id: a restored server does not know what it told.
        invocation: String,
        /// The server's cookie, in base64.
        cookie: String,
    },
    /// By Active Directory's update sequence numbers.
    UpdateSequence {
        /// The server's invocation id: the numbers mean nothing on another one.
        invocation: String,
        /// Changes up to this number are known.
        usn: u64,
    },
}

impl ReadPosition {
    /// A position after a read.
    pub(super) fn new(
        settings: &LdapSettings,
        server: &str,
        at: Timestamp,
        groups: &Fingerprint,
        roles: &Fingerprint,
        source: Source,
    ) -> Self {
        Self {
            settings: settings_digest(settings),
            server: server.to_owned(),
            at,
            groups: hex(groups),
            roles: hex(roles),
            source,
        }
    }

    /// Whether it is of these settings and this server, and not too old.
    pub(super) fn fits(&self, settings: &LdapSettings, server: &str, now: Timestamp) -> bool {
        self.settings == settings_digest(settings)
            && self.server == server
            && now >= self.at
            && now.since(self.at).as_secs() < MAX_AGE_SECONDS
    }

    /// Whether all groups and roles are as they were.
    pub(super) fn memberships_are(&self, groups: &Fingerprint, roles: &Fingerprint) -> bool {
        self.groups == hex(groups) && self.roles == hex(roles)
    }

    /// The server that it was made with.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// How changes are found.
    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    /// When it was made, by our own clock.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }
}

/// The `modifyTimestamp` of an entry.
pub(super) fn time_of(entry: &Entry) -> Option<Timestamp> {
    parse_generalized_time(entry.text("modifyTimestamp").ok()??)
}

/// The filter for entries changed since `since`, with the overlap.
pub(super) fn changed_since(since: Timestamp) -> String {
    let from = Timestamp::from_seconds(since.seconds().saturating_sub(OVERLAP_SECONDS));
    let text = from.rfc3339();
    let digits: String = text.chars().filter(char::is_ascii_digit).take(14).collect();
    format!("(modifyTimestamp>={digits}Z)")
}

/// A generalized time (RFC 4517 section 3.3.13) in UTC with seconds; a fraction is dropped.
fn parse_generalized_time(text: &str) -> Option<Timestamp> {
    let (digits, rest) = text.split_at_checked(14)?;
    let utc = rest == "Z" || (rest.starts_with(['.', ',']) && rest.ends_with('Z'));
    if !utc || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    Timestamp::parse_rfc3339(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    ))
}

/// Changes with everything that decides who is found and what becomes of them.
fn settings_digest(settings: &LdapSettings) -> String {
    let text = format!(
        "1 {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        settings.preset,
        settings.base_dn,
        settings.scope,
        settings.user_filter,
        settings.guest_filter,
        settings.admin_filter,
        settings.attributes,
        settings.groups,
        settings.group_map
    );
    hex(&dn::fingerprint_of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::super::preset::Preset;
    use super::*;

    #[test]
    fn generalized_times() {
        let at = |text| parse_generalized_time(text).map(Timestamp::rfc3339);
        assert_eq!(at("20261124100000Z").as_deref(), Some("2026-11-24T10:00:00Z"));
        assert_eq!(at("20261124100000.0Z").as_deref(), Some("2026-11-24T10:00:00Z"));
        for bad in ["", "20261124100000", "20261124100000+0100", "20261324100000Z", "2026112410äZ"]
        {
            assert_eq!(at(bad), None, "{bad}");
        }
        let since = Timestamp::parse_rfc3339("2026-11-24T10:00:30Z").unwrap();
        assert_eq!(changed_since(since), "(modifyTimestamp>=20261124095930Z)");
    }

    #[test]
    fn a_position_fits_what_it_was_made_with() {
        let make = || {
            let servers = vec![Url::parse("ldaps://x").unwrap()];
            LdapSettings::new("corp", Preset::OpenLdap, servers, "dc=x")
        };
        let at = Timestamp::from_seconds(1_000_000_000);
        let source = Source::ModifyTimestamp { since: at };
        let position = ReadPosition::new(&make(), "ldaps://x", at, &[1; 16], &[2; 16], source);
        let later = |seconds: i64| Timestamp::from_seconds(at.seconds() + seconds);
        assert!(position.fits(&make(), "ldaps://x", later(60)));
        assert!(!position.fits(&make(), "ldaps://y", later(60)));
        assert!(!position.fits(&make(), "ldaps://x", later(-1)), "a clock that went back");
        assert!(!position.fits(&make(), "ldaps://x", later(31 * 86_400)));
        assert!(position.memberships_are(&[1; 16], &[2; 16]));
        assert!(!position.memberships_are(&[1; 16], &[1; 16]));
        assert!(!position.memberships_are(&[2; 16], &[2; 16]));
        let changes: [fn(&mut LdapSettings); 5] = [
            |s| s.user_filter = "(uid=*)".into(),
            |s| s.admin_filter = Some("(uid=*)".into()),
            |s| s.attributes.nickname = None,
            |s| s.groups.nested = false,
            |s| s.base_dn = "ou=a,dc=x".into(),
        ];
        for change in changes {
            let mut settings = make();
            change(&mut settings);
            assert!(!position.fits(&settings, "ldaps://x", later(60)));
        }
        let json = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<ReadPosition>(&json).unwrap(), position);
    }
}
