//! Behaviour tests against real programs.

mod login_ldap;
