//! How a person is found: service identity, base, filters.

use auth_core::secret::Secret;

use super::raw::{Preset, RawDirectory};
use crate::config::finding::{KeyPath, Problems};

/// The service identity, where one is set.
pub(super) fn service_identity(
    raw: &mut RawDirectory,
    at: &KeyPath,
    problems: &mut Problems,
) -> Option<(String, Secret)> {
    let has_password = raw.bind_password.is_some() || raw.bind_password_file.is_some();
    problems.both_or_none(
        at,
        ("bind_dn", raw.bind_dn.is_some()),
        ("bind_password_file", has_password),
    );
    if raw.bind_dn.is_none() && !has_password && raw.user_dn_template.is_none() {
        problems.warning(
            &at.key("bind_dn"),
            "is not set: people are searched anonymously",
            "set bind_dn and bind_password_file, unless the server allows that on purpose",
        );
    }
    let file = raw.bind_password_file.take();
    let password = problems.secret(at, "bind_password", raw.bind_password.take(), file.as_deref());
    let dn = raw.bind_dn.take();
    if dn.as_ref().is_some_and(|dn| dn.trim().is_empty()) {
        problems.error(&at.key("bind_dn"), "is empty", "give a DN, or remove it");
    }
    dn.zip(password)
}

/// Checks base, template, filters and login attributes.
pub(super) fn check(raw: &RawDirectory, at: &KeyPath, problems: &mut Problems) {
    match raw.base_dn.as_deref() {
        None => problems.missing(&at.key("base_dn"), "write base_dn = \"dc=example,dc=com\""),
        Some("") if raw.preset == Preset::ActiveDirectory => {}
        Some(dn) if !dn.contains('=') => {
            problems.error(&at.key("base_dn"), "is no DN", "write it as \"dc=example,dc=com\"")
        }
        Some(_) => {}
    }
    if let Some(template) = &raw.user_dn_template
        && (template.matches("{username}").count() != 1
            || template.matches(['{', '}']).count() != 2)
    {
        problems.error(
            &at.key("user_dn_template"),
            "has to hold {username} once, and no other brace",
            "write it as \"uid={username},ou=people,dc=example,dc=com\"",
        );
    }
    let filters = [
        ("user_filter", &raw.user_filter),
        ("admin_filter", &raw.admin_filter),
        ("guest_filter", &raw.guest_filter),
    ];
    for (name, text) in filters {
        if let Some(text) = text {
            filter(&at.key(name), text, problems);
        }
    }
    for (index, name) in raw.login_attributes.iter().enumerate() {
        attribute(&at.key("login_attributes").index(index), name, problems);
    }
}

/// Checks that a text can be a filter: one pair of parentheses around it, all of them in pairs.
/// The rest of RFC 4515 is left to the connector.
pub(super) fn filter(at: &KeyPath, text: &str, problems: &mut Problems) {
    let mut depth = 0_u32;
    let mut closed_at = None;
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => {
                depth = 0;
                closed_at.get_or_insert(index + 1);
            }
            ')' if depth > 1 => depth -= 1,
            ')' => closed_at = Some(0),
            _ => {}
        }
    }
    let sound = text.starts_with('(') && depth == 0 && closed_at == Some(text.len());
    if !sound || !text.contains(['=', '>', '<']) {
        problems.error(
            at,
            "is no filter",
            "write one filter in parentheses, e.g. \"(objectClass=person)\" or \"(&(a=b)(c=d))\"",
        );
    }
}

/// Checks an attribute name or OID, with options (RFC 4512 section 2.5).
pub(super) fn attribute(at: &KeyPath, name: &str, problems: &mut Problems) {
    let sound = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';'));
    if !sound {
        problems.error(at, "is no attribute name", "give a name such as \"mail\"");
    }
}
