//! One module per section of the file: the raw struct (what may be written, with its defaults;
//! its doc comments are the reference text), the typed struct, and `resolve`, which leads from
//! one to the other and reports all that is wrong on the way.
//!
//! `resolve` stands where `TryFrom` would: it takes the place of the section and the collector of
//! problems, so that one run reports every error. A value it had to make up after an error is
//! never seen by anybody, for the configuration is refused as a whole.

pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod claims;
pub(crate) mod client;
pub(crate) mod directory;
pub(crate) mod keys;
pub(crate) mod listen;
pub(crate) mod login;
pub(crate) mod logo;
pub(crate) mod mfa;
pub(crate) mod notices;
pub(crate) mod oidc;
pub(crate) mod password;
pub(crate) mod saml;
pub(crate) mod session;
pub(crate) mod storage;
pub(crate) mod throttle;
