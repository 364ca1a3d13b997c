//! The login's state machine, without HTTP, store or clock.
//!
//! [`pending`] is what is kept between two requests: a versioned record, bound to one browser,
//! moved by compare-and-swap only. [`flow`] decides what comes next. [`step`] makes and checks a
//! form's token, which is good for one login, one step and one version. [`CompletedLogin`] is made
//! by `flow` alone, and nothing else can be turned into a session.

pub mod flow;
pub mod pending;
pub mod step;
pub mod throttle;

pub use flow::{CompletedLogin, FirstFactor};
pub use pending::{LoginRequest, OwnPage, PendingLogin, PendingLoginError, Stage};
