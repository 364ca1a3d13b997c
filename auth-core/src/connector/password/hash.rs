//! Argon2id (RFC 9106) as PHC strings: hashing, verifying, and when to hash anew.
//!
//! Passwords are normalised by Unicode NFKC first (NIST SP 800-63B section 3.1.1.2), so that the
//! same password typed on another keyboard is the same. The parameters in a stored hash are
//! bounded before anything is allocated: a corrupt or planted one cannot eat memory or time.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::connector::Refusal;
use crate::secret::Secret;

/// Longest password accepted, in bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Cost of a password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Parameters {
    /// Memory in KiB; at most 262,144 (256 MiB), at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over the memory; memory x passes is at most 2,097,152 KiB.
    pub iterations: u32,
    /// Lanes, 1 to 16. They are computed one after the other on one thread.
    pub parallelism: u32,
}

impl Default for Argon2Parameters {
    /// 19 MiB, 2 passes, 1 lane: OWASP's first recommendation for servers under load.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

/// Why parameters cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// Iterations out of bounds.
    #[error("iterations must be at least 1")]
    Iterations,
    /// Memory out of bounds.
    #[error("memory_kib must be between 8 for each lane and {MAX_MEMORY_KIB}")]
    Memory,
    /// Parallelism out of bounds.
    #[error("parallelism must be between 1 and {MAX_PARALLELISM}")]
    Parallelism,
    /// Each is in bounds, but one hash would take too long.
    #[error("memory_kib x iterations must be at most {MAX_WORK_KIB}: lower one of them")]
    Work,
}

impl Argon2Parameters {
    /// Checks the bounds.
    ///
    /// # Errors
    /// Names the parameter and its bounds.
    pub fn validate(self) -> Result<Self, ParametersError> {
        if !(1..=MAX_PARALLELISM).contains(&self.parallelism) {
            Err(ParametersError::Parallelism)
        } else if !(8 * self.parallelism..=MAX_MEMORY_KIB).contains(&self.memory_kib) {
            Err(ParametersError::Memory)
        } else if self.iterations == 0 {
            Err(ParametersError::Iterations)
        } else if u64::from(self.memory_kib) * u64::from(self.iterations) > MAX_WORK_KIB {
            Err(ParametersError::Work)
        } else {
            Ok(self)
        }
    }

    /// Whether these are cheaper than every set that OWASP recommends (the weakest of them is
    /// 7 MiB with 5 passes); worth a warning when configured.
    #[must_use]
    pub const fn is_below_recommendation(self) -> bool {
        self.memory_kib < 7 * 1024
            || (self.memory_kib as u64) * (self.iterations as u64) < 5 * 7 * 1024
    }

    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(OUTPUT_LEN))
    }
}

/// Why a stored hash cannot be used. Nothing of the hash is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredHashError {
    /// Not argon2id version 19.
    #[error("the stored password hash is not argon2id version 19: set the password anew")]
    Algorithm,
    /// Not a PHC string, or parts are missing or too short.
    #[error("the stored password hash is damaged: set the password anew")]
    Malformed,
    /// Parameters out of bounds.
    #[error("the stored password hash asks for too much ({0}): set the password anew")]
    Parameters(ParametersError),
}

/// Whether a stored hash should be replaced at the next login: it was made with other parameters
/// than `wanted`, or with a shorter salt or output. A damaged one cannot be.
#[must_use]
pub fn needs_rehash(stored: &str, wanted: Argon2Parameters) -> bool {
    StoredHash::parse(stored).is_ok_and(|stored| stored.needs_rehash(wanted))
}

/// Refuses what cannot be a password, before any work is done for it.
pub(super) fn check_presented(password: &Secret) -> Result<(), Refusal> {
    let text = password.expose();
    if text.is_empty() {
        Err(Refusal::EmptyPassword)
    } else if text.len() > MAX_PASSWORD_BYTES || text.contains('\0') {
        Err(Refusal::MalformedInput)
    } else {
        Ok(())
    }
}

/// The form of a password that is hashed, and in which its characters are counted.
pub(super) fn normalised(password: &Secret) -> Zeroizing<String> {
    let text = password.expose();
    if text.is_ascii() {
        return Zeroizing::new(text.to_owned());
    }
    // Room for the longest expansion (U+FDFA, 3 bytes to 33): growing would leave copies behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 11));
    out.extend(text.nfkc());
    out
}

/// Memory of one hash thread, kept between hashes.
#[derive(Default)]
pub(super) struct HashMemory {
    blocks: Vec<Block>,
}

