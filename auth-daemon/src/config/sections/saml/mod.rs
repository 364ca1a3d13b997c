//! `[[saml]]`: connections to SAML 2.0 identity providers.
//!
//! What is left out falls back to the preset, which belongs to the connector: the typed struct
//! says `None` there. Where the identity provider's metadata comes from is one of three: a file, a
//! URL, or what `saml import` put into the store.

mod attributes;
mod raw;

use std::path::PathBuf;
use std::time::Duration;

use auth_core::connector::saml::AttributeRule;
use url::Url;

use super::accounts::Accounts;
use super::logo::Logo;
pub(crate) use attributes::SamlAttributes;
pub(in crate::config) use raw::RawSaml;
pub(crate) use raw::{SamlPreset, SamlRequestBinding};

/// A connection to an identity provider.
#[derive(Debug)]
pub(crate) struct Saml {
    /// Its id: the connector's name.
    pub(crate) id: String,
    /// Its name on the sign-in page.
    pub(crate) label: String,
    /// Its picture on the sign-in page.
    pub(crate) logo: Option<Logo>,
    /// Mail domains whose people are led here.
    pub(crate) domains: Vec<String>,
    /// Who gets an account through it, and whose.
    pub(crate) accounts: Accounts,
    /// Kind of identity provider.
    pub(crate) preset: SamlPreset,
    /// Where its metadata comes from.
    pub(crate) metadata: MetadataSource,
    /// The entity in the metadata, where there may be several.
    pub(crate) entity_id: Option<String>,
    /// Certificates one of which has to have signed the metadata; empty: none has to.
    pub(crate) metadata_signature_certificates: Vec<[u8; 32]>,
    /// How often metadata of a URL is read again.
    pub(crate) metadata_refresh: Duration,
    /// Whether the identity provider may begin.
    pub(crate) allow_idp_initiated: bool,
    /// Whether SHA-1 and short RSA keys are accepted.
    pub(crate) allow_sha1: bool,
    /// Difference of clocks that is tolerated.
    pub(crate) clock_skew: Duration,
    /// Our entity id; `None`: the URL of our metadata.
    pub(crate) sp_entity_id: Option<String>,
    /// Our assertion consumer service; `None`: that of this connection.
    pub(crate) acs_url: Option<String>,
    /// Our single logout service; `None`: that of this connection.
    pub(crate) slo_url: Option<String>,
    /// Files with our keys, newest first; empty: they are kept in the store.
    pub(crate) sp_key_files: Vec<PathBuf>,
    /// Whether requests are signed; `None`: what the preset says.
    pub(crate) sign_requests: Option<bool>,
    /// Whether our metadata is signed.
    pub(crate) sign_metadata: bool,
    /// How requests are sent.
    pub(crate) request_binding: SamlRequestBinding,
    /// Whether an assertion that is not encrypted is refused.
    pub(crate) require_encryption: bool,
    /// NameID format to ask for; `None`: what the preset says; empty: nothing.
    pub(crate) name_id_format: Option<String>,
    /// Whether everybody authenticates anew.
    pub(crate) force_authn: bool,
    /// Whether signing out here leads on to the identity provider's sign-out.
    pub(crate) sign_out_upstream: bool,
    /// Authentication context classes to ask for.
    pub(crate) authn_context: Vec<String>,
    /// Which attribute becomes what.
    pub(crate) attributes: SamlAttributes,
    /// Who has the role `administrator`.
    pub(crate) admin_rules: Vec<AttributeRule>,
    /// Who has the role `guest`.
    pub(crate) guest_rules: Vec<AttributeRule>,
}

/// Where the identity provider's metadata comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MetadataSource {
    /// A file.
    File(PathBuf),
    /// What `saml import` put into the store.
    Imported,
    /// A URL.
    Url(Url),
}
