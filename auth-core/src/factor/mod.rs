//! PROVE MORE: second factors, and when they are asked for. Pure rules: seeds and codes come in,
//! verdicts go out; sealing, counting wrong codes and consuming what was used is the caller's.
//!
//! - [`totp`]: time-based one-time passwords (RFC 6238) as authenticator apps make them.
//! - [`recovery_code`]: ten one-time codes for the day the telephone is lost.
//! - [`passkey`]: WebAuthn credentials, as a second factor or in the place of both.
//! - [`mod@requirement`]: whether a login needs a second factor.
//! - [`trusted_device`], [`grace`]: what spares one for a while.
//!
//! Everything that may be used once is consumed by one atomic call of the store
//! ([`FactorStore`](crate::store::FactorStore)), and only that call's answer lets a login go on.

mod base32;
pub mod grace;
mod passed;
#[cfg(feature = "passkey")]
pub mod passkey;
pub mod recovery_code;
pub mod requirement;
pub mod totp;
pub mod trusted_device;

use std::collections::HashMap;
use std::time::Duration;

use crate::store::GraceRule;

pub use grace::{Postponed, Postponement};
pub use passed::PassedFactor;
pub use recovery_code::RecoveryCode;
pub use requirement::{MfaFacts, MfaPolicy, MfaRule, UpstreamFactors, requirement};
pub use totp::{MatchedStep, TotpAlgorithm, TotpRefusal, TotpSeed, TotpSettings};
pub use trusted_device::TrustedDevice;

/// A passkey's word among the kinds of factor, and its place among the connectors where it stands
/// in for the password.
pub const PASSKEY: &str = "passkey";

/// How second factors are handled.
#[derive(Clone, Debug)]
pub struct MfaSettings {
    /// What is asked where no rule matches.
    pub policy: MfaPolicy,
    /// Rules; the strictest that matches wins.
    pub rules: Vec<MfaRule>,
    /// Parameters of new seeds.
    pub totp: TotpSettings,
    /// What an authenticator app shows above the code.
    pub issuer: String,
    /// What of an upstream identity provider counts as a second factor, by connector.
    pub upstream: HashMap<String, UpstreamFactors>,
    /// How an enrolment that the policy asks for may be put off; `None`: not at all.
    pub grace: Option<GraceRule>,
    /// How long a device may be remembered; `None`: none is.
    pub remember_device: Option<Duration>,
}

impl Default for MfaSettings {
    /// Optional for everybody, with the parameters that every authenticator app reads.
    fn default() -> Self {
        Self {
            policy: MfaPolicy::Optional,
            rules: Vec::new(),
            totp: TotpSettings::default(),
            issuer: "Sign-in".to_owned(),
            upstream: HashMap::new(),
            grace: None,
            remember_device: None,
        }
    }
}
