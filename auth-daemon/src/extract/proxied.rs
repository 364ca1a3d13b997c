//! What a reverse proxy says of the request that it asks about. Headers count only from peers that
//! `listen.trusted_proxies` lists; a header that is there twice is no header, for two readers could
//! see two values.

use std::net::SocketAddr;
use std::sync::Arc;

use auth_core::handoff::forward_auth::{ProtectedUrl, ProxyHeaders, UnknownAddress};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::app::App;
use crate::error::PublicError;
use crate::extract::client_ip::is_listed;

/// A request that came through a listed proxy.
pub(crate) struct Proxied {
    /// What the proxy asks about, by its headers.
    pub(crate) asked_about: Result<ProtectedUrl, UnknownAddress>,
    /// The address of the request itself, as the browser sees it.
    pub(crate) own: Option<ProtectedUrl>,
}

/// The same, or a request of a peer that is not listed.
pub(crate) struct MaybeProxied(pub(crate) Option<Proxied>);

impl FromRequestParts<Arc<App>> for MaybeProxied {
    type Rejection = PublicError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, PublicError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let listed = peer.is_some_and(|peer| is_listed(peer, &app.site.trusted_proxies));
        if !listed {
            tracing::warn!(
                ?peer,
                "a reverse proxy that listen.trusted_proxies does not list asked for forward \
                 authentication"
            );
            return Ok(Self(None));
        }
        let asked_about = read(&parts.headers).and_then(|headers| headers.asked_about());
        Ok(Self(Some(Proxied { asked_about, own: own_address(parts, app.site.secure) })))
    }
}

fn read(headers: &HeaderMap) -> Result<ProxyHeaders, UnknownAddress> {
    Ok(ProxyHeaders {
        original_url: single(headers, "x-original-url")?,
        proto: single(headers, "x-forwarded-proto")?,
        host: single(headers, "x-forwarded-host")?,
        uri: single(headers, "x-forwarded-uri")?,
    })
}

fn single(headers: &HeaderMap, name: &str) -> Result<Option<String>, UnknownAddress> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    match (first.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.to_owned())),
        _ => Err(UnknownAddress::Malformed),
    }
}

/// `X-Forwarded-Host` where the proxy writes it, else `Host`.
fn own_address(parts: &Parts, secure: bool) -> Option<ProtectedUrl> {
    let headers = &parts.headers;
    let host = match single(headers, "x-forwarded-host").ok()? {
        Some(host) => host,
        None => single(headers, header::HOST.as_str()).ok()??,
    };
    let default = if secure { "https" } else { "http" };
    let proto = single(headers, "x-forwarded-proto").ok()?.unwrap_or_else(|| default.to_owned());
    ProtectedUrl::parse(&format!("{proto}://{host}{}", parts.uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Ok(ProxyHeaders::default()));
        headers.append("x-original-url", "https://wiki.example.com/".parse().unwrap());
        let url = read(&headers).and_then(|headers| headers.asked_about()).unwrap();
        assert_eq!(url.to_string(), "https://wiki.example.com/");
        headers.append("x-original-url", "https://admin.example.com/".parse().unwrap());
        assert_eq!(read(&headers), Err(UnknownAddress::Malformed));
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-host", "w\u{e4}".as_bytes().try_into().unwrap());
        assert_eq!(read(&headers), Err(UnknownAddress::Malformed));
    }
}
