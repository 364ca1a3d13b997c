//! Settings from the environment.

use std::time::Duration;

use super::*;

const TEXT: &str = "public_url = \"https://sso.example.com\"\n[session]\nidle_timeout = \"1h\"\n\
    [[directory]]\nid = \"corp\"\nservers = [\"ldaps://a\"]\nbase_dn = \"dc=a\"\nbind_dn = \"cn=r\"\n";

fn with(variables: &[(&str, &str)]) -> Config {
    let password = ("AUTH_DAEMON__DIRECTORY__0__BIND_PASSWORD", "0123");
    let variables: Vec<_> = std::iter::once(password).chain(variables.iter().copied()).collect();
    load(TEXT, &variables).map(|loaded| loaded.config).unwrap_or_else(|errors| panic!("{errors}"))
}

fn check_errors(variables: &[(&str, &str)], expected: &str) {
    let errors = load(TEXT, variables).unwrap_err();
    let found: Vec<String> = errors.findings.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|text| text.starts_with(expected)), "{expected}\n{found:#?}");
}

#[test]
fn values_win_over_the_file() {
    let config = with(&[
        ("AUTH_DAEMON__PUBLIC_URL", "http://localhost:8080"),
        ("AUTH_DAEMON__SESSION__IDLE_TIMEOUT", "30m"),
        ("AUTH_DAEMON__SESSION__KINDS__MOBILE", "90d"),
        ("AUTH_DAEMON__PASSWORD__MINIMUM_LENGTH", "20"),
        ("AUTH_DAEMON__PASSWORD__ENABLED", "false"),
        ("AUTH_DAEMON__LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("AUTH_DAEMON__ADMIN", "{ accounts = [\"alice\"] }"),
        (
            "AUTH_DAEMON__CLIENT",
            "[{\"id\": \"chat\", \"public\": true, \"redirect_uris\": [\"https://a/\"]}]",
        ),
    ]);
    assert_eq!(config.public_url.url().as_str(), "http://localhost:8080/");
    assert_eq!(config.session.idle_timeout, Duration::from_secs(1800));
    assert_eq!(config.session.mobile, Duration::from_secs(90 * 86_400));
    assert_eq!(config.password.minimum_length, 20);
    assert!(!config.password.enabled);
    assert_eq!(config.listen.trusted_proxies.len(), 1);
    assert_eq!(config.admin.accounts, ["alice"]);
    assert_eq!(config.clients[0].id, "chat");
}

#[test]
fn a_text_stays_what_it_is() {
    let config = with(&[]);
    let (_, password) = config.directories[0].service_identity.as_ref().unwrap();
    assert!(password.matches("0123"), "leading zero and digits are kept");
    for text in ["true", "[1]", "{}", "1e5", " blank "] {
        let config = with(&[("AUTH_DAEMON__DIRECTORY__0__BIND_PASSWORD", text)]);
        let (_, password) = config.directories[0].service_identity.as_ref().unwrap();
        assert!(password.matches(text), "{text}");
    }
}

#[test]
fn mistakes_name_the_variable() {
    check_errors(
        &[("AUTH_DAEMON__SESSION__IDLE_TIMEOUT", "soon")],
        "session.idle_timeout [from AUTH_DAEMON__SESSION__IDLE_TIMEOUT]: is no duration",
    );
    check_errors(
        &[("AUTH_DAEMON__SESION__IDLE_TIMEOUT", "1h")],
        "sesion.idle_timeout [from AUTH_DAEMON__SESION__IDLE_TIMEOUT]: unknown key `sesion`; did you mean SESSION?",
    );
    check_errors(
        &[("AUTH_DAEMON__SESSION_IDLE_TIMEOUT", "1h")],
        "session_idle_timeout [from AUTH_DAEMON__SESSION_IDLE_TIMEOUT]: unknown key",
    );
    check_errors(
        &[("AUTH_DAEMON__PASSWORD__MINIMUM_LENGTH", "many")],
        "password.minimum_length [from AUTH_DAEMON__PASSWORD__MINIMUM_LENGTH]: is no whole number",
    );
    check_errors(
        &[("AUTH_DAEMON__DIRECTORY__1__LABEL", "x")],
        "directory.1.label [from AUTH_DAEMON__DIRECTORY__1__LABEL]: the list has 1 entries",
    );
    check_errors(
        &[("AUTH_DAEMON__LISTEN__TRUSTED_PROXIES", "10.0.0.0/8")],
        "listen.trusted_proxies [from AUTH_DAEMON__LISTEN__TRUSTED_PROXIES]: is neither TOML nor JSON",
    );
    check_errors(
        &[("AUTH_DAEMON__PUBLIC_URL__HOST", "x")],
        "public_url.host [from AUTH_DAEMON__PUBLIC_URL__HOST]: there is no key below this one",
    );
    check_errors(&[("AUTH_DAEMON__", "x")], " [from AUTH_DAEMON__]");
}

#[test]
fn a_failed_variable_changes_nothing_else() {
    let errors = load(TEXT, &[("AUTH_DAEMON__STORAGE__NOPE", "x")]).unwrap_err();
    let keys: Vec<&str> = errors
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.key.as_str())
        .collect();
    assert_eq!(keys, ["storage.nope", "directory[0].bind_password_file"]);
}
