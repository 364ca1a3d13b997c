//! Where requests of ours to other servers may go.
//!
//! An address of the configuration may be on a private network (AD FS and many chat servers are),
//! one that came through a command or an API is public only. Link-local addresses and the metadata
//! services of clouds, which give secrets to whoever asks, are reached by nobody, however the
//! address is written. A name is judged where the connection is made, so that it cannot lead
//! elsewhere between check and use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

#[cfg(feature = "oidc")]
mod resolver;
#[cfg(feature = "oidc")]
pub use resolver::JudgingResolver;

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only.
    Public,
    /// Private networks too, but not this machine.
    Private,
    /// Private networks and this machine, which may be asked over plain http.
    Local,
}

/// Why a request does not go somewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// Neither https, nor http to this machine where that is allowed.
    #[error("it is no https URL")]
    NotHttps,
    /// The URL names no host.
    #[error("it has no host")]
    NoHost,
    /// The address is outside the reach.
    #[error("requests do not go to {0}")]
    Address(IpAddr),
}

impl Reach {
    /// What a URL's own words say; names are judged when they are resolved.
    ///
    /// # Errors
    /// When no request may go there.
    pub fn check_url(self, url: &Url) -> Result<(), ReachError> {
        let by_http_here = url.scheme() == "http" && self == Self::Local && is_loopback(url);
        if url.scheme() != "https" && !by_http_here {
            return Err(ReachError::NotHttps);
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(name)) if is_local_name(name) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(ReachError::NoHost),
        };
        self.check_address(address)
    }

    /// Whether a connection may be made to the address.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_address(self, address: IpAddr) -> Result<(), ReachError> {
        let allowed = is_some_host(embedded(address))
            && match self {
                Self::Public => is_public(address.to_canonical()),
                Self::Private => !embedded(address).is_loopback(),
                Self::Local => true,
            };
        if allowed { Ok(()) } else { Err(ReachError::Address(address)) }
    }
}

/// Whether a URL's host is a loopback address, `localhost` or below it (RFC 6761 section 6.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => is_local_name(name),
        None => false,
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The metadata service of a large cloud has a unique local address.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

fn is_some_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets().first() != Some(&0)
                && !v4.is_link_local()
                && !v4.is_multicast()
                && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            !v6.is_unspecified()
                && !v6.is_multicast()
                && !v6.is_unicast_link_local()
                && v6 != METADATA_V6
        }
    }
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19))
                || a >= 240;
            !(v4.is_private() || v4.is_loopback() || v4.is_documentation() || special)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let embeds_v4 = first == 0x2002
                || (first == 0x64 && second == 0xff9b)
                || (first == 0x2001 && second == 0);
            let is_global = first & 0xe000 == 0x2000;
            is_global && !embeds_v4 && !(first == 0x2001 && second == 0xdb8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each reach allows: public, private, local.
    fn check(url: &str, allowed: [bool; 3]) {
        let parsed = Url::parse(url).unwrap();
        let found = [Reach::Public, Reach::Private, Reach::Local]
            .map(|reach| reach.check_url(&parsed).is_ok());
        assert_eq!(found, allowed, "{url}");
    }

    #[test]
    fn addresses_in_urls() {
        for public in
            ["https://chat.example.com/", "https://93.184.216.34/", "https://[2606:2800:220:1::1]/"]
        {
            check(public, [true, true, true]);
        }
        for private in [
            "https://10.0.0.1/",
            "https://192.168.1.1/",
            "https://172.16.0.1/",
            "https://100.64.0.1/",
            "https://192.0.2.1/",
            "https://[fd12::1]/",
            "https://[2001:db8::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[2002:a00:1::]/",
            "https://[64:ff9b::a00:1]/",
        ] {
            check(private, [false, true, true]);
        }
        for local in [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[2002:7f00:1::]/",
            "https://[::127.0.0.1]/",
            "http://127.0.0.1:8065/",
            "http://localhost:8065/",
            "http://a.localhost/x",
        ] {
            check(local, [false, false, true]);
        }
        for never in [
            "https://169.254.169.254/latest/meta-data",
            "http://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:a9fe:a9fe::1]/",
            "https://[fd00:ec2::254]/",
            "https://0.0.0.0/",
            "https://0.1.2.3/",
            "https://[::]/",
            "https://224.0.0.1/",
            "https://[ff02::1]/",
            "https://255.255.255.255/",
            "http://chat.example.com/",
            "http://10.0.0.1/",
            "http://0x7f.1.example/",
            "ftp://chat.example.com/",
        ] {
            check(never, [false, false, false]);
        }
    }
}
