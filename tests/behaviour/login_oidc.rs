//! People sign in through OpenID providers: a real one, and one that lies.

mod browser_binding;
mod given;
mod logout;
mod real;
mod tokens;
