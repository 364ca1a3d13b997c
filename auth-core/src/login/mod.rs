//! The login's state machine, without HTTP, store or clock.
//!
//! [`pending`] is what is kept between two requests: a versioned record, bound to one browser,
//! moved by compare-and-swap only. [`flow`] decides what comes next. [`step`] makes and checks a
//! form's token, which is good for one login, one step and one version. [`CompletedLogin`] is made
//! by `flow` alone, and nothing else can be turned into a session.

pub mod flow;
mod known_browser;
pub mod pending;
pub mod step;
pub mod throttle;

pub use flow::{CompletedLogin, FirstFactor};
pub(crate) use known_browser::remember;
pub use known_browser::{KnownBrowser, TypedName};
pub use pending::{LoginRequest, OwnPage, PendingLogin, PendingLoginError, Stage};
