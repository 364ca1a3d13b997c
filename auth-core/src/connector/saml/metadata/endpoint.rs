//! Addresses in metadata.

use url::{Host, Url};

use crate::connector::saml::xml::Element;

/// A binding that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// HTTP-POST.
    Post,
    /// HTTP-Redirect.
    Redirect,
}

impl Binding {
    /// The URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Post => "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
            Self::Redirect => "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
        }
    }
}

/// An address with the binding that it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Binding.
    pub binding: Binding,
    /// Where requests go.
    pub location: Url,
    /// Where answers go.
    pub response_location: Url,
}

impl Endpoint {
    /// Reads one; `None` for a binding that we do not speak or an address that no browser may be
    /// sent to.
    pub(super) fn read(element: &Element<'_>) -> Option<Self> {
        let binding = element.attribute("Binding")?;
        let binding =
            [Binding::Redirect, Binding::Post].into_iter().find(|it| it.uri() == binding)?;
        let location = address(element.attribute("Location")?)?;
        let response_location = match element.attribute("ResponseLocation") {
            Some(text) => address(text)?,
            None => location.clone(),
        };
        Some(Self { binding, location, response_location })
    }
}

/// https; http on this machine only.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(Url::has_host)?;
    let here = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
    };
    let secure = url.scheme() == "https" || (url.scheme() == "http" && here);
    (secure && url.username().is_empty() && url.password().is_none()).then_some(url)
}
