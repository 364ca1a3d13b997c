//! What the programs do, seen from outside. One file per behaviour; every test starts what it
//! needs on free ports and in temporary folders, so the order does not matter.

mod architecture;
mod authorisation_table;
mod browser_works;
mod embedding;
mod login_ldap;
mod login_password;
mod oidc_provider;
mod operations;
mod pages;
mod saml_attacks;
mod saml_commands;
mod saml_idp;
mod second_factor;
mod sessions;
mod site;
mod store_backends;
