//! From `[[saml]]` to a connection: settings, keys of ours, the identity provider's metadata.

mod findings;
mod kept;
mod trust;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::{PrivateKey, XmlSecurity};
use auth_core::connector::saml::{
    IdentityProvider, Preset, RequestBinding, SamlConnection, SamlRefusal, SamlSettings,
};
use auth_xmlsec::XmlsecEngine;
use url::Url;

pub(crate) use findings::findings;
pub(crate) use kept::{Connections, KeptConnection};
pub(crate) use trust::{
    cabinet, choice, document, existing_cabinet, open_cabinet, own_keys, read_file, refuse_errors,
};

use crate::config::{PublicUrl, Saml, SamlAttributes, SamlPreset, SamlRequestBinding};

/// The engine for XML signatures and encryption.
pub(crate) fn engine() -> Arc<dyn XmlSecurity> {
    Arc::new(XmlsecEngine)
}

/// The settings of a connection, with the preset's defaults filled in.
pub(crate) fn settings(saml: &Saml, public_url: &PublicUrl) -> SamlSettings {
    let preset = preset(saml.preset);
    let own = |given: &Option<String>, what: &str| {
        given.clone().unwrap_or_else(|| own_url(public_url.url(), &saml.id, what))
    };
    let defaults = SamlSettings::new(
        &saml.id,
        preset,
        &own(&saml.sp_entity_id, "metadata"),
        &own(&saml.acs_url, "acs"),
        &own(&saml.slo_url, "slo"),
    );
    let mut settings = SamlSettings {
        label: saml.label.clone(),
        allow_idp_initiated: saml.allow_idp_initiated,
        allow_sha1: saml.allow_sha1,
        clock_skew: saml.clock_skew,
        sign_requests: saml.sign_requests.unwrap_or(defaults.sign_requests),
        sign_metadata: saml.sign_metadata,
        request_binding: match saml.request_binding {
            SamlRequestBinding::Post => RequestBinding::Post,
            SamlRequestBinding::Redirect => RequestBinding::Redirect,
        },
        require_encryption: saml.require_encryption,
        force_authn: saml.force_authn,
        sign_out_upstream: saml.sign_out_upstream,
        authn_context: saml.authn_context.clone(),
        admin_rules: saml.admin_rules.clone(),
        guest_rules: saml.guest_rules.clone(),
        ..defaults
    };
    if let Some(format) = &saml.name_id_format {
        settings.name_id_format = Some(format.clone()).filter(|format| !format.is_empty());
    }
    set_attributes(&mut settings, &saml.attributes);
    settings
}

/// The keys of ours that `sp_key_files` names, newest first.
///
/// # Errors
/// Names the file that cannot be used.
pub(crate) fn keys_of_files(saml: &Saml) -> anyhow::Result<Vec<Arc<dyn PrivateKey>>> {
    saml.sp_key_files.iter().map(|file| key_of_file(file)).collect()
}

fn key_of_file(file: &Path) -> anyhow::Result<Arc<dyn PrivateKey>> {
    let pem = std::fs::read(file).with_context(|| format!("sp_key_files: {}", file.display()))?;
    let pem = zeroize::Zeroizing::new(pem);
    engine().load_pem(&pem).with_context(|| format!("sp_key_files: {}", file.display()))
}

/// Reads metadata as the connection wants it.
///
/// # Errors
/// A code that begins with `metadata_`, or one of the strict parse.
pub(crate) fn identity_provider(
    saml: &Saml,
    document: &[u8],
    now: Timestamp,
) -> Result<IdentityProvider, SamlRefusal> {
    IdentityProvider::from_metadata(document, choice(saml), engine().as_ref(), now)
}

/// Puts a connection together.
///
/// # Errors
/// What does not fit.
pub(crate) fn connection(
    settings: SamlSettings,
    idp: IdentityProvider,
    keys: Vec<Arc<dyn PrivateKey>>,
) -> Result<SamlConnection, SamlRefusal> {
    SamlConnection::new(settings, idp, engine(), keys)
}

/// `PUBLIC_URL/saml/ID/WHAT`
fn own_url(public_url: &Url, id: &str, what: &str) -> String {
    format!("{}saml/{id}/{what}", public_url.as_str())
}

const fn preset(preset: SamlPreset) -> Preset {
    match preset {
        SamlPreset::Adfs => Preset::Adfs,
        SamlPreset::Entra => Preset::Entra,
        SamlPreset::Generic => Preset::Generic,
        SamlPreset::Google => Preset::Google,
        SamlPreset::Keycloak => Preset::Keycloak,
        SamlPreset::Okta => Preset::Okta,
        SamlPreset::OneLogin => Preset::OneLogin,
        SamlPreset::Shibboleth => Preset::Shibboleth,
    }
}

fn set_attributes(settings: &mut SamlSettings, wanted: &SamlAttributes) {
    let map = &mut settings.attributes;
    if wanted.id.is_some() {
        map.id.clone_from(&wanted.id);
    }
    for (names, wanted) in [
        (&mut map.username, &wanted.username),
        (&mut map.email, &wanted.email),
        (&mut map.first_name, &wanted.first_name),
        (&mut map.last_name, &wanted.last_name),
        (&mut map.nickname, &wanted.nickname),
        (&mut map.position, &wanted.position),
        (&mut map.locale, &wanted.locale),
        (&mut map.groups, &wanted.groups),
    ] {
        if let Some(name) = wanted {
            *names = vec![name.clone()];
        }
    }
    map.claims.extend(wanted.claims.clone());
}
