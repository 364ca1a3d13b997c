//! What the protocols ask of a client's settings: hosts of a reverse proxy, keys that sign
//! assertions, pairwise subjects, claims.

use std::collections::BTreeSet;

use auth_core::handoff::client::{AssertionKeys, CLAIMS};
use auth_core::handoff::forward_auth::is_host;
use serde_json::Value;

use super::Client;
use super::kind::{ClientKind, SubjectType, TokenEndpointAuthMethod};
use super::raw::RawClient;
use crate::config::finding::{KeyPath, Problems};
use crate::config::values::url;

/// Reports what does not go with the client's kind.
pub(super) fn check(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    match raw.kind {
        ClientKind::ForwardAuth => forward_auth(raw, at, problems),
        ClientKind::SessionApi => session_api(raw, at, problems),
        ClientKind::Oidc | ClientKind::Gitlab => {}
    }
    if raw.kind != ClientKind::ForwardAuth && !raw.hosts.is_empty() {
        problems.error(
            &at.key("hosts"),
            "is for clients of kind \"forward-auth\"",
            "remove it, or set kind = \"forward-auth\"",
        );
    }
    if raw.kind != ClientKind::Oidc {
        only_openid_connect(raw, at, problems);
    }
    if raw.subject_type == SubjectType::Pairwise && raw.kind == ClientKind::Oidc {
        pairwise(raw, at, problems);
    }
    for (key, list) in [("allowed_groups", &raw.allowed_groups), ("claims", &raw.claims)] {
        if list.as_ref().is_some_and(Vec::is_empty) {
            problems.error(&at.key(key), "is empty", "name one, or leave it out to allow all");
        }
    }
}

/// Whether each claim that a client is told of is one of ours, or is mapped by some connector.
pub(in crate::config) fn check_claims(
    clients: &[Client],
    mapped: &BTreeSet<&str>,
    at: &KeyPath,
    problems: &mut Problems,
) {
    // What groups and pictures bring has its name from us.
    let known: BTreeSet<&str> =
        CLAIMS.into_iter().chain(["channels", "picture", "teams"]).chain(mapped.clone()).collect();
    for (number, client) in clients.iter().enumerate() {
        for (index, claim) in client.claims.iter().flatten().enumerate() {
            if !known.contains(claim.as_str()) {
                let known: Vec<&str> = known.iter().copied().collect();
                problems.error(
                    &at.index(number).named(Some(&client.id)).key("claims").index(index),
                    format!("there is no claim `{claim}`"),
                    format!("known are {}", known.join(", ")),
                );
            }
        }
    }
}

/// The client's public keys.
pub(super) fn jwks(raw: &RawClient, at: &KeyPath, problems: &mut Problems) -> Option<Value> {
    let signs = raw.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::PrivateKeyJwt);
    let at = at.key("jwks_file");
    let Some(file) = &raw.jwks_file else {
        if signs {
            problems.missing(&at, "private_key_jwt needs the client's public keys");
        }
        return None;
    };
    if !signs {
        problems.error(
            &at,
            "is set, but the client does not sign assertions",
            "set token_endpoint_auth_method = \"private_key_jwt\", or remove it",
        );
        return None;
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            problems.error(
                &at,
                format!("{} cannot be read: {error}", file.display()),
                "give the path of a file that the daemon's user can read",
            );
            return None;
        }
    };
    let read = serde_json::from_str::<Value>(&text)
        .map_err(|error| format!("is no JSON: {error}"))
        .and_then(|jwks| AssertionKeys::read(&jwks).map(|_| jwks));
    match read {
        Ok(jwks) => Some(jwks),
        Err(problem) => {
            let problem = format!("{}: {problem}", file.display());
            problems.error(&at, problem, "write {\"keys\": [...]} with public keys (RFC 7517)");
            None
        }
    }
}

fn forward_auth(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    if raw.hosts.is_empty() {
        problems.missing(&at.key("hosts"), "list the hosts behind the reverse proxy");
    }
    for (index, host) in raw.hosts.iter().enumerate() {
        if !is_host(host) {
            problems.error(
                &at.key("hosts").index(index),
                format!("`{host}` is no host"),
                "write it in lower case without scheme and path, e.g. \"wiki.example.com\" or \
                 \"wiki.example.com:8443\"",
            );
        }
    }
    if !raw.redirect_uris.is_empty() {
        problems.error(
            &at.key("redirect_uris"),
            "follow from `hosts` for a client of kind \"forward-auth\"",
            "remove it",
        );
    }
}

fn session_api(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    let method = raw.token_endpoint_auth_method;
    let other = method.is_some_and(|m| m != TokenEndpointAuthMethod::ClientSecretBasic);
    if raw.public || other {
        problems.error(
            &at.key(if other { "token_endpoint_auth_method" } else { "public" }),
            "a client of kind \"session-api\" has a secret and sends it by HTTP Basic",
            "remove it",
        );
    }
}

fn only_openid_connect(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    let used = [
        ("jwks_file", raw.jwks_file.is_some()),
        ("subject_type", raw.subject_type == SubjectType::Pairwise),
        ("device_authorization", raw.device_authorization == Some(true)),
    ];
    for (key, _) in used.into_iter().filter(|(_, used)| *used) {
        problems.error(
            &at.key(key),
            format!("is not for clients of kind \"{}\"", raw.kind.as_str()),
            "remove it",
        );
    }
}

/// The subject is made for the one host of the redirect URIs (OpenID Connect Core section 8.1).
fn pairwise(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    let mut hosts: Vec<Option<String>> = raw
        .redirect_uris
        .iter()
        .map(|uri| url::parse(uri).and_then(|url| url.host_str().map(str::to_owned)))
        .collect();
    hosts.dedup();
    if !matches!(hosts.as_slice(), [] | [Some(_)]) {
        problems.error(
            &at.key("subject_type"),
            "\"pairwise\" needs redirect URIs of one host, which the subject is made for",
            "use \"public\", or a client for each host",
        );
    }
}
