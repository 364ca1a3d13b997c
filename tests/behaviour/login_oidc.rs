//! People sign in through OpenID providers: a real one, and one that lies.

mod accounts;
mod administration;
mod browser_binding;
pub(crate) mod given;
mod logout;
mod pages;
mod real;
mod tokens;
