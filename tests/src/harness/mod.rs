//! Programs that the behaviour tests start: each on free ports, in a folder of its own, ended when
//! its value is dropped.

mod run_program;
pub mod samba;
pub mod slapd;
