//! Harness of the behaviour tests in `behaviour/`.

pub mod harness;