impl HashMemory {
    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        self.blocks.len() * Block::SIZE
    }

    /// Wipes and frees it.
    pub(super) fn release(&mut self) {
        for block in &mut self.blocks {
            block.zeroize();
        }
        self.blocks = Vec::new();
    }

    /// Frees it when it is larger than `parameters` need, after a hash of costlier ones.
    pub(super) fn trim(&mut self, parameters: Argon2Parameters) {
        if self.held() > parameters.memory_kib as usize * Block::SIZE {
            self.release();
        }
    }

    fn at_least(&mut self, count: usize) -> Result<&mut [Block], argon2::Error> {
        if self.blocks.len() < count {
            self.release();
            self.blocks.try_reserve_exact(count).map_err(|_| argon2::Error::OutOfMemory)?;
            self.blocks.resize(count, Block::default());
        }
        Ok(&mut self.blocks)
    }
}

impl Drop for HashMemory {
    fn drop(&mut self) {
        self.release();
    }
}

/// Hashes `password` to a PHC string.
pub(super) fn hash(
    password: &Secret,
    parameters: Argon2Parameters,
    salt: &[u8; SALT_LEN],
    memory: &mut HashMemory,
) -> Result<String, argon2::Error> {
    let params = parameters.params()?;
    let mut output = Zeroizing::new([0u8; OUTPUT_LEN]);
    compute(password, &params, salt, output.as_mut(), memory)?;
    let invalid = |_| argon2::Error::SaltTooShort;
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| argon2::Error::AlgorithmInvalid)?,
        salt: Some(Salt::new(salt).map_err(invalid)?),
        hash: Some(Output::new(output.as_ref()).map_err(|_| argon2::Error::OutputTooShort)?),
    }
    .to_string())
}

/// Computes a hash that nothing is compared with: the cost of a verification for nobody.
pub(super) fn hash_for_nobody(
    password: &Secret,
    parameters: Argon2Parameters,
    memory: &mut HashMemory,
) -> Result<(), argon2::Error> {
    let mut output = Zeroizing::new([0u8; OUTPUT_LEN]);
    compute(password, &parameters.params()?, &[0; SALT_LEN], output.as_mut(), memory)
}

/// A stored hash whose parameters are known to be in bounds.
pub(super) struct StoredHash {
    params: Params,
    salt: Salt,
    output: Output,
}

impl StoredHash {
    pub(super) fn parse(stored: &str) -> Result<Self, StoredHashError> {
        let phc = PasswordHash::new(stored).map_err(|_| StoredHashError::Malformed)?;
        if phc.algorithm != Algorithm::Argon2id.ident() || phc.version != Some(VERSION) {
            return Err(StoredHashError::Algorithm);
        }
        let params = Params::try_from(&phc).map_err(|_| StoredHashError::Malformed)?;
        Argon2Parameters {
            memory_kib: params.m_cost(),
            iterations: params.t_cost(),
            parallelism: params.p_cost(),
        }
        .validate()
        .map_err(StoredHashError::Parameters)?;
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else {
            return Err(StoredHashError::Malformed);
        };
        let whole = salt.len() >= argon2::MIN_SALT_LEN
            && output.len() >= MIN_OUTPUT_LEN
            && params.keyid().is_empty()
            && params.data().is_empty();
        if whole { Ok(Self { params, salt, output }) } else { Err(StoredHashError::Malformed) }
    }

    pub(super) fn matches(
        &self,
        password: &Secret,
        memory: &mut HashMemory,
    ) -> Result<bool, argon2::Error> {
        let mut output = Zeroizing::new([0u8; Output::MAX_LENGTH]);
        let output = output.get_mut(..self.output.len()).ok_or(argon2::Error::OutputTooLong)?;
        compute(password, &self.params, &self.salt, output, memory)?;
        Ok(output.ct_eq(self.output.as_bytes()).into())
    }

    pub(super) fn needs_rehash(&self, wanted: Argon2Parameters) -> bool {
        let same = self.params.m_cost() == wanted.memory_kib
            && self.params.t_cost() == wanted.iterations
            && self.params.p_cost() == wanted.parallelism
            && self.salt.len() >= SALT_LEN
            && self.output.len() >= OUTPUT_LEN;
        !same
    }
}

fn compute(
    password: &Secret,
    params: &Params,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut HashMemory,
) -> Result<(), argon2::Error> {
    let password = normalised(password);
    let blocks = memory.at_least(params.block_count())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()).hash_password_into_with_memory(
        password.as_bytes(),
        salt,
        output,
        blocks,
    )
}

pub(super) const SALT_LEN: usize = 16;
const OUTPUT_LEN: usize = 32;
const MIN_OUTPUT_LEN: usize = 16;
const VERSION: u32 = 0x13;
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PARALLELISM: u32 = 16;
const MAX_WORK_KIB: u64 = 2 * 1024 * 1024;
