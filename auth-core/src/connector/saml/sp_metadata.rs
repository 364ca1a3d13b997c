//! Our own metadata for a connection: entity id, keys for signing and for encryption (two of each
//! while they change), assertion consumer and logout addresses; signed where the settings want it.

use super::base64_text::encode;
use super::code::{SamlCode, SamlRefusal};
use super::connection::SamlConnection;
use super::engine::{ContentCipher, PrivateKey};
use super::metadata::Binding;
use super::outgoing::{Draft, attribute, element, instant};
use super::settings::SamlSettings;
use super::xml::{DS, MD, SAMLP};
use crate::clock::Timestamp;
use crate::secret::{hex, sha256};
use std::sync::Arc;
use std::time::Duration;

/// How long a copy may be used without a look at ours.
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

impl SamlConnection {
    /// Our metadata.
    ///
    /// # Errors
    /// `engine_failed` when it is to be signed and cannot be.
    pub fn metadata(&self, now: Timestamp) -> Result<String, SamlRefusal> {
        let wants_signed = self.identity_provider().wants_signed_requests();
        service_provider_metadata(self.settings(), self.keys(), wants_signed, now)
    }
}

/// The metadata of a connection whose identity provider is not known yet, which is the usual
/// order: the identity provider needs ours before it gives its own.
///
/// # Errors
/// `engine_failed` when it is to be signed and cannot be.
pub fn service_provider_metadata(
    settings: &SamlSettings,
    keys: &[Arc<dyn PrivateKey>],
    wants_signed_requests: bool,
    now: Timestamp,
) -> Result<String, SamlRefusal> {
    // The same entity has the same ID, so that two copies differ in nothing but their dates.
    let id = format!("_{}", hex(&sha256(settings.sp_entity_id.as_bytes())));
    let mut before = String::from("<md:EntityDescriptor");
    attribute(&mut before, "xmlns:md", MD);
    attribute(&mut before, "ID", &id);
    attribute(&mut before, "entityID", &settings.sp_entity_id);
    if settings.sign_metadata {
        attribute(&mut before, "validUntil", &instant(now + VALID_FOR));
    }
    before.push('>');
    let signs = settings.sign_requests || wants_signed_requests;
    let after = role(settings, keys, signs);
    let draft = Draft { id, issued_at: now, before, after };
    if !settings.sign_metadata {
        return Ok(format!("{}{}", draft.before, draft.after));
    }
    let key = keys
        .first()
        .ok_or_else(|| SamlCode::EngineFailed.because("there is no key of ours to sign with"))?;
    draft.signed(key.as_ref())
}

fn role(settings: &SamlSettings, keys: &[Arc<dyn PrivateKey>], signs: bool) -> String {
    let mut out = String::from("<md:SPSSODescriptor");
    attribute(&mut out, "AuthnRequestsSigned", if signs { "true" } else { "false" });
    attribute(&mut out, "WantAssertionsSigned", "true");
    attribute(&mut out, "protocolSupportEnumeration", SAMLP);
    out.push('>');
    for kind in ["signing", "encryption"] {
        for key in keys {
            key_descriptor(&mut out, kind, key.certificate());
        }
    }
    for binding in [Binding::Redirect, Binding::Post] {
        out.push_str("<md:SingleLogoutService");
        attribute(&mut out, "Binding", binding.uri());
        attribute(&mut out, "Location", &settings.slo_url);
        out.push_str("/>");
    }
    if let Some(format) = &settings.name_id_format {
        element(&mut out, "md:NameIDFormat", format);
    }
    out.push_str("<md:AssertionConsumerService");
    attribute(&mut out, "Binding", Binding::Post.uri());
    attribute(&mut out, "Location", &settings.acs_url);
    attribute(&mut out, "index", "0");
    attribute(&mut out, "isDefault", "true");
    out.push_str("/></md:SPSSODescriptor></md:EntityDescriptor>");
    out
}

fn key_descriptor(out: &mut String, kind: &str, certificate: &[u8]) {
    out.push_str("<md:KeyDescriptor");
    attribute(out, "use", kind);
    out.push_str("><ds:KeyInfo");
    attribute(out, "xmlns:ds", DS);
    out.push_str("><ds:X509Data>");
    element(out, "ds:X509Certificate", &encode(certificate));
    out.push_str("</ds:X509Data></ds:KeyInfo>");
    if kind == "encryption" {
        // The best first: an identity provider takes the first that it knows.
        for cipher in [
            ContentCipher::Aes256Gcm,
            ContentCipher::Aes128Gcm,
            ContentCipher::Aes256Cbc,
            ContentCipher::Aes128Cbc,
        ] {
            out.push_str("<md:EncryptionMethod");
            attribute(out, "Algorithm", cipher.uri());
            out.push_str("/>");
        }
        out.push_str("<md:EncryptionMethod");
        attribute(out, "Algorithm", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p");
        out.push_str("/>");
    }
    out.push_str("</md:KeyDescriptor>");
}
