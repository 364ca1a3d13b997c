//! Forward authentication: which address a reverse proxy asks about, and what it is told.
//!
//! The proxy's headers name the address. Two conventions are known, and where both are there they
//! must agree: a proxy that writes one may let a client's own headers of the other through, and a
//! client must not choose which site it is judged for. The caller passes headers of listed peers
//! only. No `Remote-*` header of a request is ever read.

use url::{Host, Url};

use super::client::Client;
use crate::store::AccountRecord;

/// Where a protected host sends a browser back to; proxied to the daemon.
pub const CALLBACK_PATH: &str = "/.auth/callback";
/// Where a browser without a session is sent to.
pub const LOGIN_PATH: &str = "/forward-auth/login";

const LONGEST_URL: usize = 4096;

/// An absolute address of a site behind a reverse proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedUrl {
    scheme: &'static str,
    authority: String,
    path_and_query: String,
}

impl ProtectedUrl {
    /// Reads an absolute `http` or `https` URL without user, password and fragment. `http` is for
    /// names and addresses of this machine only.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST_URL || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let scheme = match url.scheme() {
            "https" => "https",
            "http" if is_this_machine(&url) => "http",
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path_and_query = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Some(Self { scheme, authority, path_and_query })
    }

    /// Host, with the port where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// Whether it is reached by https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// The callback of its host.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}://{}{CALLBACK_PATH}", self.scheme, self.authority)
    }

    /// Another address of the same host. `None` when it is no path of its own.
    #[must_use]
    pub fn at_path(&self, path_and_query: &str) -> Option<Self> {
        if !path_and_query.starts_with('/') || path_and_query.starts_with("//") {
            return None;
        }
        Self::parse(&format!("{}://{}{path_and_query}", self.scheme, self.authority))
            .filter(|url| url.authority == self.authority)
    }
}

impl std::fmt::Display for ProtectedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path_and_query)
    }
}

/// Whether the text may stand in `hosts`.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let readable = Url::parse(&format!("https://{text}/")).ok().filter(|url| {
        url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    });
    let Some(url) = readable else { return false };
    let Some(host) = url.host_str() else { return false };
    match url.port() {
        Some(port) => text == format!("{host}:{port}"),
        None => text == host,
    }
}

/// Whether the address is one of `hosts`. One of this machine without a port matches any port, as
/// it does for redirect URIs (RFC 8252 section 7.3).
#[must_use]
pub fn is_listed(hosts: &[String], url: &ProtectedUrl) -> bool {
    hosts.iter().any(|host| {
        if host == url.authority() {
            return true;
        }
        let local = Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_this_machine(&url));
        let Some((name, port)) = url.authority().rsplit_once(':') else { return false };
        local && name == host && port.bytes().all(|b| b.is_ascii_digit())
    })
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// What the headers of a listed peer say; `None` for a header that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeaders {
    /// `X-Original-URL` (nginx).
    pub original_url: Option<String>,
    /// `X-Forwarded-Proto` (Traefik, Caddy).
    pub proto: Option<String>,
    /// `X-Forwarded-Host`.
    pub host: Option<String>,
    /// `X-Forwarded-Uri`.
    pub uri: Option<String>,
}

/// Why the headers name no address; the word in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownAddress {
    /// Neither convention is complete.
    Missing,
    /// A header cannot be read as (a part of) an address.
    Malformed,
    /// The two conventions name different addresses.
    Contradiction,
}

impl UnknownAddress {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "forwarded_headers_missing",
            Self::Malformed => "forwarded_headers_malformed",
            Self::Contradiction => "forwarded_headers_contradict",
        }
    }
}

