//! A provider of plain OAuth 2.0 (GitHub): who somebody is comes from its API, over TLS, with the
//! access token of this sign-in. There is no ID token, so nothing but the code's redemption with
//! its PKCE verifier ties the answer to this browser.

use serde_json::{Map, Value};

use super::refusal::{OidcRefusal, Rejection};

/// Claims from the API's answers, and the stable subject: the account's number, never its name,
/// which can be given up and taken by somebody else.
///
/// # Errors
/// When there is no number.
pub(super) fn claims(
    user: &Value,
    emails: &Value,
) -> Result<(String, Map<String, Value>), Rejection> {
    let subject = user.get("id").and_then(Value::as_u64).filter(|id| *id > 0);
    let subject = subject.ok_or(OidcRefusal::NoSubject)?.to_string();
    let mut claims = user.as_object().cloned().unwrap_or_default();
    // The address in the profile is for show; the list says which one is verified.
    claims.remove("email");
    claims.remove("email_verified");
    let primary = emails.as_array().into_iter().flatten().find(|entry| is_yes(entry, "primary"));
    if let Some(entry) = primary
        && let Some(address) = entry.get("email").and_then(Value::as_str)
    {
        claims.insert("email".to_owned(), Value::from(address));
        claims.insert("email_verified".to_owned(), Value::from(is_yes(entry, "verified")));
    }
    Ok((subject, claims))
}

fn is_yes(entry: &Value, name: &str) -> bool {
    entry.get(name).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_subject_is_the_number_and_the_address_is_the_primary_one() {
        let user = json!({ "id": 4711, "login": "octo", "email": "shown@example.com" });
        let emails = json!([
            { "email": "old@example.com", "primary": false, "verified": true },
            { "email": "octo@example.com", "primary": true, "verified": false },
        ]);
        let (subject, claims) = super::claims(&user, &emails).unwrap();
        assert_eq!(subject, "4711");
        assert_eq!(claims["email"], "octo@example.com");
        assert_eq!(claims["email_verified"], false);
        let (_, claims) = super::claims(&user, &json!({ "message": "scope missing" })).unwrap();
        assert!(!claims.contains_key("email"));
        assert!(super::claims(&json!({ "login": "octo" }), &emails).is_err());
    }
}
