//! `[[client]]`


use super::*;
use crate::config::sections::client::kind::{IdTokenAlgorithm, TokenEndpointAuthMethod};

const CHAT: &str =
    "[[client]]\nid = \"chat\"\nredirect_uris = [\"https://chat.example.com/callback\"]\n";
const SECRET: &str = "secret = \"0123456789abcdef\"\n";

/// Errors of a client with these keys beside id and redirect URI.
fn check_keys(keys: &str, expected: &[&str]) {
    let expected: Vec<String> =
        expected.iter().map(|problem| format!("client[0].{problem}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&format!("{CHAT}{keys}"), &expected);
}

#[test]
fn defaults() {
    let config = config(&format!("{CHAT}{SECRET}"));
    let client = config.clients.first().unwrap();
    assert_eq!(client.name, "chat");
    assert_eq!(client.id_token_algorithm, IdTokenAlgorithm::Rs256);
    assert_eq!(client.access_token_lifetime, None, "by its kind");
    assert!(client.secret.as_ref().unwrap().matches("0123456789abcdef"));
    assert!(client.connectors.is_none() && client.scopes.is_none() && !client.public);
}

#[test]
fn ids() {
    check(
        &format!("{}{SECRET}", CHAT.replace("\"chat\"", "\"Chat_1\"")),
        &["client[0].id (Chat_1): is no id"],
    );
    check(
        &format!("{CHAT}{SECRET}{CHAT}{SECRET}"),
        &["client[1].id (chat): is the id of client[0] too"],
    );
    check(
        "[[client]]\npublic = true\nredirect_uris = [\"https://a/\"]",
        &["client[0].id: is missing"],
    );
}

#[test]
fn secrets_go_with_confidential_clients_only() {
    check_keys("", &["secret_file (chat): is missing"]);
    check_keys("public = true", &[]);
    check_keys("token_endpoint_auth_method = \"none\"", &[]);
    check_keys(
        &format!("public = true\n{SECRET}"),
        &["secret (chat): is set, but a public client"],
    );
    check_keys(
        &format!("{SECRET}secret_file = \"/x\""),
        &["secret (chat): `secret` and `secret_file` are both set"],
    );
    check_keys("secret = \"\"", &["secret (chat): is empty"]);
    check_keys(
        "public = true\ntoken_endpoint_auth_method = \"client_secret_post\"",
        &["token_endpoint_auth_method (chat): does not go with `public`"],
    );
    check_keys(
        &format!("{SECRET}token_endpoint_auth_method = \"none\""),
        &["secret (chat): is set, but a public client"],
    );
    let config = config(&format!("{CHAT}public = true"));
    let client = &config.clients[0];
    assert!(client.public);
    assert_eq!(client.token_endpoint_auth_method, Some(TokenEndpointAuthMethod::None));
    check_warnings(
        &format!("[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n{CHAT}secret = \"short\""),
        &["client[0].secret (chat): is shorter than 16 characters"],
    );
}

#[test]
fn redirect_uris() {
    let text = |uri: &str| CHAT.replace("https://chat.example.com/callback", uri);
    for (uri, problem) in [
        ("http://chat.example.com/", "is http"),
        ("/callback", "is no absolute URI"),
        ("https://a/#b", "has a fragment"),
        ("com.example.chat:/callback", "has a scheme of an application's own"),
    ] {
        check(
            &format!("{}{SECRET}", text(uri)),
            &[&format!("client[0].redirect_uris[0] (chat): {problem}")],
        );
    }
    check(&format!("{}public = true", text("com.example.chat:/callback")), &[]);
    check("[[client]]\nid = \"a\"\npublic = true", &["client[0].redirect_uris (a): is missing"]);
    check_keys(
        &format!("{SECRET}post_logout_redirect_uris = [\"https://a/\", \"http://b/\"]"),
        &["post_logout_redirect_uris[1] (chat): is http"],
    );
}

#[test]
fn connectors_and_scopes() {
    check_keys(&format!("{SECRET}connectors = [\"local\"]"), &[]);
    check_keys(&format!("{SECRET}connectors = []"), &["connectors (chat): is empty"]);
    check_keys(
        &format!("{SECRET}connectors = [\"local\", \"corp\"]"),
        &["connectors[1] (chat): there is no connector `corp`"],
    );
    check_keys(&format!("{SECRET}scopes = [\"email\"]"), &["scopes (chat): lacks openid"]);
    check_keys(
        &format!("{SECRET}scopes = [\"openid\", \"a b\"]"),
        &["scopes[1] (chat): is no scope"],
    );
}

#[test]
fn lifetimes() {
    check_keys(
        &format!("{SECRET}access_token_lifetime = \"2d\""),
        &["access_token_lifetime (chat): 2d is out of range"],
    );
    check_keys(
        &format!("{SECRET}session_lifetime = \"1h\"\nsession_idle_timeout = \"2h\""),
        &["session_idle_timeout (chat): is longer than session_lifetime"],
    );
}

#[test]
fn deliveries_of_a_client() {
    let long = "0123456789abcdefghijklmnop";
    let text = format!(
        "{CHAT}{SECRET}backchannel_logout_uri = \"https://a/\"\n\
         webhook = {{ url = \"https://a/hook\", secret = \"{long}\" }}"
    );
    let config = config(&text);
    let client = &config.clients[0];
    assert_eq!(client.backchannel_logout_uri.as_deref(), Some("https://a/"));
    assert_eq!(client.webhook.as_ref().unwrap().url.as_str(), "https://a/hook");
    check_keys(
        &format!("{SECRET}webhook = {{ secret = \"{long}\" }}"),
        &["webhook.url (chat): is missing"],
    );
    check_keys(
        &format!("{SECRET}webhook = {{ url = \"http://a/\" }}"),
        &["webhook.url (chat): is no https URL", "webhook.secret_file (chat): is missing"],
    );
    check_keys(
        &format!("{SECRET}backchannel_logout_uri = \"http://a/\""),
        &["backchannel_logout_uri (chat): is no https URL"],
    );
    check_keys(
        &format!("{SECRET}mattermost = {{ url = \"https://a/\", token = \"x\" }}"),
        &["mattermost (chat): is for clients of kind \"gitlab\""],
    );
}

#[test]
fn clients_of_kind_gitlab() {
    let keys = |keys: &str| format!("{SECRET}kind = \"gitlab\"\n{keys}");
    let text = format!(
        "{CHAT}{}\n[client.mattermost]\nurl = \"https://chat.example.com/sub\"\ntoken = \"t\"\n\
         [[client.mattermost.membership]]\ngroup = \"cn=staff\"\nteam = \"main\"\n\
         channels = [\"dev\"]\n",
        keys("")
    );
    let config = config(&text);
    let server = config.clients[0].mattermost.as_ref().unwrap();
    assert!(server.create_accounts);
    assert_eq!(server.memberships[0].channels, ["dev"]);
    for key in [
        "token_endpoint_auth_method = \"client_secret_basic\"",
        "scopes = [\"openid\"]",
        "backchannel_logout_uri = \"https://a/\"",
    ] {
        let name = key.split(' ').next().unwrap();
        check_keys(&keys(key), &[&format!("{name} (chat): does not go with kind \"gitlab\"")]);
    }
    check_keys(
        &keys("mattermost = { url = \"https://a/\" }"),
        &["mattermost.token_file (chat): is missing"],
    );
    check_keys(
        &keys(
            "mattermost = { url = \"https://a/\", token = \"t\", \
             membership = [{ group = \"g\", team = \"a/../b\" }] }",
        ),
        &["mattermost.membership[0].team (chat): is no name of a team"],
    );
}

#[test]
fn reverse_proxies() {
    let wiki = |keys: &str| format!("[[client]]\nid = \"wiki\"\nkind = \"forward-auth\"\n{keys}\n");
    let hosts = "hosts = [\"wiki.example.com\", \"git.example.com:8443\"]";
    check(&wiki(hosts), &[]);
    check(&wiki(""), &["client[0].hosts (wiki): is missing"]);
    check(
        &wiki("hosts = [\"https://wiki.example.com\"]"),
        &["client[0].hosts[0] (wiki): `https://wiki.example.com` is no host"],
    );
    check(
        &wiki(&format!("{hosts}\n{SECRET}")),
        &["client[0].secret (wiki): is set, but a reverse proxy"],
    );
    check(
        &wiki(&format!("{hosts}\nredirect_uris = [\"https://wiki.example.com/cb\"]")),
        &["client[0].redirect_uris (wiki): follow from `hosts`"],
    );
    let twice = wiki(hosts) + &wiki(hosts).replace("\"wiki\"", "\"docs\"");
    check(
        &twice,
        &[
            "client[1].hosts[0] (docs): is listed at client[0].hosts[0] too",
            "client[1].hosts[1] (docs): is listed at client[0].hosts[1] too",
        ],
    );
    check_keys(&format!("{SECRET}{hosts}"), &["hosts (chat): is for clients of kind"]);
    check_warnings(
        &wiki(hosts)
            .replace("[[client]]", "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[[client]]"),
        &[],
    );
    let client = config(&wiki(hosts)).clients.remove(0);
    assert!(client.public && client.secret.is_none() && client.hosts.len() == 2);
}

#[test]
fn chat_servers_of_the_sessions_api() {
    let kind = "kind = \"session-api\"\n";
    check_keys(&format!("{SECRET}{kind}"), &[]);
    check_keys(kind, &["secret_file (chat): is missing"]);
    check_keys(&format!("{kind}public = true"), &["public (chat): a client of kind"]);
    check_keys(
        &format!("{SECRET}{kind}token_endpoint_auth_method = \"client_secret_post\""),
        &["token_endpoint_auth_method (chat): a client of kind"],
    );
    check_keys(
        &format!("{SECRET}{kind}subject_type = \"pairwise\""),
        &["subject_type (chat): is not for clients of kind"],
    );
}

#[test]
fn keys_pairwise_subjects_groups_and_claims() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let signs = "token_endpoint_auth_method = \"private_key_jwt\"\n";
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let good = file("good.json", key);
    check_keys(&format!("{signs}jwks_file = \"{good}\""), &[]);
    check_keys(signs, &["jwks_file (chat): is missing"]);
    check_keys(&format!("{signs}jwks_file = \"/nowhere\""), &["jwks_file (chat): /nowhere cannot"]);
    let private = file("private.json", &key.replace("\"x\"", "\"d\":\"AA\",\"x\""));
    check_keys(
        &format!("{signs}jwks_file = \"{private}\""),
        &[&format!("jwks_file (chat): {private}: key 0 holds a private key")],
    );
    check_keys(
        &format!("{signs}jwks_file = \"{good}\"\n{SECRET}"),
        &["secret (chat): is set beside private_key_jwt"],
    );
    check_keys(&format!("{SECRET}jwks_file = \"{good}\""), &["jwks_file (chat): is set, but"]);
    check_keys(&format!("{SECRET}subject_type = \"pairwise\""), &[]);
    let two = CHAT.replace("callback\"]", "callback\", \"https://other.example.com/\"]");
    check(
        &format!("{two}{SECRET}subject_type = \"pairwise\""),
        &["client[0].subject_type (chat): \"pairwise\" needs redirect URIs of one host"],
    );
    check_keys(
        &format!("{SECRET}claims = [\"email\", \"shoe_size\"]\nallowed_groups = []"),
        &["allowed_groups (chat): is empty", "claims[1] (chat): there is no claim `shoe_size`"],
    );
}