impl ProxyHeaders {
    /// The address that the proxy asks about.
    ///
    /// # Errors
    /// Why there is none.
    pub fn asked_about(&self) -> Result<ProtectedUrl, UnknownAddress> {
        let by_original = match &self.original_url {
            Some(text) => Some(ProtectedUrl::parse(text).ok_or(UnknownAddress::Malformed)?),
            None => None,
        };
        let by_forwarded = match (&self.proto, &self.host, &self.uri) {
            (Some(proto), Some(host), Some(uri)) => {
                if !uri.starts_with('/') {
                    return Err(UnknownAddress::Malformed);
                }
                let text = format!("{proto}://{host}{uri}");
                Some(ProtectedUrl::parse(&text).ok_or(UnknownAddress::Malformed)?)
            }
            _ => None,
        };
        match (by_original, by_forwarded) {
            (Some(original), Some(forwarded)) if original == forwarded => Ok(original),
            (Some(_), Some(_)) => Err(UnknownAddress::Contradiction),
            (Some(original), None) => {
                // Half a convention beside it: what there is of it must not say anything else.
                let other_host =
                    self.host.as_ref().is_some_and(|host| host != original.authority());
                let other_path =
                    self.uri.as_ref().is_some_and(|uri| uri != original.path_and_query());
                if other_host || other_path {
                    return Err(UnknownAddress::Contradiction);
                }
                Ok(original)
            }
            (None, Some(forwarded)) => Ok(forwarded),
            (None, None) => Err(UnknownAddress::Missing),
        }
    }
}

