//! Redirect URIs: absolute, without fragment, and never to a place where others can listen.

use url::Url;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::url::{has_user, is_this_machine};

/// Schemes that a browser acts upon itself, so no application can own them.
const BROWSER_SCHEMES: [&str; 12] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "javascript",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
];

impl Problems {
    /// Checks a list of redirect URIs (RFC 6749 section 3.1.2, RFC 8252, RFC 9700 section 2.1).
    pub(super) fn redirect_uris(&mut self, at: &KeyPath, uris: &[String], public_client: bool) {
        for (index, uri) in uris.iter().enumerate() {
            let at = at.index(index);
            if let Err((problem, repair)) = check(uri, public_client) {
                self.error(&at, problem, repair);
            } else if uris.iter().take(index).any(|earlier| earlier == uri) {
                self.warning(&at, "is listed twice", "remove one");
            }
        }
    }
}

fn check(text: &str, public_client: bool) -> Result<(), (&'static str, &'static str)> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    let url = Url::parse(text).ok().filter(|_| printable).ok_or((
        "is no absolute URI",
        "write it as the client sends it, e.g. \"https://chat.example.com/oauth/callback\"",
    ))?;
    if url.fragment().is_some() {
        return Err(("has a fragment", "take away the # and what follows"));
    }
    if has_user(&url) {
        return Err(("names a user or password", "take it away"));
    }
    if text.len() > 2048 {
        return Err(("is longer than 2048 characters", "shorten it"));
    }
    if text.contains('*') {
        return Err(("has a wildcard", "list each URI: they are compared exactly"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_this_machine(&url) => Ok(()),
        "http" => Err((
            "is http, so codes would travel in clear",
            "use https; http is for loopback addresses only",
        )),
        scheme if BROWSER_SCHEMES.contains(&scheme) => {
            Err(("has a scheme that no application owns", "use https or the application's own"))
        }
        // RFC 8252 section 7.1: without the period anybody's application could own it.
        scheme if public_client && scheme.contains('.') => Ok(()),
        _ if public_client => Err((
            "has a scheme without a period",
            "use a domain name of yours turned round, e.g. \"com.example.chat:/callback\"",
        )),
        _ => Err((
            "has a scheme of an application's own, but the client is confidential",
            "use https, or set public = true for an installed application",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn redirect_uris() {
        let accepted = |uri: &str, public: bool, expected: bool| {
            assert_eq!(check(uri, public).is_ok(), expected, "{uri} public={public}");
        };
        for public in [false, true] {
            accepted("https://chat.example.com/cb?a=b", public, true);
            accepted("http://127.0.0.1:7000/cb", public, true);
            accepted("http://[::1]/cb", public, true);
            accepted("http://localhost/cb", public, true);
            accepted("http://chat.example.com/cb", public, false);
            accepted("https://chat.example.com/cb#x", public, false);
            accepted("https://chat.example.com/cb#", public, false);
            accepted("https://user@chat.example.com/cb", public, false);
            accepted("https://*.example.com/cb", public, false);
            accepted("/cb", public, false);
            accepted("", public, false);
            accepted(" https://chat.example.com/cb", public, false);
            accepted("https://chat.example.com/a b", public, false);
            accepted("javascript:alert(1)", public, false);
            accepted("JavaScript:alert(1)", public, false);
            accepted("data:text/html,x", public, false);
        }
        accepted("com.example.chat:/cb", true, true);
        accepted("com.example.chat:/cb", false, false);
        accepted("mmauth://callback", true, false);
    }
}
