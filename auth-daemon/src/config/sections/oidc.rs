//! `[[oidc]]`: connections to OpenID providers that people sign in with.
//!
//! The tables are read and judged, but this version has no connector for them and refuses to
//! start with one configured.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::SecretText;

/// An OpenID provider that people sign in with. Not available in this version: a file with one is
/// refused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawOidc {
    /// Id of the connection, `[a-z0-9-]{1,32}`.
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    /// Name on the sign-in page. Default: the id.
    label: Option<String>,
    /// Kind of provider; gives the issuer where it is the same for everybody.
    preset: Option<String>,
    /// Issuer URL of the provider; needed unless the preset gives it.
    issuer: Option<String>,
    /// Our client id at the provider.
    #[schemars(extend("x-required" = true))]
    client_id: Option<String>,
    /// Our client secret at the provider.
    client_secret: Option<SecretText>,
    /// A file that holds `client_secret`.
    client_secret_file: Option<PathBuf>,
    /// Scopes to ask for beside `openid`.
    scopes: Vec<String>,
}

impl RawOidc {
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
        if self.client_id.as_deref().is_none_or(str::is_empty) {
            problems.missing(&at.key("client_id"), "the provider gives it when you register");
        }
        match &self.issuer {
            Some(issuer) => {
                problems.endpoint(&at.key("issuer"), issuer);
            }
            None if self.preset.is_none() => {
                problems.missing(&at.key("issuer"), "or give a preset");
            }
            None => {}
        }
        problems.secret(
            at,
            "client_secret",
            self.client_secret,
            self.client_secret_file.as_deref(),
        );
    }
}
