//! People sign in through OpenID providers: a real one, and one that lies.

mod given;
mod real;
