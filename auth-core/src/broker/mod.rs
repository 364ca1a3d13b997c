//! The shell: load, decide, save, audit. No rules of its own.

pub mod provider;
