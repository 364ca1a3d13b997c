//! Servers of a directory and the TLS between them and us. No setting turns verification off.

use std::path::PathBuf;

use url::{Host, Url};

use super::raw::RawDirectory;
use crate::config::finding::{KeyPath, Problems};
use crate::config::values::url::{has_user, is_this_machine, parse};

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct LdapServer {
    /// `ldap://host:port`, `ldaps://host:port`, or `srv://domain`.
    pub(crate) url: Url,
    /// Whether StartTLS comes first.
    pub(crate) starttls: bool,
}

/// How the servers prove who they are, and we to them.
#[derive(Debug, Default)]
pub(crate) struct TlsTrust {
    /// Certificate authorities instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// SHA-256 of the one accepted server certificate, as 64 hexadecimal digits; `None`: chain and
    /// host name are verified.
    pub(crate) pinned_certificate_sha256: Option<String>,
    /// Our certificate and its private key.
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
}

pub(super) fn servers(
    raw: &RawDirectory,
    table: &KeyPath,
    problems: &mut Problems,
) -> Vec<LdapServer> {
    let at = table.key("servers");
    if raw.servers.is_empty() {
        problems.missing(&at, "write servers = [\"ldaps://ldap.example.com\"]");
    }
    let servers: Vec<LdapServer> = raw
        .servers
        .iter()
        .enumerate()
        .filter_map(|(index, text)| server(text, raw.starttls, &at.index(index), problems))
        .collect();
    if raw.starttls && servers.iter().any(|server| server.url.scheme() == "ldaps") {
        problems.error(
            &table.key("starttls"),
            "is for ldap:// servers, and an ldaps:// one is listed, which is TLS already",
            "remove it, or write ldap:// for all of them",
        );
    }
    servers
}

fn server(text: &str, starttls: bool, at: &KeyPath, problems: &mut Problems) -> Option<LdapServer> {
    let url = parse(text).filter(|url| {
        matches!(url.scheme(), "ldap" | "ldaps" | "srv")
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && !has_user(url)
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    let Some(url) = url else {
        problems.error(
            at,
            "is no server URL",
            "write \"ldaps://host[:port]\", \"ldap://host[:port]\" or \"srv://domain\" and nothing \
             behind it",
        );
        return None;
    };
    if url.scheme() == "srv" && (url.port().is_some() || is_address(&url)) {
        problems.error(
            at,
            "names no domain whose servers the DNS could tell",
            "write \"srv://example.com\", without a port",
        );
        return None;
    }
    let starttls = starttls && url.scheme() != "ldaps";
    let is_plain = url.scheme() == "ldap" && !starttls;
    if !is_plain && matches!(url.host(), Some(Host::Ipv6(_))) {
        problems.error(
            at,
            "a certificate cannot be checked against an IPv6 address here",
            "use a host name",
        );
        return None;
    }
    if is_plain && !is_loopback(&url) {
        problems.error(
            at,
            "passwords would travel in clear",
            "write ldaps://, or set starttls = true for this directory",
        );
        return None;
    }
    Some(LdapServer { url, starttls })
}

pub(super) fn tls_trust(raw: &mut RawDirectory, at: &KeyPath, problems: &mut Problems) -> TlsTrust {
    if let Some(file) = &raw.ca_file {
        problems.readable_file(&at.key("ca_file"), file);
    }
    problems.both_or_none(
        at,
        ("client_certificate_file", raw.client_certificate_file.is_some()),
        ("client_key_file", raw.client_key_file.is_some()),
    );
    if let Some(file) = &raw.client_certificate_file {
        problems.readable_file(&at.key("client_certificate_file"), file);
    }
    if let Some(file) = &raw.client_key_file {
        problems.private_file(&at.key("client_key_file"), file);
    }
    let pinned_certificate_sha256 = raw.pinned_certificate_sha256.take().and_then(|text| {
        let fingerprint = fingerprint(&text);
        if fingerprint.is_none() {
            problems.error(
                &at.key("pinned_certificate_sha256"),
                "is no SHA-256 fingerprint",
                "give 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` shows",
            );
        }
        fingerprint
    });
    TlsTrust {
        ca_file: raw.ca_file.take(),
        pinned_certificate_sha256,
        client_certificate: raw.client_certificate_file.take().zip(raw.client_key_file.take()),
    }
}

fn is_address(url: &Url) -> bool {
    url.host_str()
        .is_some_and(|host| host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok())
}

/// Whether a plain connection stays on this machine. Names below `localhost` are left out: only
/// browsers promise where those lead.
fn is_loopback(url: &Url) -> bool {
    is_this_machine(url)
        && !url.host_str().is_some_and(|host| host.to_ascii_lowercase().ends_with(".localhost"))
}

fn fingerprint(text: &str) -> Option<String> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    (digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}
