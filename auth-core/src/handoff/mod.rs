//! TELL THE CHAT SERVER: the rules of the OpenID provider, without HTTP, store or clock.
//!
//! A request is parsed once into a type ([`authorization`], [`token`]), judged against the client
//! and what the store said ([`code`], [`refresh`], [`introspection`]), and answered. Loading and
//! saving is done by [`crate::broker::provider`]. Specifications: RFC 6749 and 9700 (OAuth),
//! OpenID Connect Core 1.0, RFC 7636 (PKCE), 7009 (revocation), 7662 (introspection), 9207 (`iss`).
//! [`gitlab`] is the same hand-off as GitLab's OAuth provider does it.

pub mod acr;
pub mod authorization;
pub mod claim_rule;
pub mod claims;
pub mod client;
pub mod client_session;
pub mod code;
pub mod device;
pub mod discovery;
pub mod forward_auth;
pub mod gitlab;
pub mod id_token;
pub mod introspection;
pub mod issuer;
pub mod logout;
pub mod logout_token;
pub mod mattermost;
pub mod oauth_error;
pub mod outbox;
pub mod parameters;
pub mod pkce;
pub mod pushed_request;
pub mod refresh;
pub mod revocation;
pub mod scope;
pub mod session_api;
pub mod signing_key;
pub mod signing_key_set;
pub mod subject;
pub mod token;
pub mod webhook;
