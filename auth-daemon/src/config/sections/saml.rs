//! `[[saml]]`: connections to SAML 2.0 identity providers.
//!
//! The tables are read and judged, so that a file written for a later version is checked, but
//! this version has no SAML connector and refuses to start with one configured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::{DurationText, MINUTE};

/// A SAML 2.0 identity provider. Not available in this version: a file with one is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawSaml {
    /// Id of the connection, `[a-z0-9-]{1,32}`.
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    /// Name on the sign-in page. Default: the id.
    label: Option<String>,
    /// Kind of identity provider; gives the attribute names that are not set here.
    preset: Option<String>,
    /// URL of the identity provider's metadata.
    metadata_url: Option<String>,
    /// A file with the identity provider's metadata, instead of `metadata_url`.
    metadata_file: Option<PathBuf>,
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
    /// PEM files with key and certificate of ours, newest first. Default: made at first start and
    /// sealed in the store.
    sp_key_files: Vec<PathBuf>,
    /// Attribute names by field (`username`, `email`, …).
    attributes: BTreeMap<String, String>,
}

impl Default for RawSaml {
    fn default() -> Self {
        Self {
            id: None,
            label: None,
            preset: None,
            metadata_url: None,
            metadata_file: None,
            allow_idp_initiated: false,
            allow_sha1: false,
            clock_skew: "60s".into(),
            sp_entity_id: None,
            acs_url: None,
            sp_key_files: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }
}

impl RawSaml {
    /// The id as written, for the checks of uniqueness.
    pub(in crate::config) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(in crate::config) fn check(self, at: &KeyPath, problems: &mut Problems) {
        let at = &at.clone().named(self.id.as_deref());
        problems.id(at, self.id);
        if let Some(label) = &self.label {
            problems.label(&at.key("label"), label);
        }
        match (&self.metadata_url, &self.metadata_file) {
            (Some(_), Some(_)) => problems.error(
                &at.key("metadata_url"),
                "`metadata_url` and `metadata_file` are both set",
                "keep one of them",
            ),
            (None, None) => problems.missing(&at.key("metadata_url"), "or give metadata_file"),
            (Some(url), None) => {
                problems.endpoint(&at.key("metadata_url"), url);
            }
            (None, Some(file)) => problems.readable_file(&at.key("metadata_file"), file),
        }
        if let Some(url) = &self.acs_url {
            problems.endpoint(&at.key("acs_url"), url);
        }
        problems.duration(&at.key("clock_skew"), &self.clock_skew, Duration::ZERO..=MINUTE * 5);
        for (index, file) in self.sp_key_files.iter().enumerate() {
            problems.private_file(&at.key("sp_key_files").index(index), file);
        }
        if self.allow_sha1 {
            problems.warning(&at.key("allow_sha1"), "accepts weak signatures", "set it to false");
        }
    }
}
