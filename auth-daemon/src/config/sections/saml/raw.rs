//! What may be written in `[[saml]]`.

use std::path::PathBuf;
use std::time::Duration;

use auth_core::connector::saml::AttributeRule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attributes::RawSamlAttributes;
use super::{MetadataSource, Saml};
use crate::config::finding::{KeyPath, Problems};
use crate::config::sections::accounts::RawAccounts;
use crate::config::values::{DAY, DurationText, MINUTE};

/// A SAML 2.0 identity provider. Several tables make several connections.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawSaml {
    /// Id of the connection, `[a-z0-9-]{1,32}`; part of our addresses at the identity provider and
    /// of every account's identity, so never change it.
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    /// Name on the sign-in page. Default: the id.
    label: Option<String>,
    /// Picture on its button: an SVG or PNG file of 64 KiB at most.
    logo_file: Option<PathBuf>,
    /// Mail domains whose people are led here when they type their address on the sign-in page.
    domains: Vec<String>,
    /// Kind of identity provider; gives NameID format, attribute names and signing that are not
    /// set here.
    preset: SamlPreset,
    /// URL of the identity provider's metadata. Without it and `metadata_file`, the metadata is
    /// what `saml import` put into the store.
    metadata_url: Option<String>,
    /// A file with the identity provider's metadata, instead of `metadata_url`.
    metadata_file: Option<PathBuf>,
    /// Entity id of the identity provider, where the metadata describes several.
    entity_id: Option<String>,
    /// SHA-256 fingerprints of certificates, one of which has to have signed the metadata: 64
    /// hexadecimal digits each, colons are allowed. With them, changed keys need no approval.
    metadata_signature_certificate_sha256: Vec<String>,
    /// How often metadata of a URL is read again.
    metadata_refresh: DurationText,
    /// Whether the identity provider may begin a sign-in by itself.
    allow_idp_initiated: bool,
    /// Legacy: also accept SHA-1 and RSA keys of 1024 to 2047 bits.
    allow_sha1: bool,
    /// Difference of clocks that is tolerated, at most `300s`.
    clock_skew: DurationText,
    /// Our entity id. Default: the URL of our metadata.
    sp_entity_id: Option<String>,
    /// Our assertion consumer service. Default: the one of this connection.
    acs_url: Option<String>,
    /// Our single logout service. Default: the one of this connection.
    slo_url: Option<String>,
    /// PEM files with key and certificate of ours, newest first. Default: made at first start and
    /// sealed in the store.
    sp_key_files: Vec<PathBuf>,
    /// Whether requests are signed. Default: the preset's.
    sign_requests: Option<bool>,
    /// Whether our metadata is signed.
    sign_metadata: bool,
    /// How requests are sent.
    request_binding: SamlRequestBinding,
    /// Whether an assertion that is not encrypted is refused.
    require_encryption: bool,
    /// NameID format to ask for: `email`, `persistent`, `unspecified`, `none` (ask for nothing) or
    /// a URI. Default: the preset's.
    name_id_format: Option<String>,
    /// Whether everybody has to authenticate anew at the identity provider.
    force_authn: bool,
    /// Whether signing out here leads on to the identity provider's sign-out, where its metadata
    /// has one.
    sign_out_upstream: bool,
    /// Authentication context classes to ask for. Default: none, which suits everybody.
    authn_context: Vec<String>,
    /// Which attribute becomes what. What is not set comes from the preset.
    attributes: RawSamlAttributes,
    /// `name=value`: who has this value in this attribute has the role `administrator` in claims.
    /// `groups=value` looks at the mapped groups.
    admin_rules: Vec<String>,
    /// `name=value`: who has this value in this attribute has the role `guest` in claims.
    guest_rules: Vec<String>,
    /// Who gets an account through it, and whose.
    accounts: RawAccounts,
}

/// Kind of identity provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SamlPreset {
    /// Microsoft AD FS.
    Adfs,
    /// Microsoft Entra ID.
    Entra,
    /// Any other.
    #[default]
    Generic,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// OneLogin.
    OneLogin,
    /// Shibboleth.
    Shibboleth,
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SamlRequestBinding {
    /// As a form that the browser sends on.
    Post,
    /// In the query of a URL.
    #[default]
    Redirect,
}

impl Default for RawSaml {
    fn default() -> Self {
        Self {
            id: None,
            label: None,
            logo_file: None,
            domains: Vec::new(),
            preset: SamlPreset::default(),
            metadata_url: None,
            metadata_file: None,
            entity_id: None,
            metadata_signature_certificate_sha256: Vec::new(),
            metadata_refresh: "6h".into(),
            allow_idp_initiated: false,
            allow_sha1: false,
            clock_skew: "60s".into(),
            sp_entity_id: None,
            acs_url: None,
            slo_url: None,
            sp_key_files: Vec::new(),
            sign_requests: None,
            sign_metadata: false,
            request_binding: SamlRequestBinding::default(),
            require_encryption: false,
            name_id_format: None,
            force_authn: false,
            sign_out_upstream: true,
            authn_context: Vec::new(),
            attributes: RawSamlAttributes::default(),
            admin_rules: Vec::new(),
            guest_rules: Vec::new(),
            accounts: RawAccounts::default(),
        }
    }
}

