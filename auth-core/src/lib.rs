//! Identity and authentication broker as a library.
//!
//! ```text
//! HTTP request -> connector -> VerifiedIdentity -> account -> factor -> CompletedLogin
//!              -> session -> Session -> handoff -> cookie or tokens for the chat server
//! ```
//!
//! The modules have these names, in this order. Everything but [`store`], [`broker`] and the
//! connectors' clients is synchronous, takes `now` as a value and does no I/O.

pub mod connector;

pub mod account;

pub mod factor;

pub mod login;

pub mod session;

pub mod handoff;

pub mod store;

pub mod broker;

#[cfg(feature = "ldap")]
pub mod directory_sync;

pub mod audit;
pub mod clock;
#[cfg(feature = "ldap")]
mod hash_buckets;
pub mod key_ring;
pub mod random;
pub mod reach;
#[cfg(feature = "saml")]
pub mod replay;
pub mod secret;
