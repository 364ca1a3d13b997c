//! The source address of a request behind trusted proxies. Without a listed peer the headers are
//! ignored.
//!
//! From the right, addresses of trusted proxies are taken off; the first other one is the source.
//! Where both headers are there `X-Forwarded-For` counts: most proxies write that one and let a
//! client's own `Forwarded` (RFC 7239) through. An entry that cannot be read ends the walk
//! at the last proxy that could be trusted, so that nobody picks an address by writing nonsense.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The source address.
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut source = canonical(peer);
    if !is_trusted(source, trusted) {
        return source;
    }
    for entry in forwarded_chain(headers).into_iter().rev() {
        let Some(address) = entry else { break };
        source = address;
        if !is_trusted(source, trusted) {
            break;
        }
    }
    source
}

/// Whether the peer is one of the listed proxies.
pub(crate) fn is_listed(peer: IpAddr, trusted: &[IpNet]) -> bool {
    is_trusted(canonical(peer), trusted)
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The addresses in order from the first hop on; `None` for an entry that cannot be read.
fn forwarded_chain(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .flat_map(|value| {
                // A value that is no text must not vanish: it is an entry that cannot be read.
                value.to_str().unwrap_or("?").split(',').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    };
    let x_forwarded_for = values("x-forwarded-for");
    if !x_forwarded_for.is_empty() {
        return x_forwarded_for.iter().map(|entry| parse(entry)).collect();
    }
    values("forwarded")
        .iter()
        .map(|element| {
            element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then(|| parse(value)).flatten()
            })
        })
        .collect()
}

fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim().trim_matches('"');
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(canonical(address));
    }
    if let Ok(socket) = entry.parse::<SocketAddr>() {
        return Some(canonical(socket.ip()));
    }
    let inner = entry.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<IpAddr>().ok().map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str], expected: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let found = client_ip(peer.parse().unwrap(), &map, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
    }

    #[test]
    fn headers_count_only_from_listed_peers() {
        let forged = [("x-forwarded-for", "203.0.113.9")];
        check("198.51.100.1", &forged, &[], "198.51.100.1");
        check("198.51.100.1", &forged, &["10.0.0.0/8"], "198.51.100.1");
        check("10.0.0.1", &forged, &["10.0.0.0/8"], "203.0.113.9");
        check("::ffff:10.0.0.1", &forged, &["10.0.0.0/8"], "203.0.113.9");
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let proxies = ["10.0.0.0/8"];
        check("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, 203.0.113.9")], &proxies, "203.0.113.9");
        check("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, 10.0.0.2")], &proxies, "203.0.113.9");
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "203.0.113.9, junk, 10.0.0.2")],
            &proxies,
            "10.0.0.2",
        );
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")],
            &proxies,
            "2.2.2.2",
        );
        check("10.0.0.1", &[], &proxies, "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_by_rfc_7239() {
        let proxies = ["10.0.0.0/8"];
        check(
            "10.0.0.1",
            &[("forwarded", "for=192.0.2.60;proto=https, for=\"[2001:db8::7]:4711\"")],
            &proxies,
            "2001:db8::7",
        );
        check(
            "10.0.0.1",
            &[("forwarded", "For=\"192.0.2.60:80\""), ("x-forwarded-for", "9.9.9.9")],
            &proxies,
            "9.9.9.9",
        );
        check("10.0.0.1", &[("forwarded", "for=unknown")], &proxies, "10.0.0.1");
    }
}
