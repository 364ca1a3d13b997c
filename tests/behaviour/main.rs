//! What the programs do, seen from outside. One file per behaviour; every test starts what it
//! needs on free ports and in temporary folders, so the order does not matter.

mod architecture;
mod browser_works;
mod login_ldap;
mod store_backends;
