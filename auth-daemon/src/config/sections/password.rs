//! `[password]`: accounts with a local password.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};

/// NIST SP 800-63B: at least 15 characters where the password is the only factor.
pub(in crate::config) const ALONE: u32 = 15;

/// Accounts with a local password (connector `local`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawPassword {
    /// Whether accounts with a local password can sign in.
    enabled: bool,
    /// Fewest characters of a new password, 8 to 64. Fewer than 15 only where `[mfa]` requires a
    /// second factor of every local account.
    #[schemars(range(min = 8, max = 64))]
    minimum_length: u32,
    /// Cost of argon2id. A stored hash of another cost is renewed at the next sign-in.
    argon2: RawArgon2,
}

/// Cost of argon2id (RFC 9106). A stored hash of another cost is renewed at the next sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawArgon2 {
    /// Memory of one hash in KiB: at least 8 for each lane, at most 256 MiB.
    #[schemars(range(min = 8, max = 262_144))]
    memory_kib: u32,
    /// Passes over the memory; `memory_kib` x `iterations` is at most 2 GiB.
    #[schemars(range(min = 1, max = 262_144))]
    iterations: u32,
    /// Lanes.
    #[schemars(range(min = 1, max = 16))]
    parallelism: u32,
}

impl Default for RawPassword {
    fn default() -> Self {
        Self { enabled: true, minimum_length: ALONE, argon2: RawArgon2::default() }
    }
}

impl Default for RawArgon2 {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

/// Accounts with a local password.
#[derive(Debug)]
pub(crate) struct PasswordRules {
    /// Whether they can sign in.
    pub(crate) enabled: bool,
    /// Fewest characters of a new password.
    pub(crate) minimum_length: u32,
    /// Cost of a hash.
    pub(crate) argon2: Argon2Cost,
}

/// Cost of argon2id, RFC 9106.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argon2Cost {
    /// Memory in KiB.
    pub(crate) memory_kib: u32,
    /// Passes.
    pub(crate) iterations: u32,
    /// Lanes.
    pub(crate) parallelism: u32,
}

impl RawPassword {
    /// Whether accounts with a local password can sign in.
    pub(in crate::config) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// `second_factor_always`: whether every local account needs a second factor.
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        second_factor_always: bool,
        problems: &mut Problems,
    ) -> PasswordRules {
        if self.enabled && self.minimum_length < ALONE && !second_factor_always {
            problems.error(
                &at.key("minimum_length"),
                format!(
                    "{} is too short for a password that is the only factor",
                    self.minimum_length
                ),
                "use 15, or set mfa.policy = \"required\" without a rule that frees local accounts",
            );
        }
        PasswordRules {
            enabled: self.enabled,
            minimum_length: self.minimum_length,
            argon2: self.argon2.resolve(&at.key("argon2"), problems),
        }
    }
}

impl RawArgon2 {
    fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Argon2Cost {
        let work = u64::from(self.memory_kib) * u64::from(self.iterations);
        if work > 2 * 1024 * 1024 {
            problems.error(
                at,
                "costs more than 2 GiB of memory traffic for one hash",
                "lower memory_kib or iterations",
            );
        } else if self.memory_kib < 8 * self.parallelism {
            problems.error(
                &at.key("memory_kib"),
                format!("is less than 8 KiB for each of {} lanes", self.parallelism),
                format!("give at least {}", 8 * self.parallelism),
            );
        } else if work < 7168 * 5 || self.memory_kib < 7168 {
            problems.warning(
                at,
                "costs an attacker less than the weakest setting that OWASP advises",
                "use memory_kib = 19456 and iterations = 2, or more",
            );
        }
        Argon2Cost {
            memory_kib: self.memory_kib,
            iterations: self.iterations,
            parallelism: self.parallelism,
        }
    }
}