impl RawSaml {
    /// The id as written, for the checks of uniqueness.
    pub(in crate::config) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(in crate::config) fn resolve(
        mut self,
        at: &KeyPath,
        directories: &[String],
        problems: &mut Problems,
    ) -> Saml {
        let at = &at.clone().named(self.id.as_deref());
        let id = problems.id(at, self.id.take()).unwrap_or_default();
        if let Some(label) = &self.label {
            problems.label(&at.key("label"), label);
        }
        let metadata = self.metadata(at, problems);
        self.check_own_addresses(at, problems);
        for (index, file) in self.sp_key_files.iter().enumerate() {
            problems.private_file(&at.key("sp_key_files").index(index), file);
        }
        if self.allow_sha1 {
            problems.warning(
                &at.key("allow_sha1"),
                "accepts weak signatures: SHA-1, and RSA keys of 1024 to 2047 bits",
                "let the identity provider sign with SHA-256, then set it to false",
            );
        }
        let skew = Duration::ZERO..=MINUTE * 5;
        let clock_skew = problems.duration(&at.key("clock_skew"), &self.clock_skew, skew);
        let refresh = Duration::from_secs(10)..=DAY * 7;
        let metadata_refresh =
            problems.duration(&at.key("metadata_refresh"), &self.metadata_refresh, refresh);
        let pins = self.pins(at, problems);
        let admin_rules = rules(&at.key("admin_rules"), &self.admin_rules, problems);
        let guest_rules = rules(&at.key("guest_rules"), &self.guest_rules, problems);
        // The stable subject may itself be the directory's id.
        let kept: Vec<String> = self.attributes.kept().chain(["sub"]).map(str::to_owned).collect();
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        let accounts = self.accounts.resolve(&at.key("accounts"), directories, &kept, problems);
        let logo = self.logo_file.as_deref();
        Saml {
            logo: logo.and_then(|file| problems.logo(&at.key("logo_file"), file)),
            domains: problems.domains(&at.key("domains"), self.domains),
            accounts,
            label: self.label.unwrap_or_else(|| id.clone()),
            id,
            preset: self.preset,
            metadata,
            entity_id: self.entity_id,
            metadata_signature_certificates: pins,
            metadata_refresh: metadata_refresh.unwrap_or_default(),
            allow_idp_initiated: self.allow_idp_initiated,
            allow_sha1: self.allow_sha1,
            clock_skew: clock_skew.unwrap_or_default(),
            sp_entity_id: self.sp_entity_id,
            acs_url: self.acs_url,
            slo_url: self.slo_url,
            sp_key_files: self.sp_key_files,
            sign_requests: self.sign_requests,
            sign_metadata: self.sign_metadata,
            request_binding: self.request_binding,
            require_encryption: self.require_encryption,
            name_id_format: self.name_id_format.map(|format| full_format(&format).to_owned()),
            force_authn: self.force_authn,
            sign_out_upstream: self.sign_out_upstream,
            authn_context: self.authn_context,
            attributes: self.attributes.resolve(&at.key("attributes"), problems),
            admin_rules,
            guest_rules,
        }
    }

    fn metadata(&self, at: &KeyPath, problems: &mut Problems) -> MetadataSource {
        match (&self.metadata_url, &self.metadata_file) {
            (Some(_), Some(_)) => problems.error(
                &at.key("metadata_url"),
                "`metadata_url` and `metadata_file` are both set",
                "keep one of them",
            ),
            (None, None) => {}
            (Some(url), None) => {
                if let Some(url) = problems.endpoint(&at.key("metadata_url"), url) {
                    return MetadataSource::Url(url);
                }
            }
            (None, Some(file)) => {
                problems.readable_file(&at.key("metadata_file"), file);
                return MetadataSource::File(file.clone());
            }
        }
        MetadataSource::Imported
    }

    fn check_own_addresses(&self, at: &KeyPath, problems: &mut Problems) {
        for (key, url) in [("acs_url", &self.acs_url), ("slo_url", &self.slo_url)] {
            if let Some(url) = url {
                problems.endpoint(&at.key(key), url);
            }
        }
        for (key, text) in [("sp_entity_id", &self.sp_entity_id), ("entity_id", &self.entity_id)] {
            let sound = |text: &String| {
                (1..=1024).contains(&text.len())
                    && !text.chars().any(|c| c.is_whitespace() || c.is_control())
            };
            if text.as_ref().is_some_and(|text| !sound(text)) {
                problems.error(
                    &at.key(key),
                    "is no entity id",
                    "give 1 to 1024 characters without blanks, best a URL",
                );
            }
        }
    }

    fn pins(&self, at: &KeyPath, problems: &mut Problems) -> Vec<[u8; 32]> {
        let at = at.key("metadata_signature_certificate_sha256");
        let mut pins = Vec::new();
        for (index, text) in self.metadata_signature_certificate_sha256.iter().enumerate() {
            match fingerprint(text) {
                Some(pin) => pins.push(pin),
                None => problems.error(
                    &at.index(index),
                    "is no SHA-256 fingerprint",
                    "give 64 hexadecimal digits; `openssl x509 -noout -fingerprint -sha256 -in \
                     FILE` prints them",
                ),
            }
        }
        pins
    }
}

fn rules(at: &KeyPath, texts: &[String], problems: &mut Problems) -> Vec<AttributeRule> {
    let mut rules = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(rule) => rules.push(rule),
            Err(_) => problems.error(
                &at.index(index),
                "is no rule",
                "write \"name=value\", e.g. \"groups=chat-admins\"",
            ),
        }
    }
    rules
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|&c| c != ':').collect();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn full_format(format: &str) -> &str {
    use auth_core::connector::saml::name_id::{EMAIL_ADDRESS, PERSISTENT, UNSPECIFIED};
    match format {
        "email" => EMAIL_ADDRESS,
        "none" => "",
        "persistent" => PERSISTENT,
        "unspecified" => UNSPECIFIED,
        other => other,
    }
}
