//! The SAML corpus of `fixtures/saml` as values: its connections, its cases, what is too large to be
//! checked in, and mutations. Everything is judged in this process, by the very functions that the
//! daemon calls; the clock is the case's own.

pub mod cases;
pub mod connections;
pub mod independent;
pub mod mutation;
pub mod recipes;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use auth_core::clock::Timestamp;

pub use cases::{Case, Kind, Verdict};
pub use connections::Connections;

/// A folder of `fixtures/saml`.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    crate::harness::workspace().join("fixtures/saml").join(name)
}

/// A time of a manifest.
///
/// # Errors
/// It is no RFC 3339 text.
pub fn moment(text: &str) -> Result<Timestamp> {
    Timestamp::parse_rfc3339(text).with_context(|| format!("{text} is no time"))
}
