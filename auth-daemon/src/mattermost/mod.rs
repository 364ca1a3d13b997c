//! Mattermost's REST API, version 4: the calls, what they are used for, and what they may do.
//! Which calls are right is decided in `auth_core::handoff::mattermost`.

pub(crate) mod adoption;
pub(crate) mod api;
pub(crate) mod check;
pub(crate) mod push;
pub(crate) mod sign_in;
