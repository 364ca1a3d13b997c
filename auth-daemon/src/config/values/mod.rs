//! Kinds of values that several sections share: durations, shares, secrets, files, addresses,
//! URLs and names. Each has a text form for the raw structs, a typed form, and a method of
//! [`Problems`](super::finding::Problems) that leads from one to the other.

pub(super) mod duration;
mod file;
mod name;
mod network;
mod percent;
mod secret;
pub(super) mod url;

pub(super) use duration::{DAY, DurationText, HOUR, MINUTE};
pub(super) use percent::PercentText;
pub(super) use secret::SecretText;

pub(crate) use percent::Percent;
pub(crate) use url::PublicUrl;
