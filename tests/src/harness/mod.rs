//! Programs that the behaviour tests start: each on free ports, in a folder of its own, ended when
//! its value is dropped.

mod program;
pub mod samba;
pub mod slapd;
