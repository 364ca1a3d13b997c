//! The starter file of `config init`. It passes `config check --offline` as it stands.

/// Its text.
pub(crate) const STARTER: &str = include_str!("starter.toml");
