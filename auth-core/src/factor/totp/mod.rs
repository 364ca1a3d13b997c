//! Time-based one-time passwords, RFC 6238, as authenticator apps make them.
//!
//! A code of the present step, the one before or the one after is right (clocks differ, people
//! type slowly). It is good once: [`verify`] refuses every step up to the last one consumed, and
//! its answer [`MatchedStep`] counts only once the store has consumed that step, which happens at
//! most once over all nodes. The codes themselves come from `totp-rs`; its functions that read
//! the clock are not used.

mod import;
mod otpauth;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;

use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

pub use import::{ImportLine, ImportProblem, parse_import};
pub use otpauth::{ImportedSeed, QrError, qr_svg};

use super::base32::{RFC_4648, encode};
use crate::clock::Timestamp;
use crate::random::Random;

/// Hash function under the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotpAlgorithm {
    /// What every app knows.
    Sha1,
    /// Some apps take it and use SHA-1 all the same.
    Sha256,
    /// Some apps take it and use SHA-1 all the same.
    Sha512,
}

impl TotpAlgorithm {
    /// The word in otpauth URIs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// Reads `SHA1`, `SHA-256`, `HmacSHA512` and the like, without case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_uppercase().replace('-', "");
        match word.strip_prefix("HMAC").unwrap_or(&word) {
            "SHA1" => Some(Self::Sha1),
            "SHA256" => Some(Self::Sha256),
            "SHA512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// How codes are made of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotpSettings {
    /// Hash function.
    pub algorithm: TotpAlgorithm,
    /// Digits of a code, 6 to 8.
    pub digits: u8,
    /// Length of a step in seconds, 15 to 120.
    pub period: u8,
}

impl Default for TotpSettings {
    /// SHA-1, 6 digits, 30 s: what Google Authenticator reads.
    fn default() -> Self {
        Self { algorithm: TotpAlgorithm::Sha1, digits: 6, period: 30 }
    }
}

impl TotpSettings {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `Digits` or `Period`.
    pub fn validate(self) -> Result<Self, SeedError> {
        if !(6..=8).contains(&self.digits) {
            Err(SeedError::Digits)
        } else if !(15..=120).contains(&self.period) {
            Err(SeedError::Period)
        } else {
            Ok(self)
        }
    }
}

/// Why a seed cannot be used. Nothing of the seed is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// Not SHA-1, SHA-256 or SHA-512.
    #[error("`algorithm` must be SHA1, SHA256 or SHA512")]
    Algorithm,
    /// `otpauth://hotp/…`.
    #[error("codes by counter (hotp) are not supported: enrol a time-based one (totp)")]
    CounterBased,
    /// The stored form cannot be read.
    #[error("the stored seed is damaged, or was written by a newer version")]
    Damaged,
    /// Digits out of bounds.
    #[error("`digits` must be 6, 7 or 8")]
    Digits,
    /// No `secret` in the URI.
    #[error("the otpauth URI has no `secret`")]
    MissingSecret,
    /// Not base32.
    #[error("the secret is not base32 (letters A to Z and digits 2 to 7)")]
    NotBase32,
    /// Not an otpauth URI.
    #[error("not an otpauth URI: it has to begin with `otpauth://totp/`")]
    NotOtpauth,
    /// Period out of bounds.
    #[error("`period` must be 15 to 120 seconds")]
    Period,
    /// A parameter stands twice.
    #[error("the otpauth URI says `{0}` twice")]
    Repeated(&'static str),
    /// Longer than 1,024 bits.
    #[error("the secret is longer than 1024 bits")]
    TooLong,
    /// Shorter than 128 bits (RFC 4226 section 4, R6).
    #[error("the secret is shorter than 128 bits (RFC 4226): the person has to enrol anew")]
    TooShort,
}

/// A seed and how codes are made of it. The store keeps it sealed.
pub struct TotpSeed {
    secret: Zeroizing<Vec<u8>>,
    settings: TotpSettings,
}

impl TotpSeed {
    /// Draws a fresh seed of 160 bits.
    ///
    /// # Errors
    /// When `settings` are out of bounds.
    pub fn generate(settings: TotpSettings, random: &dyn Random) -> Result<Self, SeedError> {
        let mut secret = Zeroizing::new(vec![0u8; 20]);
        random.fill(&mut secret);
        Self::new(secret, settings)
    }

    /// Takes a seed of 128 to 1,024 bits that was made elsewhere.
    ///
    /// # Errors
    /// When it is too short or too long, or `settings` are out of bounds.
    pub fn new(secret: Zeroizing<Vec<u8>>, settings: TotpSettings) -> Result<Self, SeedError> {
        match secret.len() {
            0..16 => Err(SeedError::TooShort),
            16..=128 => Ok(Self { secret, settings: settings.validate()? }),
            _ => Err(SeedError::TooLong),
        }
    }

