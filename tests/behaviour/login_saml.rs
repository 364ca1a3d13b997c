//! Sign-ins through a real SAML identity provider (SimpleSAMLphp): there and back, refusals, what
//! the identity provider begins by itself, metadata that changes, and sign-outs in both directions.

mod attacks;
mod directory;
pub(crate) mod given;
mod idp_initiated;
mod logout;
mod metadata;
mod moved;
mod real_browser;
mod relay_state;
mod sign_in;
