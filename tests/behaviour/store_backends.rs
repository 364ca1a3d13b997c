//! The PostgreSQL store against a real server: the conformance suite, several nodes starting at
//! once, foreign and newer schemas, TLS, a replica, and outages. The suite runs over the memory and SQLite stores
//! in their own crates.

mod conformance;
mod given;
mod network;
mod outages;
mod start;
