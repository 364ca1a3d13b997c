//! What is wrong with, or worth knowing about, the `[[saml]]` tables beyond their syntax: keys that
//! cannot be used, metadata that says nothing usable, certificates that end soon.

use std::time::Duration;

use auth_core::clock::Timestamp;
use auth_core::connector::saml::{IdentityProvider, PinnedKey};

use super::{connection, identity_provider, keys_of_files, settings};
use crate::app::saml::trust::read_file;
use crate::config::{Config, Finding, MetadataSource, Saml, Severity};

/// When a certificate's end is near.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// Judges every connection as far as files allow; connects to nothing.
pub(crate) fn findings(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut all = Vec::new();
    for (index, saml) in config.saml.iter().enumerate() {
        let mut add = |severity, key: &str, problem: String, repair: &str| {
            all.push(Finding {
                severity,
                key: format!("saml[{index}].{key}"),
                id: Some(saml.id.clone()),
                variable: None,
                problem,
                repair: repair.to_owned(),
            });
        };
        judge(saml, config, now, &mut add);
    }
    all
}

fn judge(
    saml: &Saml,
    config: &Config,
    now: Timestamp,
    add: &mut impl FnMut(Severity, &str, String, &str),
) {
    let mut keys = Vec::new();
    match keys_of_files(saml) {
        Ok(found) => keys = found,
        Err(error) => add(
            Severity::Error,
            "sp_key_files",
            format!("{error:#}"),
            "give PEM files with an RSA private key and its certificate",
        ),
    }
    for key in &keys {
        if let Ok(own) = PinnedKey::from_certificate(key.certificate(), false)
            && ends_soon(&own, now)
        {
            add(
                Severity::Warning,
                "sp_key_files",
                format!("our certificate {} ends at {}", own.fingerprint(), own.not_after()),
                "make another key, put it first, give the identity provider the new metadata",
            );
        }
    }
    match &saml.metadata {
        MetadataSource::Imported => add(
            Severity::Warning,
            "metadata_url",
            "neither metadata_url nor metadata_file is set".to_owned(),
            "set one, or import the identity provider's metadata with `saml import`",
        ),
        MetadataSource::Url(_) => {}
        MetadataSource::File(file) => match read_file(file) {
            Err(error) => add(Severity::Error, "metadata_file", format!("{error:#}"), "mend it"),
            Ok(document) => match identity_provider(saml, &document, now) {
                Err(refusal) => add(
                    Severity::Error,
                    "metadata_file",
                    refusal.to_string(),
                    refusal.code.meaning(),
                ),
                Ok(idp) => {
                    judge_idp(&idp, now, add);
                    let mut wanted = settings(saml, &config.public_url);
                    if saml.sp_key_files.is_empty() {
                        // The store has keys, or will have them at the first start.
                        wanted.sign_requests = false;
                        wanted.sign_metadata = false;
                    }
                    if let Err(refusal) = connection(wanted, idp, keys) {
                        add(
                            Severity::Error,
                            "metadata_file",
                            refusal.to_string(),
                            refusal.code.meaning(),
                        );
                    }
                }
            },
        },
    }
}

fn judge_idp(
    idp: &IdentityProvider,
    now: Timestamp,
    add: &mut impl FnMut(Severity, &str, String, &str),
) {
    for key in idp.keys() {
        if ends_soon(key, now) {
            add(
                Severity::Warning,
                "metadata_file",
                format!(
                    "the identity provider's certificate {} ends at {}; its key is accepted \
                     afterwards too",
                    key.fingerprint(),
                    key.not_after()
                ),
                "ask when the identity provider changes its key, and get the new metadata first",
            );
        }
    }
    for problem in idp.unusable_keys() {
        add(
            Severity::Warning,
            "metadata_file",
            format!("a signing key was left out: {problem}"),
            "nothing to do while the other keys are the ones in use",
        );
    }
}

fn ends_soon(key: &PinnedKey, now: Timestamp) -> bool {
    key.not_after() < now + SOON
}
