//! PROVE MORE: second factors, and when they are asked for. Pure rules: seeds and codes come in,
//! verdicts go out; sealing, counting wrong codes and consuming what was used is the caller's.
//!
//! - [`totp`]: time-based one-time passwords (RFC 6238) as authenticator apps make them.
//! - [`recovery_code`]: ten one-time codes for the day the telephone is lost.
//! - [`mod@requirement`]: whether a login needs a second factor.
//!
//! Everything that may be used once is consumed by one atomic call of the store
//! ([`FactorStore`](crate::store::FactorStore)), and only that call's answer lets a login go on.

mod base32;
mod passed;
pub mod recovery_code;
pub mod requirement;
pub mod totp;

pub use passed::PassedFactor;
pub use recovery_code::RecoveryCode;
pub use requirement::{MfaFacts, MfaPolicy, MfaRule, UpstreamFactors, requirement};
pub use totp::{MatchedStep, TotpAlgorithm, TotpRefusal, TotpSeed, TotpSettings};

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
}

impl Default for MfaSettings {
    /// Optional for everybody, with the parameters that every authenticator app reads.
    fn default() -> Self {
        Self {
            policy: MfaPolicy::Optional,
            rules: Vec::new(),
            totp: TotpSettings::default(),
            issuer: "Sign-in".to_owned(),
        }
    }
}
