//! What the programs do, seen from outside. One file per behaviour; every test starts what it
//! needs on free ports and in temporary folders, so the order does not matter.

mod architecture;
mod authorisation_table;
mod browser_works;
mod directory_commands;
mod directory_sync;
mod embedding;
mod factor_table;
mod forward_auth;
mod handoff_gitlab;
mod known_browser;
mod ldap_faults;
mod login_ldap;
mod login_oidc;
mod login_password;
mod login_saml;
mod oidc_extensions;
mod oidc_logout;
mod oidc_provider;
mod operations;
mod pages;
mod passkeys;
mod reload;
mod relying_parties;
mod saml_attacks;
mod saml_commands;
mod saml_idp;
mod second_factor;
mod security;
mod security_notices;
mod security_standard;
mod sessions;
mod sessions_api;
mod site;
mod store_backends;
