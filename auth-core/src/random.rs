//! Randomness as a value: rules get bytes or a `&dyn Random`, so that a test can choose them.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom as AwsRandom};

/// A source of random bytes fit for keys and session ids.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator through aws-lc.
#[derive(Debug, Default)]
pub struct SystemRandom(AwsRandom);

impl SystemRandom {
    /// A handle on the system's generator.
    #[must_use]
    pub fn new() -> Self {
        Self(AwsRandom::new())
    }
}

impl Random for SystemRandom {
    /// # Panics
    /// When the operating system gives no randomness: nothing may go on without it.
    #[expect(clippy::expect_used, reason = "no login may go on without randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the operating system's random generator failed");
    }
}
