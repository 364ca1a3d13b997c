//! Redirect URIs: which may be registered, and when a presented one is the registered one.
//!
//! Matching works on the texts (RFC 9700 section 2.1: exact string matching), never on parsed
//! URLs: two parsers that differ are a way to send a code elsewhere.

use url::{Host, Url};

/// Schemes that run or show something instead of calling an application.
const DANGEROUS_SCHEMES: [&str; 8] =
    ["javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"];

/// Says what is wrong with a URI that somebody wants to register.
pub(super) fn check(uri: &str, public: bool) -> Result<(), &'static str> {
    let url = Url::parse(uri).map_err(|_| "is no absolute URL")?;
    if uri.contains('#') {
        return Err("has a fragment: remove it (RFC 6749 section 3.1.2)");
    }
    if uri.len() > 2048 || !uri.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be at most 2048 printable ASCII characters, anything else escaped");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password: remove it");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("is not https: plain http is only for loopback addresses and localhost"),
        scheme if DANGEROUS_SCHEMES.contains(&scheme) => Err("has a scheme that calls no program"),
        scheme if public && scheme.contains('.') => Ok(()),
        _ if public => Err("has a scheme without a period: use a domain name of yours turned \
                            round, e.g. com.example.chat:/callback (RFC 8252 section 7.1)"),
        _ => Err("is not https: other schemes are for public clients"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Whether the two are `http` URIs of the same loopback host that differ in the port alone.
pub(super) fn same_but_loopback_port(registered: &str, presented: &str) -> bool {
    match (loopback_parts(registered), loopback_parts(presented)) {
        (Some(registered), Some(presented)) => registered == presented,
        _ => false,
    }
}

/// Host and what follows the port.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    let after_scheme = uri.strip_prefix("http://")?;
    let end = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at(end);
    ["127.0.0.1", "[::1]", "localhost"].into_iter().find_map(|host| {
        let port = authority.strip_prefix(host)?;
        let port_is_good = port.is_empty()
            || port.strip_prefix(':').is_some_and(|digits| {
                (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
            });
        port_is_good.then_some((host, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_registered() {
        for uri in [
            "https://chat.example.com/cb",
            "https://chat.example.com/cb?tenant=1",
            "http://localhost:8065/cb",
            "http://127.0.0.1/cb",
            "http://[::1]:1/cb",
            "http://chat.localhost/cb",
        ] {
            assert_eq!(check(uri, false), Ok(()), "{uri}");
        }
        assert_eq!(check("com.example.chat:/cb", true), Ok(()));
        for uri in [
            "",
            "/cb",
            "chat.example.com/cb",
            "http://chat.example.com/cb",
            "https://chat.example.com/cb#x",
            "https://chat.example.com/cb#",
            "https://user@chat.example.com/cb",
            "https://chat.example.com/c b",
            "javascript:alert(1)",
            "data:text/html,x",
            "mmauth://callback",
            "com.example.chat:/cb",
        ] {
            assert!(check(uri, false).is_err(), "{uri}");
        }
        for uri in ["mmauth://callback", "javascript:alert(1)//a.b", "data:a.b"] {
            assert!(check(uri, true).is_err(), "{uri}");
        }
    }

    #[test]
    fn loopback_ports_match_and_nothing_else_does() {
        let registered = "http://127.0.0.1/cb?a=1";
        for presented in ["http://127.0.0.1/cb?a=1", "http://127.0.0.1:53124/cb?a=1"] {
            assert!(same_but_loopback_port(registered, presented), "{presented}");
        }
        assert!(same_but_loopback_port("http://[::1]:1", "http://[::1]:2"));
        for presented in [
            "https://127.0.0.1:53124/cb?a=1",
            "http://127.0.0.1:53124/cb?a=2",
            "http://127.0.0.1:53124/cb",
            "http://127.0.0.1:53124/cb?a=1#x",
            "http://127.0.0.1:/cb?a=1",
            "http://127.0.0.1:123456/cb?a=1",
            "http://127.0.0.1:80@evil.example/cb?a=1",
            "http://127.0.0.1.evil.example/cb?a=1",
            "http://127.0.0.1:1.evil.example/cb?a=1",
            "http://127.0.0.1\\@evil.example/cb?a=1",
            "http://localhost:1/cb?a=1",
            "http://[::1]:1/cb?a=1",
            "HTTP://127.0.0.1/cb?a=1",
        ] {
            assert!(!same_but_loopback_port(registered, presented), "{presented}");
        }
        assert!(!same_but_loopback_port("http://chat.example/cb", "http://chat.example:1/cb"));
    }
}