/// What the site behind the proxy is told of the person. Every header is always there, so that
/// a proxy that copies them never leaves a client's own in place.
#[must_use]
pub fn identity_headers(account: &AccountRecord, client: &Client) -> [(&'static str, String); 4] {
    let name = [account.first_name.as_deref(), account.last_name.as_deref()];
    let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let email = account.email.clone().filter(|_| account.email_verified);
    let groups: Vec<&str> = account
        .groups
        .iter()
        .filter(|group| client.is_told_group(group))
        // One that holds the separator could pass for two.
        .filter(|group| !group.contains(',') && !group.chars().any(char::is_control))
        .map(String::as_str)
        .collect();
    let told =
        |claim: &str, value: String| if client.is_told(claim) { value } else { String::new() };
    [
        ("remote-user", one_line(account.username.clone())),
        ("remote-email", one_line(told("email", email.unwrap_or_default()))),
        ("remote-name", one_line(told("name", name))),
        ("remote-groups", told("groups", groups.join(","))),
    ]
}

/// Without control characters, which no header can hold.
fn one_line(text: String) -> String {
    if text.chars().any(char::is_control) {
        return text.chars().filter(|c| !c.is_control()).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::tests::{public, settings};
    use crate::handoff::client::{ClientKind, ClientSettings};

    fn headers(original: &str, proto: &str, host: &str, uri: &str) -> ProxyHeaders {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ProxyHeaders {
            original_url: some(original),
            proto: some(proto),
            host: some(host),
            uri: some(uri),
        }
    }

    #[test]
    fn both_conventions_are_read_and_must_agree() {
        let check = |headers: ProxyHeaders, expected: Result<&str, UnknownAddress>| {
            let found = headers.asked_about().map(|url| url.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{headers:?}");
        };
        let wiki = "https://wiki.example.com/a?b=c";
        check(headers(wiki, "", "", ""), Ok(wiki));
        check(headers("", "https", "wiki.example.com", "/a?b=c"), Ok(wiki));
        check(headers(wiki, "https", "wiki.example.com", "/a?b=c"), Ok(wiki));
        check(
            headers("https://wiki.example.com:443/", "", "", ""),
            Ok("https://wiki.example.com/"),
        );
        check(headers("", "http", "wiki.localhost:81", "/"), Ok("http://wiki.localhost:81/"));
        use UnknownAddress::{Contradiction, Malformed, Missing};
        check(headers("", "", "", ""), Err(Missing));
        check(headers("", "https", "wiki.example.com", ""), Err(Missing));
        check(headers(wiki, "https", "admin.example.com", "/a?b=c"), Err(Contradiction));
        check(headers(wiki, "", "admin.example.com", ""), Err(Contradiction));
        check(headers(wiki, "https", "wiki.example.com", "/b"), Err(Contradiction));
        for url in [
            "http://wiki.example.com/",
            "ftp://wiki.example.com/",
            "https://user@wiki.example.com/",
            "https://wiki.example.com/#x",
            "https://wiki.example.com\\@evil.example/",
            "https://wiki.example.com/ a",
            "/a",
            "wiki.example.com/a",
        ] {
            check(headers(url, "", "", ""), Err(Malformed));
        }
        for (proto, host, uri) in [
            ("https", "wiki.example.com, evil.example", "/"),
            ("https", "wiki.example.com@evil.example", "/"),
            ("https", "wiki.example.com", "@evil.example/"),
            ("https", "wiki.example.com/x", "?"),
            ("javascript", "wiki.example.com", "/"),
        ] {
            check(headers("", proto, host, uri), Err(Malformed));
        }
    }

    #[test]
    fn only_listed_hosts_and_their_callback_are_returned_to() {
        let client = public(ClientSettings {
            kind: ClientKind::ForwardAuth,
            hosts: vec![
                "wiki.example.com".into(),
                "git.example.com:8443".into(),
                "app.localhost".into(),
            ],
            redirect_uris: Vec::new(),
            ..settings("sites")
        });
        for uri in [
            "https://wiki.example.com/.auth/callback",
            "https://git.example.com:8443/.auth/callback",
            "http://app.localhost:18000/.auth/callback",
            "http://app.localhost/.auth/callback",
        ] {
            assert!(client.allows_redirect_uri(uri), "{uri}");
        }
        for uri in [
            "https://wiki.example.com/.auth/callback?x=1",
            "https://wiki.example.com/.auth/callback/",
            "https://wiki.example.com/other",
            "https://wiki.example.com:8443/.auth/callback",
            "https://wiki.example.com.evil.example/.auth/callback",
            "https://git.example.com/.auth/callback",
            "https://evil.example/.auth/callback",
            "http://wiki.example.com/.auth/callback",
            "https://WIKI.example.com/.auth/callback",
            "http://app.localhost:1.evil.example/.auth/callback",
        ] {
            assert!(!client.allows_redirect_uri(uri), "{uri}");
        }
    }

    #[test]
    fn hosts_are_written_in_one_way() {
        for host in ["wiki.example.com", "wiki.example.com:8443", "localhost", "[::1]:8080"] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            "Wiki.example.com",
            "https://wiki.example.com",
            "wiki.example.com/",
            "a b",
            "*.example.com/x",
            "u@h",
            "wiki.example.com:443",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn a_return_stays_on_its_host() {
        let url = ProtectedUrl::parse("https://wiki.example.com/a").unwrap();
        assert_eq!(url.at_path("/b?c").unwrap().to_string(), "https://wiki.example.com/b?c");
        for path in
            ["", "b", "//evil.example/", "/\\evil.example", "https://evil.example/", "/a b", "/#x"]
        {
            assert_eq!(url.at_path(path), None, "{path}");
        }
    }

    #[test]
    fn every_header_is_there_and_no_group_passes_for_two() {
        let client = public(ClientSettings {
            kind: ClientKind::ForwardAuth,
            hosts: vec!["wiki.example.com".into()],
            redirect_uris: Vec::new(),
            ..settings("sites")
        });
        let mut account = account();
        account.groups = vec!["staff".into(), "x,admin".into(), "y\nadmin".into(), "ops".into()];
        let told = identity_headers(&account, &client);
        assert_eq!(
            told.map(|(name, value)| format!("{name}={value}")),
            [
                "remote-user=Alice",
                "remote-email=alice@example.com",
                "remote-name=Alice Archer",
                "remote-groups=staff,ops"
            ]
        );
        let nobody = AccountRecord {
            username: "a\r\nb".into(),
            email_verified: false,
            first_name: None,
            last_name: None,
            groups: Vec::new(),
            ..account
        };
        let told = identity_headers(&nobody, &client);
        assert_eq!(told.map(|(_, value)| value), ["ab", "", "", ""].map(str::to_owned));
    }
}
