//! SAML 2.0 service provider: requests out, responses verified, single logout, metadata of both
//! sides. Everything here is pure: no clock, no randomness, no I/O; XML signatures come from an
//! engine that is passed in as a value ([`engine::XmlSecurity`], implemented by `auth-xmlsec`).
//!
//! A response is parsed strictly, its shape is allow-listed, it is verified twice (our own
//! canonical form and the engine) against pinned keys, and identity is read from the verified
//! bytes alone. What comes out is an [`UnspentAssertion`], which gives a `VerifiedIdentity` only
//! for the proof that it is used for the first time.

mod allowlist;
mod assertion;
mod authn_request;
mod base64_text;
mod checks;
mod code;
mod connection;
mod departure;
mod encrypted;
pub mod engine;
mod envelope;
mod legacy;
mod logout;
mod mapping;
pub mod metadata;
pub mod name_id;
mod outgoing;
mod pinned_key;
mod place;
pub mod posted;
mod preset;
pub mod redirect_binding;
mod response;
mod semantics;
mod settings;
mod setup;
mod signature;
mod sp_metadata;
mod unspent;
mod verification;
mod xml;

pub use authn_request::AuthnRequestOptions;
pub use checks::Check;
pub use code::{SamlCode, SamlRefusal};
pub use connection::{MAX_CLOCK_SKEW, SamlConnection};
pub use departure::SentRequest;
pub use legacy::LegacyAlgorithm;
pub use logout::{LogoutRequest, LogoutResponse, LogoutResult, Received};
pub use metadata::{Binding, Endpoint, IdentityProvider, MetadataChoice};
pub use name_id::NameId;
pub use outgoing::{Delivery, Outgoing, PostForm};
pub use pinned_key::{KeyKind, PinnedKey, UnusableKey};
pub use place::SamlPlace;
pub use preset::{Preset, UnknownPreset};
pub use response::{Judgement, Statement};
pub use semantics::{Expectation, PendingRequest};
pub use settings::{AttributeMap, AttributeRule, NAME_ID, NoRule, RequestBinding, SamlSettings};
pub use setup::{SetupValue, setup_values};
pub use sp_metadata::service_provider_metadata;
pub use unspent::{RedeemedAssertion, SamlSession, UnspentAssertion};
