//! Keycloak as the identity provider: the second one beside SimpleSAMLphp, with AES-256-GCM, the
//! RSA-OAEP of XML Encryption 1.1 and Conditions of one minute, and an upstream OpenID provider.
//!
//! A group of its own, because it fetches 177 MB once and takes half a minute to start:
//! `cargo xtask test --group keycloak`, and a part of `cargo xtask audit`. Whoever runs this program
//! wants it: what is missing is a failure here, and the command says "skipped" where it cannot run.

mod given;
mod oidc;
mod responses;
mod sign_in;
mod sign_out;
