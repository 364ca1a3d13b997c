//! What a handler is told of its request. Authorisation is an argument type: a handler that needs
//! a signed-in person takes [`signed_in::SignedIn`] and cannot forget to ask.

pub(crate) mod browser;
pub(crate) mod client_ip;
pub(crate) mod cookie;
pub(crate) mod device;
pub(crate) mod origin;
pub(crate) mod proxied;
pub(crate) mod signed_in;
