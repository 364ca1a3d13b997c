//! Unknown keys, wrong types, wrong words; all at once.

use super::*;

#[test]
fn unknown_keys_name_the_nearest_one() {
    check("[sesion]\nidle_timeout = \"1h\"", &["sesion: unknown key; did you mean `session`?"]);
    check(
        "[session]\nidle_timeuot = \"1h\"",
        &["session.idle_timeuot: unknown key; did you mean `idle_timeout`?"],
    );
    check(
        "[keys]\nsomething_else = 1",
        &["keys.something_else: unknown key; known here: ring_file"],
    );
    check(
        "[[directory]]\nid = \"corp\"\nservers = [\"ldaps://x\"]\nbase_dn = \"dc=x\"\nbind_dm = \"x\"",
        &["directory[0].bind_dm (corp): unknown key; did you mean `bind_dn`?"],
    );
    check(
        "[[directory]]\nid = \"corp\"\nservers = [\"ldaps://x\"]\nbase_dn = \"dc=x\"\n[directory.attributes]\nuser_name = \"uid\"",
        &["directory[0].attributes.user_name (corp): unknown key; did you mean `username`?"],
    );
}

#[test]
fn no_setting_turns_a_verification_off() {
    for key in ["insecure_skip_verify = true", "tls_verify = false", "verify = false"] {
        let text = format!(
            "[[directory]]\nid = \"a\"\nservers = [\"ldaps://x\"]\nbase_dn = \"dc=x\"\n{key}"
        );
        let name = key.split(' ').next().unwrap();
        check(&text, &[&format!("directory[0].{name} (a): unknown key")]);
    }
}

#[test]
fn wrong_types() {
    check("listen = 5", &["listen: is a whole number, not a table"]);
    check("[listen]\npublic = 8080", &["listen.public: is a whole number, not a text"]);
    check("[password]\nenabled = \"yes\"", &["password.enabled: is a text, not true or false"]);
    check(
        "[password]\nminimum_length = \"15\"",
        &["password.minimum_length: is a text, not a whole number"],
    );
    check("[throttle]\nlockout = 900", &["throttle.lockout: is a whole number, not a text"]);
    check(
        "[listen]\ntrusted_proxies = \"10.0.0.0/8\"",
        &["listen.trusted_proxies: is a text, not a list"],
    );
    check(
        "[listen]\ntrusted_proxies = [\"10.0.0.0/8\", 5]",
        &["listen.trusted_proxies[1]: is a whole number, not a text"],
    );
    check("[client]\nid = \"a\"", &["client: is a table, not a list"]);
    check("client = [\"a\"]", &["client[0]: is a text, not a table"]);
}

#[test]
fn numbers_out_of_range() {
    check(
        "[throttle]\nfailures_per_account = 0",
        &["throttle.failures_per_account: 0 is out of range; give a number from 1 to 100"],
    );
    check("[storage]\npool_size = -1", &["storage.pool_size: -1 is out of range"]);
    check(
        "[throttle]\nfailures_per_account = 101",
        &["throttle.failures_per_account: 101 is out of range"],
    );
    check(
        "[password]\nminimum_length = 99999999999",
        &["password.minimum_length: 99999999999 is out of range"],
    );
}

#[test]
fn words_that_are_no_choice() {
    check(
        "[mfa]\npolicy = \"require\"",
        &["mfa.policy: is not one of the choices; did you mean \"required\"?"],
    );
    check(
        "[mfa]\npolicy = \"xyz\"",
        &["mfa.policy: is not one of the choices; choose one of: off, optional, required"],
    );
    check(
        "[[client]]\nid = \"a\"\nkind = \"openid\"\nredirect_uris = [\"https://a/\"]\npublic = true",
        &["client[0].kind (a): is not one of the choices"],
    );
}

#[test]
fn everything_is_reported_at_once() {
    let text = "
        listne = 1
        [session]
        idle_timeout = \"soon\"
        absolute_timeout = 30
        [password]
        minimum_length = 9
        [storage]
        url = \"mysql://x\"
        [[directory]]
        id = \"Corp\"
        servers = [\"ldap://dc1.example.com\", \"http://x\"]
        [[client]]
        id = \"chat\"
        redirect_uris = [\"http://chat.example.com/\"]
    ";
    check(
        text,
        &[
            "listne: unknown key",
            "session.idle_timeout: is no duration",
            "session.absolute_timeout: is a whole number, not a text",
            "password.minimum_length: 9 is too short",
            "storage.url: is no store",
            "directory[0].id (Corp): is no id",
            "directory[0].servers[0] (Corp): passwords would travel in clear",
            "directory[0].servers[1] (Corp): is no server URL",
            "directory[0].base_dn (Corp): is missing",
            "client[0].redirect_uris[0] (chat): is http",
            "client[0].secret_file (chat): is missing",
        ],
    );
}

#[test]
fn syntax_errors_tell_the_place_and_no_secret() {
    let text =
        "public_url = \"https://sso.example.com\"\n[storage]\nurl = \"postgres://u:hunter2@h/d\n";
    let errors = load(text, &[]).unwrap_err().to_string();
    assert!(errors.contains("not TOML at line 3"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn duplicate_keys_are_errors() {
    let errors = load("public_url = \"https://a\"\npublic_url = \"https://b\"", &[]).unwrap_err();
    assert!(errors.to_string().contains("not TOML at line 2"), "{errors}");
}

#[test]
fn secrets_are_in_no_message() {
    let secret = "correct-horse-battery";
    let text = format!(
        "{PUBLIC_URL}[storage]\nurl = \"mysql://u:{secret}@h/d\"\nread_url = \"http://{secret}\"\n\
         [[directory]]\nid = \"corp\"\nbind_password = \"{secret}\"\nbind_password_file = \"/x\"\n\
         [[client]]\nid = \"chat\"\npublic = true\nsecret = \"{secret}\"\nmattermost = {{ token = \"{secret}\" }}"
    );
    let errors = load(&text, &[]).unwrap_err();
    assert!(!errors.to_string().contains(secret), "{errors}");
    assert!(!format!("{errors:?}").contains(secret));
    let config = config(&format!("[storage]\nurl = \"postgres://u:{secret}@h/d\""));
    assert!(!format!("{config:?}").contains(secret));
}
