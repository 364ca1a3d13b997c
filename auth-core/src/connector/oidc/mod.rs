//! OpenID Connect: people sign in at a provider that the browser is sent to.
//!
//! ```text
//! settings -> discovery -> authorization (PKCE, nonce) -> browser -> callback answer
//!          -> client redeems the code -> jwks (signature) -> id_token (claims) -> profile
//! ```
//!
//! Pure rules beside a `client` that fetches: `discovery`, `authorization`, `jwks`, `id_token`,
//! `profile`, `logout` and `plain` (OAuth 2.0 without ID tokens, for GitHub) take bytes and `now`.
//! Types of the protocol and the signatures' mathematics come from the `openidconnect` crate.

mod authorization;
mod client;
mod discovery;
mod freshness;
mod id_token;
mod jwks;
mod logout;
mod plain;
mod preset;
mod profile;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;
mod transport;

pub use authorization::{CallbackAnswer, is_own_parameter};
pub use client::OidcConnector;
pub use logout::LogoutNotice;
pub use preset::Preset;
pub use refusal::{OidcRefusal, Rejection};
pub use settings::{ClaimMap, ClientAuthentication, OidcSettings, PlainEndpoints, UserInfoUse};
