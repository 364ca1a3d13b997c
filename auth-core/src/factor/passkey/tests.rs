//! Ceremonies without an authenticator: what is asked for, and what no answer to it is. Answers of
//! a real browser are tested with one.

use super::*;

fn site(passwordless: bool) -> Passkeys {
    let url = Url::parse("https://sso.example.com").unwrap();
    Passkeys::new(&url, "Example", passwordless).unwrap()
}

#[test]
fn an_address_is_no_relying_party() {
    for url in ["http://127.0.0.1:8080", "http://[::1]:80", "https://192.0.2.1"] {
        let url = Url::parse(url).unwrap();
        assert!(Passkeys::new(&url, "x", true).is_err(), "{url}");
    }
    assert!(Passkeys::new(&Url::parse("http://localhost:1234").unwrap(), "x", true).is_ok());
}

#[test]
fn a_registration_asks_for_a_verified_user_and_survives_being_stored() {
    for passwordless in [false, true] {
        let site = site(passwordless);
        let ceremony = site.begin_registration(Uuid::from_u128(7), "jane", "Jane", &[]).unwrap();
        let options: Value = serde_json::from_str(&ceremony.options()).unwrap();
        let selection = &options["publicKey"]["authenticatorSelection"];
        assert_eq!(selection["userVerification"], "required");
        let resident = if passwordless { "preferred" } else { "discouraged" };
        assert_eq!(selection["residentKey"], resident);
        assert_eq!(options["publicKey"]["rp"]["id"], "sso.example.com");
        let stored = serde_json::to_vec(&ceremony).unwrap();
        let again: Ceremony = serde_json::from_slice(&stored).unwrap();
        assert_eq!(again.options(), ceremony.options());
        assert_eq!(site.finish_registration(&again, "{}").err(), Some(PasskeyRefusal::Malformed));
    }
}

#[test]
fn nobody_is_asked_for_a_passkey_of_an_account_without_one() {
    assert!(site(true).begin_authentication(&[]).is_err());
    let ceremony = site(true).begin_discoverable().unwrap();
    let options: Value = serde_json::from_str(&ceremony.options()).unwrap();
    assert_eq!(options["publicKey"]["allowCredentials"], serde_json::json!([]));
    assert_eq!(options["publicKey"]["userVerification"], "required");
    assert_eq!(options.get("mediation"), None, "a button asks");
    assert!(ceremony.challenge().is_some());
    let other = site(true).begin_discoverable().unwrap();
    assert_ne!(ceremony.challenge(), other.challenge());
    // The answer of one kind of ceremony is none of another.
    assert_eq!(site(true).finish_registration(&ceremony, "{}").err(), Some(PasskeyRefusal::Wrong));
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let ceremony = site(true).begin_discoverable().unwrap();
    assert_eq!(format!("{ceremony:?}"), "Ceremony");
}
