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
pub mod recovery_code;
pub mod requirement;
pub mod totp;

pub use recovery_code::RecoveryCode;
pub use requirement::{MfaFacts, MfaPolicy, MfaRule, UpstreamFactors, requirement};
pub use totp::{MatchedStep, TotpAlgorithm, TotpRefusal, TotpSeed, TotpSettings};
