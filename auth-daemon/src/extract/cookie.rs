//! Cookies of ours: how one is read, and how one is set.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// Seconds: 400 days, the longest that browsers keep a cookie.
pub(crate) const LONGEST: u64 = 400 * 24 * 60 * 60;

/// Sets the cookie `name` for this host, out of reach of scripts and of other sites' posts. It ends
/// with the browser where no seconds are given.
pub(crate) fn set_cookie(
    response: &mut Response,
    secure: bool,
    name: &str,
    value: &str,
    seconds: Option<u64>,
) {
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The value of the cookie `name`; none when it is there twice with different values.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}
