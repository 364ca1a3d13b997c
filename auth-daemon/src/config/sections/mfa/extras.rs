//! `[mfa]`: what spares a second factor, what counts as one, and how codes are made.

use std::time::Duration;

use auth_core::factor::{TotpAlgorithm, TotpSettings, UpstreamFactors};
use auth_core::store::GraceRule;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Known;
use crate::config::finding::{KeyPath, Problems};
use crate::config::values::{DAY, DurationText, HOUR};

/// How often or how long a second factor that is asked for may be put off. Both together: until
/// the first of them is over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGrace {
    /// So many sign-ins.
    logins: Option<u32>,
    /// So many days after the first sign-in that asked for it.
    days: Option<u32>,
}

/// How authenticator applications make their codes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTotp {
    /// Hash function. Some applications, Google Authenticator among them, know `SHA1` alone.
    algorithm: Algorithm,
    /// Digits of a code, 6 to 8.
    digits: u8,
    /// Seconds for which a code stands, 15 to 120.
    period: u8,
}

/// Hash function under the code.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
enum Algorithm {
    /// What every application knows.
    #[default]
    #[serde(rename = "SHA1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

/// Which values of an identity provider count as a second factor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUpstream {
    /// Id of a `[[saml]]` or `[[oidc]]` connection.
    #[schemars(extend("x-required" = true))]
    connector: Option<String>,
    /// Values of `amr` or `acr`, or authentication context classes, compared exactly.
    accept: Vec<String>,
}

impl Default for RawTotp {
    fn default() -> Self {
        let settings = TotpSettings::default();
        Self { algorithm: Algorithm::Sha1, digits: settings.digits, period: settings.period }
    }
}

impl RawGrace {
    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Option<GraceRule> {
        if self.logins.is_none() && self.days.is_none() {
            problems.error(at, "names neither logins nor days", "give one of them, or both");
            return None;
        }
        for (key, number) in [("logins", self.logins), ("days", self.days)] {
            if number.is_some_and(|number| !(1..=365).contains(&number)) {
                problems.error(&at.key(key), "is out of range", "give 1 to 365");
            }
        }
        Some(GraceRule { logins: self.logins, lasts: self.days.map(|days| DAY * days) })
    }
}

impl RawTotp {
    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> TotpSettings {
        let settings = TotpSettings {
            algorithm: match self.algorithm {
                Algorithm::Sha1 => TotpAlgorithm::Sha1,
                Algorithm::Sha256 => TotpAlgorithm::Sha256,
                Algorithm::Sha512 => TotpAlgorithm::Sha512,
            },
            digits: self.digits,
            period: self.period,
        };
        if let Err(error) = settings.validate() {
            problems.error(at, error.to_string(), "change it");
        }
        if self.period != 30 {
            problems.warning(
                &at.key("period"),
                "is not 30: many authenticator applications show wrong codes",
                "set it to 30, unless everybody uses one that is known to read it",
            );
        }
        settings
    }
}

pub(super) fn remembered(
    text: Option<&DurationText>,
    at: &KeyPath,
    problems: &mut Problems,
) -> Option<Duration> {
    text.and_then(|text| problems.duration(at, text, HOUR..=DAY * 90))
}

/// What identity providers usually say of a login with two factors: RFC 8176, REFEDS, Microsoft
/// Entra ID and AD FS, SAML 2.0 authentication context.
const USUAL: [&str; 7] = [
    "mfa",
    "https://refeds.org/profile/mfa",
    "http://schemas.microsoft.com/claims/multipleauthn",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorUnregistered",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI",
    "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken",
];

pub(super) fn upstream(
    trusted: Vec<String>,
    tables: Vec<RawUpstream>,
    at: &KeyPath,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Vec<(String, UpstreamFactors)> {
    let usual = || USUAL.map(str::to_owned).to_vec();
    let named = trusted.into_iter().enumerate().map(|(index, connector)| {
        (at.key("trust_upstream").index(index), Some(connector), usual())
    });
    let tables = tables
        .into_iter()
        .enumerate()
        .map(|(index, table)| (at.key("upstream").index(index), table.connector, table.accept));
    let mut found: Vec<(String, UpstreamFactors)> = Vec::new();
    for (place, connector, accept) in named.chain(tables).collect::<Vec<_>>() {
        let Some(connector) = connector else {
            problems.missing(&place.key("connector"), "name a [[saml]] or [[oidc]] connection");
            continue;
        };
        if !known.upstream.contains(&connector) {
            problems.error(
                &place,
                format!("`{connector}` is no [[saml]] or [[oidc]] connection"),
                "only those can say how somebody signed in there",
            );
        }
        if found.iter().any(|(other, _)| *other == connector) {
            problems.error(&place, format!("`{connector}` is named twice"), "keep one");
            continue;
        }
        if accept.is_empty() {
            problems.error(&place.key("accept"), "is empty", "name the values that count");
        }
        match UpstreamFactors::new(accept) {
            Ok(factors) => found.push((connector, factors)),
            Err(error) => problems.error(&place.key("accept"), error.to_string(), "take it away"),
        }
    }
    found
}
