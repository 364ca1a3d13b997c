//! What the behaviour tests start and drive: real programs on free loopback ports, in temporary
//! folders, stopped and removed again when their value is dropped.
//!
//! The tests themselves are in `behaviour/`, one file per behaviour; the demonstration
//! (`src/bin/demo.rs`) and the measurements (`src/bin/bench.rs`) are built from the same parts.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

pub mod bench;
pub mod harness;
pub mod saml_corpus;
