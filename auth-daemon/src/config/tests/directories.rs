//! `[[directory]]`

use std::time::Duration;

use super::*;
use crate::config::sections::directory::Preset;

const CORP: &str = "[[directory]]\nid = \"corp\"\nservers = [\"ldaps://dc1.example.com\"]\nbase_dn = \"dc=example,dc=com\"\n";

fn check_key(key: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|problem| format!("directory[0].{problem}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&format!("{CORP}{key}"), &expected);
}

#[test]
fn defaults() {
    let config = config(CORP);
    let directory = config.directories.first().unwrap();
    assert_eq!(directory.label, "corp");
    assert_eq!(directory.preset, Preset::Generic);
    assert_eq!(directory.recheck_after, Duration::from_secs(300));
    assert_eq!(directory.recheck_grace, Duration::from_secs(3600));
    assert!(directory.tls.ca_file.is_none() && directory.service_identity.is_none());
    assert!(directory.groups.nested);
}

#[test]
fn ids() {
    for id in ["", "Corp", "corp_1", "a b", "é", &"a".repeat(33)] {
        let text = CORP.replace("corp", id);
        let found = found(&format!("{PUBLIC_URL}{text}"), Severity::Error);
        assert!(found.len() == 1 && found[0].contains("is no id"), "{id:?} {found:?}");
    }
    for id in ["local", "continue", "factor", "enrol", "passkey"] {
        check(&CORP.replace("corp", id), &[&format!("directory[0].id ({id}): `{id}` is reserved")]);
    }
    check(&format!("{CORP}{CORP}"), &["directory[1].id (corp): is the id of directory[0] too"]);
    check(
        &format!("{CORP}[[oidc]]\nid = \"corp\"\nissuer = \"https://a\"\nclient_id = \"x\""),
        &["oidc[0].id (corp): is the id of directory[0] too"],
    );
}

#[test]
fn servers() {
    let server = |url: &str, starttls: bool, expected: &[&str]| {
        let text = CORP.replace("ldaps://dc1.example.com", url);
        check(&format!("{text}starttls = {starttls}"), expected);
    };
    server("ldaps://dc1.example.com:636", false, &[]);
    server("ldap://dc1.example.com", true, &[]);
    for local in ["ldap://127.0.0.1:3890", "ldap://[::1]", "ldap://localhost"] {
        server(local, false, &[]);
    }
    for clear in ["ldap://dc1.example.com", "ldap://10.0.0.1", "ldap://a.localhost"] {
        server(clear, false, &["directory[0].servers[0] (corp): passwords would travel in clear"]);
    }
    for other in
        ["dc1.example.com", "http://a", "ldaps://a/dc=x", "ldaps://u:p@a", "ldaps://", "ldaps:///"]
    {
        server(other, false, &["directory[0].servers[0] (corp): is no server URL"]);
    }
    server("srv://example.com", false, &[]);
    server("srv://example.com", true, &[]);
    for odd in ["srv://example.com:389", "srv://10.0.0.1", "srv://[::1]"] {
        server(odd, false, &["directory[0].servers[0] (corp): names no domain"]);
    }
    server("ldaps://[::2]", false, &["directory[0].servers[0] (corp): a certificate cannot be"]);
    server("ldaps://a", true, &["directory[0].starttls (corp): is for ldap:// servers"]);
    check(
        &CORP.replace("\"ldaps://dc1.example.com\"", ""),
        &["directory[0].servers (corp): is missing"],
    );
}

#[test]
fn credentials() {
    check_key(
        "bind_dn = \"cn=reader\"",
        &["bind_password_file (corp): is missing; `bind_dn` needs it"],
    );
    check_key("bind_password = \"x\"", &["bind_dn (corp): is missing"]);
    check_key("bind_dn = \"cn=r\"\nbind_password = \"\"", &["bind_password (corp): is empty"]);
    check_key("bind_dn = \"\"\nbind_password = \"x\"", &["bind_dn (corp): is empty"]);
    check_key("bind_dn = \"cn=r\"\nbind_password = \"x\"", &[]);
    check_key(
        "client_key_file = \"/nowhere\"",
        &[
            "client_certificate_file (corp): is missing",
            "client_key_file (corp): /nowhere cannot be read",
        ],
    );
    check_key("ca_file = \"/nowhere\"", &["ca_file (corp): /nowhere cannot be read"]);
    check_key("pinned_certificate_sha256 = \"abc\"", &["pinned_certificate_sha256 (corp): is no"]);
    let pin = ["AB"; 32].join(":");
    let config = config(&format!("{CORP}pinned_certificate_sha256 = \"{pin}\""));
    let pinned = config.directories[0].tls.pinned_certificate_sha256.as_deref();
    assert_eq!(pinned, Some("ab".repeat(32).as_str()));
}

#[test]
fn search() {
    for filter in ["objectClass=person", "(a=b", "(a=b))", "(a=b)(c=d)", "", "()"] {
        check_key(&format!("user_filter = \"{filter}\""), &["user_filter (corp): is no filter"]);
    }
    check_key("admin_filter = \"(&(a=b)(|(c=d)(!(e=*))))\"", &[]);
    check_key(
        "login_attributes = [\"uid\", \"a=b\"]",
        &["login_attributes[1] (corp): is no attribute"],
    );
    check_key(
        "user_dn_template = \"uid=x\"",
        &["user_dn_template (corp): has to hold {username} once"],
    );
    check_key("user_dn_template = \"uid={username},ou=people\"", &[]);
    check_key("user_dn_template = \"{username}@example.com\"", &[]);
    check_key("scope = \"base\"", &["scope (corp): is not one of the choices"]);
    check_key("page_size = 0", &["page_size (corp): 0 is out of range"]);
    check_key("connect_timeout = \"1ms\"", &["connect_timeout (corp): 1ms is out of range"]);
    check_key("[directory.attributes]\nid = \"a)\"", &["attributes.id (corp): is no attribute"]);
    check_key(
        "[directory.attributes.claims]\nsub = \"uid\"",
        &["attributes.claims.sub (corp): is a claim"],
    );
    // One list with what the rules of clients may not set, and with what is left out when told.
    check_key(
        "[directory.attributes.claims]\nemail = \"mail\"",
        &["attributes.claims.email (corp): is a claim"],
    );
    check_key("[directory.attributes.claims]\ndepartment = \"departmentNumber\"", &[]);
    check_key("[directory.groups]\nfilter = \"x\"", &["groups.filter (corp): is no filter"]);
    check(
        &CORP.replace("dc=example,dc=com", "example"),
        &["directory[0].base_dn (corp): is no DN"],
    );
    check(&CORP.replace("dc=example,dc=com", ""), &["directory[0].base_dn (corp): is no DN"]);
    let global_catalog = CORP.replace("dc=example,dc=com", "");
    check(&format!("{global_catalog}preset = \"active-directory\""), &[]);
}

#[test]
fn synchronisation_is_accepted() {
    let base = format!(
        "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n{CORP}bind_dn = \"cn=r\"\nbind_password = \"x\"\n"
    );
    for schedule in ["every 15m", "0 3 * * *", "off"] {
        check_warnings(
            &format!(
                "{base}[directory.sync]\nschedule = \"{schedule}\"\ndeactivation_brake = {{ share = \"20%\", people = 3 }}"
            ),
            &[],
        );
    }
    check_key("[directory.sync]\nschedule = \"daily\"", &["sync.schedule (corp): is no schedule"]);
    check_key(
        "[directory.sync]\nschedule = \"every 1s\"",
        &["sync.schedule (corp): 1s is out of range"],
    );
    check_key(
        "[directory.sync]\ndeactivation_brake = { share = \"10\" }",
        &["sync.deactivation_brake.share (corp): is no share"],
    );
    check_warnings(
        &base.replace("bind_dn = \"cn=r\"\nbind_password = \"x\"\n", ""),
        &["directory[0].bind_dn (corp): is not set: people are searched anonymously"],
    );
}

#[test]
fn group_maps() {
    check_key("[[directory.group_map]]\ngroup = \"staff\"\nteams = [\"eng\"]", &[]);
    check_key("[[directory.group_map]]\ngroup = \"staff\"\nrole = \"guest\"", &[]);
    check_key(
        "[[directory.group_map]]\nteams = [\"eng\"]",
        &["group_map[0].group (corp): is missing"],
    );
    check_key(
        "[[directory.group_map]]\ngroup = \"staff\"",
        &["group_map[0] (corp): brings nothing"],
    );
    check_key(
        "[[directory.group_map]]\ngroup = \"staff\"\nchannels = [\"a/b\", \"\"]",
        &["group_map[0].channels[1] (corp): is no name"],
    );
}
