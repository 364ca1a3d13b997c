//! URLs: the public one, endpoints, and which hosts are this machine.

use url::{Host, Url};

use crate::config::finding::{KeyPath, Problems};

/// The URL under which the daemon is reached: issuer, and start of every URL it hands out.
///
/// https, or http on this machine only; no path, query or fragment.
#[derive(Clone, Debug)]
pub(crate) struct PublicUrl {
    url: Url,
}

impl PublicUrl {
    /// The URL itself.
    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// The host name.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether browsers reach it by https, so that cookies are `Secure` with the `__Host-` prefix.
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl Problems {
    /// Reads `public_url`.
    pub(in crate::config) fn public_url(
        &mut self,
        at: &KeyPath,
        text: Option<&str>,
    ) -> Option<PublicUrl> {
        const REPAIR: &str = "write it as public_url = \"https://sso.example.com\"";
        let Some(text) = text else {
            self.missing(at, REPAIR);
            return None;
        };
        let Some(url) = parse(text).filter(|url| matches!(url.scheme(), "http" | "https")) else {
            self.error(at, "is no http or https URL", REPAIR);
            return None;
        };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || has_user(&url)
        {
            self.error(
                at,
                "has more than scheme, host and port",
                "take away path, query, fragment and user: the daemon has a host name of its own",
            );
            return None;
        }
        if url.scheme() == "http" {
            if !is_this_machine(&url) {
                self.error(
                    at,
                    "is http, so passwords and cookies would travel in clear",
                    "use https; http is for localhost, *.localhost and loopback addresses only",
                );
                return None;
            }
            self.warning(
                at,
                "is http: cookies have no Secure flag, good for trying out only",
                "use https",
            );
        }
        Some(PublicUrl { url })
    }

    /// Reads the URL of another server: https, or http on this machine.
    pub(in crate::config) fn endpoint(&mut self, at: &KeyPath, text: &str) -> Option<Url> {
        let url = parse(text).filter(|url| {
            !has_user(url)
                && url.fragment().is_none()
                && (url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(url)))
        });
        if url.is_none() {
            self.error(
                at,
                "is no https URL without user and fragment",
                "write it as \"https://host/path\"; http is for loopback addresses only",
            );
        }
        url
    }
}

/// Parses an absolute URL with a host. Blanks and controls, which the parser would silently drop,
/// are refused.
pub(in crate::config) fn parse(text: &str) -> Option<Url> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    Url::parse(text).ok().filter(Url::has_host)
}

/// Whether a URL names a user or password.
pub(in crate::config) fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether a URL's host is localhost, below it, or a loopback address.
pub(in crate::config) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // Not every scheme has its host parsed as a name or address.
        Some(Host::Domain(name)) => {
            let name = name.to_ascii_lowercase();
            name == "localhost"
                || name.ends_with(".localhost")
                || name.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine() {
        let check = |url: &str, expected: bool| {
            assert_eq!(is_this_machine(&parse(url).expect(url)), expected, "{url}");
        };
        check("http://localhost:8080", true);
        check("http://a.localhost", true);
        check("http://127.0.0.1", true);
        check("ldap://127.1.2.3", true);
        check("ldap://[::1]:389", true);
        check("ldap://LOCALHOST", true);
        check("http://localhost.example.com", false);
        check("http://notlocalhost", false);
        check("http://10.0.0.1", false);
        check("ldap://127.0.0.1.example.com", false);
    }

    #[test]
    fn public_url_is_cut_to_its_origin() {
        let mut problems = Problems::default();
        let at = KeyPath::root().key("public_url");
        let url = problems.public_url(&at, Some("https://SSO.example.com:443/")).expect("valid");
        assert_eq!(url.url().as_str(), "https://sso.example.com/");
        assert_eq!(url.host(), "sso.example.com");
        assert!(url.is_https());
        assert!(problems.into_findings().is_empty());
    }
}
