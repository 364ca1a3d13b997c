//! Seeds in and out: the `otpauth://totp/` URI (Google Authenticator's key URI format), its QR
//! code as SVG, and the import of URIs and bare secrets that other programs made.
//!
//! Written and read by hand so that everything that held the secret is wiped.

use std::fmt;

use qrcode::render::svg::Color;
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

use super::{SeedError, TotpAlgorithm, TotpSeed, TotpSettings};
use crate::factor::base32::{RFC_4648, decode};

/// What an otpauth URI held.
pub struct ImportedSeed {
    /// The seed.
    pub seed: TotpSeed,
    /// Who issued it.
    pub issuer: Option<String>,
    /// The account's name at the issuer; may be empty.
    pub account: String,
}

impl fmt::Debug for ImportedSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedSeed")
    }
}

/// Why there is no QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the otpauth URI is too long for a QR code: shorten the issuer's or the account's name")]
pub struct QrError;

impl TotpSeed {
    /// The URI that an authenticator app reads. A colon in `issuer` or `account` becomes a
    /// hyphen: the format has no way to write one. What is the default is not written.
    #[must_use]
    pub fn expose_otpauth_uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let issuer = percent_encode(&issuer.trim().replace(':', "-"));
        let account = percent_encode(&account.trim().replace(':', "-"));
        let secret = self.expose_base32();
        let capacity = 128 + 2 * issuer.len() + account.len() + secret.len();
        let mut uri = Zeroizing::new(String::with_capacity(capacity));
        uri.push_str("otpauth://totp/");
        if !issuer.is_empty() {
            uri.push_str(&issuer);
            uri.push(':');
        }
        uri.push_str(&account);
        uri.push_str("?secret=");
        uri.push_str(&secret);
        if !issuer.is_empty() {
            uri.push_str("&issuer=");
            uri.push_str(&issuer);
        }
        let (settings, default) = (self.settings(), TotpSettings::default());
        if settings.algorithm != default.algorithm {
            uri.push_str("&algorithm=");
            uri.push_str(settings.algorithm.as_str());
        }
        if settings.digits != default.digits {
            uri.push_str(&format!("&digits={}", settings.digits));
        }
        if settings.period != default.period {
            uri.push_str(&format!("&period={}", settings.period));
        }
        uri
    }

    /// Takes a bare base32 secret that another program made, in any case, with blanks, hyphens or
    /// padding.
    ///
    /// # Errors
    /// `NotBase32`, `TooShort`, `TooLong`, or `settings` out of bounds.
    pub fn import_base32(text: &str, settings: TotpSettings) -> Result<Self, SeedError> {
        let mut symbols = Zeroizing::new(Vec::with_capacity(text.len()));
        symbols.extend(
            text.trim_end_matches(|c: char| c == '=' || c.is_whitespace())
                .bytes()
                .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
                .map(|byte| byte.to_ascii_uppercase()),
        );
        Self::new(decode(&symbols, RFC_4648).ok_or(SeedError::NotBase32)?, settings)
    }

    /// Takes an `otpauth://totp/` URI that another program made. Parameters that are not known
    /// are left out.
    ///
    /// # Errors
    /// [`SeedError`], which names the parameter.
    pub fn import_otpauth_uri(uri: &str) -> Result<ImportedSeed, SeedError> {
        let (scheme, rest) = uri.trim().split_once("://").ok_or(SeedError::NotOtpauth)?;
        let (kind, rest) = rest.split_once('/').ok_or(SeedError::NotOtpauth)?;
        if !scheme.eq_ignore_ascii_case("otpauth") {
            return Err(SeedError::NotOtpauth);
        }
        if kind.eq_ignore_ascii_case("hotp") {
            return Err(SeedError::CounterBased);
        }
        if !kind.eq_ignore_ascii_case("totp") {
            return Err(SeedError::NotOtpauth);
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (label, query) = rest.split_once('?').ok_or(SeedError::MissingSecret)?;
        let parameters = Parameters::parse(query)?;
        let label = percent_decode(label, false).ok_or(SeedError::NotOtpauth)?;
        let (label_issuer, account) = match label.split_once(':') {
            Some((issuer, account)) => (Some(issuer), account),
            None => (None, label.as_str()),
        };
        let settings = parameters.settings()?;
        let secret = parameters.secret.as_ref().ok_or(SeedError::MissingSecret)?;
        let issuer = parameters.issuer.as_ref().map(|issuer| issuer.as_str()).or(label_issuer);
        Ok(ImportedSeed {
            seed: Self::import_base32(secret, settings)?,
            issuer: issuer.map(str::trim).filter(|issuer| !issuer.is_empty()).map(str::to_owned),
            account: account.trim().to_owned(),
        })
    }
}

/// The QR code of an otpauth URI as an `<svg>` element for a page: black on white, with the quiet
/// zone, no script, no style and no outside request.
///
/// # Errors
/// When the URI is too long for a QR code.
pub fn qr_svg(uri: &str) -> Result<Zeroizing<String>, QrError> {
    let code =
        QrCode::with_error_correction_level(uri.as_bytes(), EcLevel::M).map_err(|_| QrError)?;
    let document = Zeroizing::new(
        code.render::<Color<'_>>()
            .min_dimensions(SIDE, SIDE)
            .dark_color(Color("#000"))
            .light_color(Color("#fff"))
            .build(),
    );
    // An XML declaration may not stand inside a page.
    let element = document.find("<svg ").and_then(|at| document.get(at + 5..)).ok_or(QrError)?;
    let mut svg = Zeroizing::new(String::with_capacity(element.len() + ELEMENT.len()));
    svg.push_str(ELEMENT);
    svg.push_str(element);
    Ok(svg)
}

#[derive(Default)]
struct Parameters {
    secret: Option<Zeroizing<String>>,
    issuer: Option<Zeroizing<String>>,
    algorithm: Option<Zeroizing<String>>,
    digits: Option<Zeroizing<String>>,
    period: Option<Zeroizing<String>>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, SeedError> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value, true).ok_or(SeedError::NotOtpauth)?;
            let (name, slot) = match name.to_ascii_lowercase().as_str() {
                "secret" => ("secret", &mut parameters.secret),
                "issuer" => ("issuer", &mut parameters.issuer),
                "algorithm" => ("algorithm", &mut parameters.algorithm),
                "digits" => ("digits", &mut parameters.digits),
                "period" => ("period", &mut parameters.period),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(SeedError::Repeated(name));
            }
        }
        Ok(parameters)
    }

    fn settings(&self) -> Result<TotpSettings, SeedError> {
        let mut settings = TotpSettings::default();
        if let Some(word) = &self.algorithm {
            settings.algorithm = TotpAlgorithm::parse(word).ok_or(SeedError::Algorithm)?;
        }
        if let Some(number) = &self.digits {
            settings.digits = number.parse().map_err(|_| SeedError::Digits)?;
        }
        if let Some(number) = &self.period {
            settings.period = number.parse().map_err(|_| SeedError::Period)?;
        }
        settings.validate()
    }
}

/// Everything but RFC 3986's unreserved characters; a blank is `%20`, because apps show a `+`.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `None` for an incomplete escape or for what is not UTF-8.
fn percent_decode(text: &str, plus_is_blank: bool) -> Option<Zeroizing<String>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    std::str::from_utf8(&out).ok().map(|text| Zeroizing::new(text.to_owned()))
}

const ELEMENT: &str = "<svg role=\"img\" aria-label=\"QR code\" ";
const SIDE: u32 = 220;
