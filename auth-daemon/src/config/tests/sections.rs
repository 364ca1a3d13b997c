//! The sections that are no lists.

use std::time::Duration;

use super::*;
use crate::config::sections::mfa::MfaPolicy;

fn check_public_url(url: &str, expected: &[&str]) {
    let text = format!("public_url = \"{url}\"");
    compare(&text, &found(&text, Severity::Error), expected);
}

#[test]
fn public_url() {
    for good in [
        "https://sso.example.com",
        "https://sso.example.com/",
        "https://sso.example.com:8443",
        "http://localhost:8080",
        "http://chat.localhost",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ] {
        check_public_url(good, &[]);
    }
    for clear in ["http://sso.example.com", "http://10.0.0.1", "http://localhost.example.com"] {
        check_public_url(clear, &["public_url: is http, so passwords"]);
    }
    for more in ["https://a/x", "https://a/?b", "https://a/#b", "https://u@a", "https://u:p@a/"] {
        check_public_url(more, &["public_url: has more than scheme, host and port"]);
    }
    for other in ["", "sso.example.com", "ftp://a", "https://", "https:// a"] {
        check_public_url(other, &["public_url: is no http or https URL"]);
    }
    compare("", &found("", Severity::Error), &["public_url: is missing"]);
    assert_eq!(config("").public_url.url().as_str(), "https://sso.example.com/");
    let text = "public_url = \"http://localhost:8080\"";
    compare(
        text,
        &found(text, Severity::Warning),
        &["public_url: is http: cookies have no Secure"],
    );
}

