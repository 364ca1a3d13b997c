//! XML signatures and encryption for `auth-core`: the only crate that links system C libraries.
