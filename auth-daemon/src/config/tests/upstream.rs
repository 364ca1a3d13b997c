//! `[[oidc]]`, `[claims]` and `[login]`.

use super::*;

fn oidc(more: &str) -> String {
    format!("[[oidc]]\nid = \"up\"\nclient_id = \"x\"\nclient_secret = \"y\"\n{more}")
}

#[test]
fn issuers() {
    let issuer =
        |preset: &str, issuer: &str| oidc(&format!("preset = \"{preset}\"\nissuer = \"{issuer}\""));
    for preset in ["google", "gitlab", "github"] {
        check(&oidc(&format!("preset = \"{preset}\"")), &[]);
    }
    for preset in ["generic", "entra", "keycloak", "okta", "onelogin"] {
        let missing = &["oidc[0].issuer (up): is missing"];
        check(&oidc(&format!("preset = \"{preset}\"")), missing);
        check(&issuer(preset, "https://idp.example.com/x"), &[]);
    }
    check(&issuer("okta", "http://idp.example.com"), &["oidc[0].issuer (up): is no https URL"]);
    check(&issuer("okta", "http://127.0.0.1:8080"), &[]);
    check(&issuer("okta", "https://a.example/?x"), &["oidc[0].issuer (up): has a query"]);
    for shared in ["common", "organizations", "consumers"] {
        let url = format!("https://login.microsoftonline.com/{shared}/v2.0");
        let everybody = &["oidc[0].issuer (up): lets the people of every tenant in"];
        check(&issuer("entra", &url), everybody);
        check(&format!("{}\ntenants = [\"t\"]", issuer("entra", &url)), &[]);
    }
}

#[test]
fn connections() {
    let google = |more: &str| oidc(&format!("preset = \"google\"\n{more}"));
    for (more, problem) in [
        ("scopes = [\"email\"]", "oidc[0].scopes (up): lacks `openid`"),
        ("scopes = [\"openid email\"]", "oidc[0].scopes (up): lacks `openid`"),
        ("domains = [\"@a.b\"]", "oidc[0].domains[0] (up): \"@a.b\" is no mail domain"),
        ("domains = [\"*.a.b\", \"com\"]", "oidc[0].domains[1] (up): \"com\" is no mail domain"),
        ("clock_skew = \"6m\"", "oidc[0].clock_skew (up): 6m is out of range"),
        ("timeout = \"0s\"", "oidc[0].timeout (up): 0s is out of range"),
        ("ca_file = \"/nowhere\"", "oidc[0].ca_file (up): /nowhere cannot be read"),
        ("logo_file = \"/nowhere\"", "oidc[0].logo_file (up): /nowhere cannot be read"),
        (
            "authorization_parameters = { nonce = \"x\" }",
            "oidc[0].authorization_parameters.nonce (up): is a parameter that the broker sets",
        ),
        ("attributes = { groups = \"a b\" }", "oidc[0].attributes.groups (up): is no name of a"),
        ("accounts = { directory = \"x\" }", "oidc[0].accounts.directory_claim (up): is missing"),
        ("accounts = { provisioning = \"all\" }", "oidc[0].accounts.provisioning (up): is not one"),
    ] {
        let text = google(more);
        let found = found(&text, Severity::Error);
        assert!(found.iter().any(|finding| finding.starts_with(problem)), "{more}: {found:?}");
    }
    let github = "[[oidc]]\nid = \"up\"\npreset = \"github\"\nclient_id = \"x\"";
    check(github, &["oidc[0].client_secret (up): is missing"]);
    let two = format!(
        "{}\n{}",
        google("domains = [\"a.b\"]"),
        google("domains = [\"A.B\"]").replace("\"up\"", "\"two\"")
    );
    check(&two, &["oidc[1].domains (two): a.b leads to up already"]);
}

#[test]
fn rules_and_order() {
    check("[[claims.role]]\nrole = \"guest\"", &["claims.role[0]: has no condition"]);
    check("[[claims.role]]\ngroup = \"a\"", &["claims.role[0].role: is missing"]);
    check(
        "[[claims.role]]\ngroup = \"a\"\nrole = \"owner\"",
        &["claims.role[0].role: there is no"],
    );
    check(
        "[[claims.role]]\nclaim = \"a\"\nrole = \"guest\"",
        &["claims.role[0].value: is missing"],
    );
    check(
        "[[claims.client]]\nclient = \"chat\"\nset = { sub = \"x\" }",
        &["claims.client[0].set.sub: is a claim that the broker makes itself"],
    );
    check("[login]\norder = [\"x\"]", &["login.order[0]: there is no connector `x`"]);
    check("[login]\norder = [\"local\", \"local\"]", &["login.order[1]: `local` is listed twice"]);
}