    /// The form that is sealed: `0x01 | algorithm | digits | period | secret`.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let algorithm = match self.settings.algorithm {
            TotpAlgorithm::Sha1 => 1,
            TotpAlgorithm::Sha256 => 2,
            TotpAlgorithm::Sha512 => 3,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + self.secret.len()));
        bytes.extend_from_slice(&[FORMAT, algorithm, self.settings.digits, self.settings.period]);
        bytes.extend_from_slice(&self.secret);
        bytes
    }

    /// Reads what [`TotpSeed::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SeedError> {
        let Some((&[FORMAT, algorithm, digits, period], secret)) = bytes.split_first_chunk() else {
            return Err(SeedError::Damaged);
        };
        let algorithm = match algorithm {
            1 => TotpAlgorithm::Sha1,
            2 => TotpAlgorithm::Sha256,
            3 => TotpAlgorithm::Sha512,
            _ => return Err(SeedError::Damaged),
        };
        Self::new(Zeroizing::new(secret.to_vec()), TotpSettings { algorithm, digits, period })
            .map_err(|_| SeedError::Damaged)
    }

    /// How codes are made of it.
    #[must_use]
    pub const fn settings(&self) -> TotpSettings {
        self.settings
    }

    /// The secret in base32, for its owner's app.
    #[must_use]
    pub fn expose_base32(&self) -> Zeroizing<String> {
        encode(&self.secret, RFC_4648)
    }

    /// The secret in base32 in groups of four, for a person who types it.
    #[must_use]
    pub fn expose_grouped(&self) -> Zeroizing<String> {
        let symbols = self.expose_base32();
        let mut shown = Zeroizing::new(String::with_capacity(symbols.len() + symbols.len() / 4));
        for (index, symbol) in symbols.chars().enumerate() {
            if index > 0 && index % 4 == 0 {
                shown.push(' ');
            }
            shown.push(symbol);
        }
        shown
    }

    /// One code per step, so that each step is judged by itself.
    fn codes(&self) -> Totp {
        Builder::new()
            .with_algorithm(match self.settings.algorithm {
                TotpAlgorithm::Sha1 => Algorithm::SHA1,
                TotpAlgorithm::Sha256 => Algorithm::SHA256,
                TotpAlgorithm::Sha512 => Algorithm::SHA512,
            })
            .with_digits(self.settings.digits)
            .with_step_duration(u64::from(self.settings.period))
            .with_skew(0)
            .with_secret(self.secret.as_slice().to_vec())
            .build_noncompliant()
    }
}

impl fmt::Debug for TotpSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSeed")
    }
}

/// A step whose code was given and that was not consumed so far. Only [`verify`] makes one, and
/// it proves nothing until the store has consumed the step
/// ([`FactorStore::consume_totp_step`](crate::store::FactorStore::consume_totp_step) answered true).
///
/// ```compile_fail
/// let forged = auth_core::factor::MatchedStep { step: 1 };
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the step has to be consumed in the store"]
pub struct MatchedStep {
    step: i64,
}

impl MatchedStep {
    /// The step's number: seconds since 1970, divided by the period.
    #[must_use]
    pub const fn step(&self) -> i64 {
        self.step
    }
}

/// Why a code is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TotpRefusal {
    /// The right code of a step within 10 steps of now, but beyond the skew: the app's clock is
    /// probably wrong. Refused like any other; the page may hint at the clock, only to a person
    /// whose first factor was right.
    ClockDrift {
        /// Set when the code is of a step to come: consume that step in the store before hinting,
        /// or the hint tells a guesser a code that will be good in some minutes.
        burn: Option<i64>,
    },
    /// The code of a step that was used already, or that lies before one that was.
    Replayed,
    /// No code of this seed about now.
    Wrong,
}

impl TotpRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClockDrift { .. } => "clock_drift",
            Self::Replayed => "replayed_code",
            Self::Wrong => "wrong_code",
        }
    }
}

/// Judges what somebody typed against `seed` at `now`. `last_step` is the highest step that was
/// consumed so far. Blanks in the code are left out.
///
/// # Errors
/// [`TotpRefusal`]; a wrong guess in every case.
pub fn verify(
    seed: &TotpSeed,
    code: &str,
    now: Timestamp,
    last_step: Option<i64>,
) -> Result<MatchedStep, TotpRefusal> {
    let mut digits = Zeroizing::new(String::with_capacity(LONGEST_TYPED));
    digits.extend(code.chars().take(LONGEST_TYPED).filter(|c| !c.is_whitespace()));
    let codes = seed.codes();
    let period = i64::from(seed.settings.period);
    let present = now.seconds().div_euclid(period);
    // Every step of the window is computed, whichever matches.
    let matching = |window: RangeInclusive<i64>| -> Vec<i64> {
        window
            .filter(|step| {
                u64::try_from(step * period).is_ok_and(|at| codes.check(&digits, at).is_some())
            })
            .collect()
    };
    let is_fresh = |step: i64| last_step.is_none_or(|last| step > last);
    let near = matching(present - SKEW..=present + SKEW);
    if let Some(&step) = near.iter().find(|&&step| is_fresh(step)) {
        return Ok(MatchedStep { step });
    }
    let far = matching(present - DRIFT..=present + DRIFT);
    match far.iter().max() {
        None => Err(TotpRefusal::Wrong),
        Some(&step) if near.is_empty() && is_fresh(step) => {
            Err(TotpRefusal::ClockDrift { burn: (step > present).then_some(step) })
        }
        Some(_) => Err(TotpRefusal::Replayed),
    }
}

const FORMAT: u8 = 1;
/// Steps before and after the present one whose codes are right (RFC 6238 section 5.2).
const SKEW: i64 = 1;
/// Steps in which a code is a sign of a wrong clock.
const DRIFT: i64 = 10;
const LONGEST_TYPED: usize = 32;