#[test]
fn listen() {
    check("[listen]\npublic = \"localhost:80\"", &["listen.public: is no listen address"]);
    check("[listen]\npublic = \"127.0.0.1\"", &["listen.public: is no listen address"]);
    check("[listen]\nadmin = \"127.0.0.1:8080\"", &["listen.admin: is the address of the public"]);
    check("[listen]\npublic = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"", &[]);
    check(
        "[listen]\ntls = { certificate_file = \"/nowhere.pem\" }",
        &[
            "listen.tls.certificate_file: /nowhere.pem cannot be read",
            "listen.tls.key_file: is missing",
        ],
    );
    for (network, problem) in [
        ("10.0.0.1/8", "10.0.0.1/8 has bits behind its prefix; write \"10.0.0.0/8\""),
        ("0.0.0.0/0", "names every address"),
        ("::/0", "names every address"),
        ("proxy", "is no network"),
        ("10.0.0.0/33", "is no network"),
    ] {
        check(
            &format!("[listen]\ntrusted_proxies = [\"{network}\"]"),
            &[&format!("listen.trusted_proxies[0]: {problem}")],
        );
    }
    let listen = config("[listen]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]").listen;
    let networks: Vec<String> = listen.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    assert!(config("").listen.trusted_proxies.is_empty(), "nobody is believed by default");
    check_warnings("", &["listen.trusted_proxies: is empty, but a reverse proxy"]);
    check_warnings(
        "[listen]\nadmin = \"0.0.0.0:8081\"\ntrusted_proxies = [\"127.0.0.1\"]",
        &["listen.admin: 0.0.0.0:8081 can be reached from the network"],
    );
}

#[test]
fn storage() {
    use crate::config::StorageBackend;
    let backend = |text: &str| config(text).storage.backend;
    assert_eq!(backend(""), StorageBackend::SqliteFile("auth.db".into()));
    assert_eq!(backend("[storage]\nurl = \"sqlite::memory:\""), StorageBackend::SqliteMemory);
    let several = "[storage]\nurl = \"postgres://u:p@a,b:5433/d?sslmode=verify-full\"";
    assert_eq!(backend(several), StorageBackend::PostgreSql);
    for url in ["", "auth.db", "sqlite://", "mysql://h/d", "postgres://"] {
        let problem =
            if url.is_empty() { "storage.url: is empty" } else { "storage.url: is no store" };
        check(&format!("[storage]\nurl = \"{url}\""), &[problem]);
    }
    check(
        "[storage]\nurl = \"sqlite://a.db\"\nurl_file = \"/x\"",
        &["storage.url: `url` and `url_file` are both set; keep one"],
    );
    check(
        "[storage]\nread_url = \"postgres://h/d\"",
        &["storage.read_url: is for PostgreSQL, but the store is SQLite"],
    );
    check(
        "[storage]\nurl = \"postgres://h/d\"\nread_url = \"sqlite://a.db\"",
        &["storage.read_url: is no PostgreSQL URL"],
    );
}

#[test]
fn session() {
    check(
        "[session]\nidle_timeout = \"2d\"\nabsolute_timeout = \"1d\"",
        &["session.idle_timeout: is longer than absolute_timeout (1d)"],
    );
    check(
        "[session]\nidle_timeout = \"59s\"",
        &["session.idle_timeout: 59s is out of range; give \"1m\""],
    );
    check("[session.kinds]\nweb = \"0s\"", &["session.kinds.web: 0s is out of range"]);
    let session = config("[session.kinds]\nmobile = \"90d\"").session;
    assert_eq!(session.idle_timeout, Duration::from_secs(8 * 3600));
    assert_eq!(session.mobile, Duration::from_secs(90 * 86_400));
    assert_eq!(session.web, Duration::from_secs(30 * 86_400));
    let session = config("[session]\nabsolute_timeout = \"1h\"").session;
    assert_eq!(session.idle_timeout, Duration::from_secs(3600), "no longer than the absolute one");
}

#[test]
fn short_passwords_need_a_second_factor_of_all_local_accounts() {
    let with = |mfa: &str| format!("[password]\nminimum_length = 10\n{mfa}");
    let good = |mfa: &str| check(&with(mfa), &[]);
    let bad = |mfa: &str| check(&with(mfa), &["password.minimum_length: 10 is too short"]);
    let rule = |conditions: &str, policy: &str| {
        format!("[[mfa.rule]]\n{conditions}\npolicy = \"{policy}\"")
    };
    bad("");
    bad("[mfa]\npolicy = \"optional\"");
    good("[mfa]\npolicy = \"required\"");
    good(&rule("connector = \"local\"", "required"));
    bad(&rule("connector = \"local\"\nnetwork = \"10.0.0.0/8\"", "required"));
    bad(&format!("[mfa]\npolicy = \"required\"\n{}", rule("network = \"10.0.0.0/8\"", "optional")));
    bad(&format!("[mfa]\npolicy = \"required\"\n{}", rule("role = \"guest\"", "off")));
    good(&format!("[mfa]\npolicy = \"required\"\n{}", rule("role = \"guest\"", "required")));
    good(&format!(
        "{}\n{}",
        rule("network = \"10.0.0.0/8\"", "off"),
        rule("connector = \"local\"", "required")
    ));
    check(
        "[password]\nminimum_length = 7\n[mfa]\npolicy = \"required\"",
        &["password.minimum_length: 7 is out of range"],
    );
    check(
        "[password]\nenabled = false",
        &["password.enabled: is false and there is no [[directory]]"],
    );
}

#[test]
fn argon2() {
    check(
        "[password.argon2]\nmemory_kib = 8\nparallelism = 2",
        &["password.argon2.memory_kib: is less than 8 KiB for each of 2 lanes"],
    );
    check(
        "[password.argon2]\nmemory_kib = 262144\niterations = 9",
        &["password.argon2: costs more"],
    );
    check_warnings(
        "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[password.argon2]\nmemory_kib = 1024",
        &["password.argon2: costs an attacker less"],
    );
}

#[test]
fn mfa() {
    check("[[mfa.rule]]\npolicy = \"off\"", &["mfa.rule[0]: has no condition"]);
    check("[[mfa.rule]]\nrole = \"guest\"", &["mfa.rule[0].policy: is missing"]);
    check(
        "[[mfa.rule]]\nrole = \"admin\"\npolicy = \"off\"",
        &["mfa.rule[0].role: there is no role `admin`"],
    );
    check(
        "[[mfa.rule]]\nconnector = \"corp\"\npolicy = \"off\"",
        &["mfa.rule[0].connector: there is no connector `corp`; known are local"],
    );
    check(
        "[[mfa.rule]]\nnetwork = \"10.0.0.1/8\"\npolicy = \"off\"",
        &["mfa.rule[0].network: 10.0.0.1/8 has bits"],
    );
    check_warnings(
        "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[[mfa.rule]]\nclient = \"chat\"\npolicy = \"off\"",
        &["mfa.rule[0].client: no [[client]] of this file has the id `chat`"],
    );
    let mfa = config("").mfa;
    assert_eq!((mfa.policy, mfa.issuer.as_str()), (MfaPolicy::Optional, "sso.example.com"));
    assert!(MfaPolicy::Off < MfaPolicy::Optional && MfaPolicy::Optional < MfaPolicy::Required);
}

#[test]
fn admin() {
    check("[admin]\naccounts = [\"alice\", \"\"]", &["admin.accounts[1]: is empty"]);
    assert_eq!(config("[admin]\naccounts = [\"Alice\"]").admin.accounts, ["alice"]);
}

#[test]
fn saml() {
    use crate::config::MetadataSource;
    let with = |more: &str| format!("[[saml]]\nid = \"okta\"\npreset = \"okta\"\n{more}");
    check(&with("metadata_url = \"https://idp.example.com/\""), &[]);
    assert_eq!(config(&with("")).saml[0].metadata, MetadataSource::Imported);
    check(
        &with("metadata_url = \"http://idp.example.com/\""),
        &["saml[0].metadata_url (okta): is no https URL"],
    );
    check(
        &with("metadata_url = \"https://a.example/\"\nmetadata_file = \"/nowhere.xml\""),
        &["saml[0].metadata_url (okta): `metadata_url` and `metadata_file` are both set"],
    );
    check(
        &with("metadata_file = \"/nowhere.xml\"\nsp_key_files = [\"/nowhere.pem\"]"),
        &[
            "saml[0].metadata_file (okta): /nowhere.xml cannot be read",
            "saml[0].sp_key_files[0] (okta): /nowhere.pem cannot be read",
        ],
    );
    check(&with("clock_skew = \"301s\""), &["saml[0].clock_skew (okta): 301s is out of range"]);
    check(
        &with("sp_entity_id = \"a b\"\nentity_id = \"\""),
        &["saml[0].sp_entity_id (okta): is no entity id", "saml[0].entity_id (okta): is no"],
    );
    check(
        &with("metadata_signature_certificate_sha256 = [\"abc\"]\nadmin_rules = [\"x\"]"),
        &[
            "saml[0].metadata_signature_certificate_sha256[0] (okta): is no SHA-256 fingerprint",
            "saml[0].admin_rules[0] (okta): is no rule",
        ],
    );
    check(
        &with("[saml.attributes]\nusername = \"\"\n[saml.attributes.claims]\nroles = \"r\""),
        &[
            "saml[0].attributes.username (okta): is no attribute name",
            "saml[0].attributes.claims.roles (okta): is a claim that the broker makes",
        ],
    );
    check(&with("skip_verification = true"), &["saml[0].skip_verification (okta): unknown key"]);
    check_warnings(
        &format!(
            "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n{}",
            with("metadata_url = \"https://idp.example.com/\"\nallow_sha1 = true")
        ),
        &["saml[0].allow_sha1 (okta): accepts weak signatures"],
    );
    let fingerprint = ["ab"; 32].join(":");
    let text = format!(
        "name_id_format = \"email\"\nguest_rules = [\"groups=cn=a,dc=b\"]\n\
         metadata_signature_certificate_sha256 = [\"{fingerprint}\"]"
    );
    let connection = &config(&with(&text)).saml[0];
    assert_eq!(connection.metadata_signature_certificates, [[0xab; 32]]);
    assert_eq!(connection.guest_rules[0].value, "cn=a,dc=b");
    assert!(connection.name_id_format.as_ref().unwrap().ends_with("emailAddress"));
}

#[test]
fn connectors_are_judged() {
    check("[[oidc]]\nid = \"google\"\npreset = \"google\"\nclient_id = \"x\"", &[]);
    check(
        "[[saml]]\nid = \"login page\"\nclock_skew = \"10m\"\n[[oidc]]\nid = \"google\"",
        &[
            "saml[0].id (login page): is no id",
            "saml[0].clock_skew (login page): 10m is out of range; give \"0s\" to \"5m\"",
            "oidc[0].client_id (google): is missing",
            "oidc[0].issuer (google): is missing",
        ],
    );
}

#[test]
fn what_spares_a_second_factor() {
    check("[mfa.grace]", &["mfa.grace: names neither logins nor days"]);
    check("[mfa]\ngrace = { logins = 0 }", &["mfa.grace.logins: is out of range"]);
    check("[mfa]\ngrace = { days = 366 }", &["mfa.grace.days: is out of range"]);
    check("[mfa]\nremember_device = \"91d\"", &["mfa.remember_device: 91d is out of range"]);
    let mfa = config("[mfa]\ngrace = { logins = 3, days = 7 }\nremember_device = \"30d\"").mfa;
    let grace = mfa.grace.unwrap();
    assert_eq!((grace.logins, grace.lasts), (Some(3), Some(Duration::from_secs(7 * 86_400))));
    assert_eq!(mfa.remember_device, Some(Duration::from_secs(30 * 86_400)));
    let mfa = config("").mfa;
    assert!(mfa.grace.is_none() && mfa.remember_device.is_none() && mfa.upstream.is_empty());
    // A password alone lets in whoever puts it off.
    check(
        "[password]\nminimum_length = 10\n[mfa]\npolicy = \"required\"\ngrace = { days = 7 }",
        &["password.minimum_length: 10 is too short"],
    );
}

#[test]
fn passkeys_need_a_host_name() {
    let with = |url: &str, more: &str| format!("public_url = \"{url}\"\n[mfa]\n{more}");
    let errors = |text: &str| found(text, Severity::Error);
    assert_eq!(errors(&with("https://sso.example.com", "passwordless = true")), [] as [&str; 0]);
    for text in [
        with("https://192.0.2.1", "passwordless = true"),
        with("https://sso.example.com", "passwordless = true\npasskeys = false"),
    ] {
        compare(&text, &errors(&text), &["mfa.passwordless: is true, but no passkey can be used"]);
    }
    assert!(config("").mfa.passkeys && !config("").mfa.passwordless);
    let by_address = load(&with("https://192.0.2.1", ""), &[]).unwrap().config;
    assert!(!by_address.mfa.passkeys, "none are offered at an address");
}

#[test]
fn how_codes_are_made() {
    check("[mfa.totp]\ndigits = 5", &["mfa.totp: `digits` must be 6, 7 or 8"]);
    check("[mfa.totp]\nperiod = 10", &["mfa.totp: `period` must be 15 to 120"]);
    let totp = config("[mfa.totp]\nalgorithm = \"SHA256\"\ndigits = 8").mfa.totp;
    assert_eq!((totp.algorithm.as_str(), totp.digits, totp.period), ("SHA256", 8, 30));
    assert_eq!(config("").mfa.totp, auth_core::factor::TotpSettings::default());
}

#[test]
fn whose_second_factor_counts() {
    check(
        "[mfa]\ntrust_upstream = [\"local\"]",
        &["mfa.trust_upstream[0]: `local` is no [[saml]] or [[oidc]] connection"],
    );
    check("[[mfa.upstream]]\naccept = [\"mfa\"]", &["mfa.upstream[0].connector: is missing"]);
    let table = "[[mfa.upstream]]\nconnector = \"okta\"\naccept = [\"pwd\"]";
    check(
        table,
        &[
            "mfa.upstream[0]: `okta` is no [[saml]] or [[oidc]] connection",
            "mfa.upstream[0].accept: \"pwd\" does not say",
        ],
    );
}
