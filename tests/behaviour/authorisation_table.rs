//! Every route with who may call it. A route of the router that is not here fails the build of
//! this test; a route here is called by a stranger, a signed-in person and a client.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::workspace;
use reqwest::Method;

use crate::site::{self, CLIENT, JANE, PASSWORD, SECRET};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Anybody.
    Anyone,
    /// A browser that began this login.
    LoginBrowser,
    /// A signed-in person; others are sent to the sign-in page.
    Person,
    /// A signed-in person, with the form's token.
    PersonByForm,
    /// A provider's answer to a departure of this browser, or a token that it signed.
    Provider,
    /// A client with its credentials.
    Client,
    /// A client of kind `session-api` with its credentials.
    ChatServer,
    /// A reverse proxy that the configuration lists; nobody is by default.
    ListedProxy,
    /// A client of kind gitlab with its credentials in the form.
    GitlabClient,
    /// A client with its credentials, for a stream that does not end.
    StreamingClient,
    /// Whoever holds an access token.
    Bearer,
    /// Whoever reaches the administration listener.
    AdministrationListener,
}

/// The chat server without OpenID Connect.
const PLAIN: &str = "plain-chat";

const TABLE: &[(&str, &str, Who)] = &[
    ("GET", "/", Who::Anyone),
    ("GET", "/login", Who::Anyone),
    ("GET", "/login/continue", Who::LoginBrowser),
    ("POST", "/login/continue", Who::LoginBrowser),
    ("GET", "/login/factor", Who::LoginBrowser),
    ("POST", "/login/factor", Who::LoginBrowser),
    ("GET", "/login/enrol", Who::LoginBrowser),
    ("POST", "/login/enrol", Who::LoginBrowser),
    ("POST", "/login/enrol/later", Who::LoginBrowser),
    ("POST", "/login/passkey", Who::LoginBrowser),
    ("GET", "/login/{connector}", Who::Anyone),
    ("POST", "/login/{connector}", Who::LoginBrowser),
    ("GET", "/logout", Who::Person),
    ("POST", "/logout", Who::PersonByForm),
    ("GET", "/account", Who::Person),
    ("GET", "/account/security", Who::Person),
    ("GET", "/account/security/confirm", Who::Person),
    ("GET", "/account/security/totp", Who::Person),
    ("POST", "/account/security/totp", Who::PersonByForm),
    ("GET", "/account/security/passkey", Who::Person),
    ("POST", "/account/security/passkey", Who::PersonByForm),
    ("POST", "/account/security/factors", Who::PersonByForm),
    ("POST", "/account/security/recovery-codes", Who::PersonByForm),
    ("POST", "/account/security/devices", Who::PersonByForm),
    ("GET", "/account/security/password", Who::Person),
    ("POST", "/account/security/password", Who::PersonByForm),
    ("GET", "/account/sessions", Who::Person),
    ("POST", "/account/sessions", Who::PersonByForm),
    ("GET", "/account/identities", Who::Person),
    ("POST", "/account/identities", Who::PersonByForm),
    ("GET", "/oidc/{connection}/callback", Who::Provider),
    ("POST", "/oidc/{connection}/backchannel-logout", Who::Provider),
    ("POST", "/saml/{connection}/acs", Who::Provider),
    ("GET", "/saml/{connection}/slo", Who::Provider),
    ("POST", "/saml/{connection}/slo", Who::Provider),
    ("GET", "/saml/{connection}/metadata", Who::Anyone),
    ("GET", "/oauth/authorize", Who::Anyone),
    ("POST", "/oauth/token", Who::GitlabClient),
    ("GET", "/api/v4/user", Who::Bearer),
    ("GET", "/api/v1/events", Who::StreamingClient),
    ("GET", "/oauth2/authorize", Who::Anyone),
    ("POST", "/oauth2/authorize", Who::Anyone),
    ("GET", "/device", Who::Anyone),
    ("POST", "/device", Who::PersonByForm),
    ("GET", "/oauth2/logout", Who::Anyone),
    ("POST", "/oauth2/logout", Who::Anyone),
    ("GET", "/.well-known/openid-configuration", Who::Anyone),
    ("POST", "/oauth2/token", Who::Client),
    ("GET", "/oauth2/userinfo", Who::Bearer),
    ("POST", "/oauth2/userinfo", Who::Bearer),
    ("GET", "/oauth2/jwks", Who::Anyone),
    ("POST", "/oauth2/introspect", Who::Client),
    ("POST", "/oauth2/revoke", Who::Client),
    ("POST", "/oauth2/par", Who::Client),
    ("POST", "/oauth2/device", Who::Client),
    ("POST", "/api/v1/sessions/exchange", Who::ChatServer),
    ("POST", "/api/v1/sessions/check", Who::ChatServer),
    ("POST", "/api/v1/sessions/extend", Who::ChatServer),
    ("POST", "/api/v1/sessions/list", Who::ChatServer),
    ("POST", "/api/v1/sessions/revoke", Who::ChatServer),
    ("GET", "/forward-auth", Who::ListedProxy),
    ("GET", "/forward-auth/login", Who::Anyone),
    ("GET", "/.auth/callback", Who::ListedProxy),
    ("GET", "/healthz", Who::Anyone),
    ("GET", "/assets/style.css", Who::Anyone),
    ("GET", "/assets/passkey.js", Who::Anyone),
    ("GET", "/assets/icon.svg", Who::Anyone),
    ("GET", "/assets/logo/{connector}", Who::Anyone),
    ("GET", "/healthz", Who::AdministrationListener),
    ("GET", "/readyz", Who::AdministrationListener),
    ("GET", "/metrics", Who::AdministrationListener),
];

/// (method, path) pairs of the router's source: its table is one screen of `.route(…)` lines.
fn routes_of_the_source() -> Result<BTreeSet<(String, String)>> {
    let path = workspace().join("auth-daemon/src/routes/mod.rs");
    let source = std::fs::read_to_string(path)?;
    let mut routes = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let path = part.split('"').nth(1).context("path of a route")?;
        let call = part.split(".route(").next().unwrap_or_default();
        let call = call.split("\n        .layer").next().unwrap_or_default();
        let call = call.split(';').next().unwrap_or_default();
        for (word, method) in [
            ("get(", "GET"),
            ("post(", "POST"),
            ("put(", "PUT"),
            ("delete(", "DELETE"),
            ("any(", "ANY"),
        ] {
            if call.contains(word) {
                routes.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    Ok(routes)
}

#[test]
fn every_route_stands_in_the_table() -> Result<()> {
    let source = routes_of_the_source()?;
    let table: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).into(), (*path).into())).collect();
    let missing: Vec<_> = source.difference(&table).collect();
    let stale: Vec<_> = table.difference(&source).collect();
    ensure!(missing.is_empty(), "routes without a row: {missing:?}");
    ensure!(stale.is_empty(), "rows without a route: {stale:?}");
    ensure!(source.len() > 20, "the source was not read: {source:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_out_who_may_not_call_it() -> Result<()> {
    let builder = site::daemon()
        .toml("[[oidc]]\nid = \"up\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"x\"")
        .toml(&format!(
            "[[saml]]\nid = \"corp\"\nmetadata_file = {:?}\n",
            workspace().join("fixtures/saml/hostile/metadata/corp.xml")
        ))
        .toml(&format!(
            "[[client]]\nid = \"{PLAIN}\"\nkind = \"session-api\"\nsecret = \"{SECRET}\"\n\
             redirect_uris = [\"http://127.0.0.1:9/plain\"]\n"
        ))
        .toml(&format!(
            "[[client]]\nid = \"gitlab\"\nkind = \"gitlab\"\nsecret = \"{SECRET}\"\n\
             redirect_uris = [\"https://chat.example.org/signup/gitlab/complete\"]\n"
        ))
        .toml(
            "[[client]]\nid = \"wiki\"\nkind = \"forward-auth\"\nhosts = [\"wiki.example.com\"]\n",
        );
    let daemon = site::start(builder).await?;
    let person = Browser::new()?;
    let page = site::attempt(&daemon, &person, "local", JANE, PASSWORD).await?.expect(303)?;
    person.follow(page, |_| false).await?.expect(200)?;
    for (method, path, who) in TABLE {
        let stranger = Browser::new()?;
        let url = match who {
            Who::AdministrationListener => daemon.admin_url(path)?,
            _ => {
                let connection = if path.starts_with("/saml/") { "corp" } else { "up" };
                let path = path.replace("{connector}", "local");
                daemon.url(&path.replace("{connection}", connection))
            }
        };
        let verb: Method = method.parse()?;
        let form: &[(&str, &str)] = match who {
            Who::LoginBrowser => &[
                ("csrf", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.x"),
                ("username", JANE),
                ("password", PASSWORD),
                ("code", "123456"),
            ],
            _ => &[
                ("csrf", "x"),
                ("session", "all"),
                ("token", "x"),
                ("user_code", "x"),
                ("action", "link"),
                ("connector", "up"),
                ("logout_token", "x.y.z"),
            ],
        };
        let call = |browser: Browser| {
            let request = browser.request(verb.clone(), &url);
            let request = if verb == Method::POST { request.form(form) } else { request };
            async move { browser.send(request).await }
        };
        let page = call(stranger.clone()).await?;
        let row = format!("{method} {path} {who:?}: {}", page.describe());
        match who {
            Who::Anyone => ensure!(!page.status.is_server_error() && page.status != 401, "{row}"),
            Who::LoginBrowser => {
                ensure!(page.status.is_client_error(), "{row}");
                let page = call(person.clone()).await?;
                ensure!(page.status.is_client_error(), "signed in, {row}");
            }
            Who::Provider => {
                ensure!(page.status.is_client_error() && page.status != 404, "{row}");
                let page = call(person.clone()).await?;
                ensure!(page.status.is_client_error(), "signed in, {row}");
            }
            Who::Person => {
                ensure!(page.status == 303 && page.location()?.path() == "/login", "{row}");
                call(person.clone()).await?.expect(200)?;
            }
            Who::PersonByForm => {
                // A stranger changes nothing; a person without the form's token is refused.
                ensure!(page.status == 303 || page.status == 200, "{row}");
                call(person.clone()).await?.expect(403)?;
            }
            Who::Client => {
                ensure!(page.status == 401, "{row}");
                let request = stranger
                    .request(verb.clone(), &url)
                    .basic_auth(CLIENT, Some("not the secret"))
                    .form(form);
                stranger.send(request).await?.expect(401)?;
                let request = stranger
                    .request(verb.clone(), &url)
                    .basic_auth(CLIENT, Some(SECRET))
                    .form(form);
                ensure!(stranger.send(request).await?.status != 401, "{row}");
            }
            Who::ChatServer => {
                // Everything that any of the calls wants, and so something too much for each.
                let body = serde_json::json!({ "code": "x", "redirect_uri": "x", "token": "x",
                    "tokens": ["x"], "account": "x" });
                let wanted: &[&str] = match *path {
                    "/api/v1/sessions/exchange" => &["code", "redirect_uri"],
                    "/api/v1/sessions/check" => &["tokens"],
                    "/api/v1/sessions/list" => &["account"],
                    _ => &["token"],
                };
                let body: serde_json::Map<String, serde_json::Value> =
                    wanted.iter().map(|name| ((*name).to_owned(), body[*name].clone())).collect();
                let ask = |credentials: Option<(&str, &str)>| {
                    let mut request = stranger.request(verb.clone(), &url).json(&body);
                    if let Some((client, secret)) = credentials {
                        request = request.basic_auth(client, Some(secret));
                    }
                    let stranger = stranger.clone();
                    async move { stranger.send(request).await }
                };
                for refused in [None, Some((CLIENT, SECRET)), Some((PLAIN, "not the secret"))] {
                    let page = ask(refused).await?.expect(401)?;
                    ensure!(page.header("content-type") == "application/problem+json", "{row}");
                    ensure!(page.header("www-authenticate").starts_with("Basic"), "{row}");
                    ensure!(page.json()?["code"] == "client_refused", "{row}");
                }
                ensure!(ask(Some((PLAIN, SECRET))).await?.status != 401, "{row}");
            }
            Who::ListedProxy => {
                ensure!(page.status == 401 || page.status == 404, "{row}");
                let request = person
                    .request(verb.clone(), &url)
                    .header("x-original-url", "https://wiki.example.com/")
                    .header("x-forwarded-proto", "https")
                    .header("x-forwarded-host", "wiki.example.com")
                    .header("x-forwarded-uri", "/");
                let page = person.send(request).await?;
                ensure!(page.status == 401 || page.status == 404, "{row}: {}", page.describe());
                ensure!(page.headers.get("location").is_none(), "{row}");
                ensure!(page.headers.get("remote-user").is_none(), "{row}");
            }
            Who::GitlabClient => {
                ensure!(page.status == 401, "{row}");
                for (id, secret, status) in [
                    ("gitlab", "not the secret", 401),
                    (CLIENT, SECRET, 400),
                    ("gitlab", SECRET, 400),
                ] {
                    let fields = [("client_id", id), ("client_secret", secret), ("code", "x")];
                    let answer = stranger.post(&url, &fields).await?;
                    ensure!(answer.status == status, "{id}: {row}");
                    let unauthorized = answer.body.contains("unauthorized_client");
                    ensure!(unauthorized == (id == CLIENT), "{id}: {}", answer.describe());
                }
            }
            Who::StreamingClient => {
                ensure!(page.status == 401, "{row}");
                for (secret, status) in [("not the secret", 401), (SECRET, 200)] {
                    let request = stranger.request(verb.clone(), &url);
                    let answer = request.basic_auth(CLIENT, Some(secret)).send().await?;
                    ensure!(answer.status() == status, "{row}: {}", answer.status());
                }
            }
            Who::Bearer => {
                ensure!(page.status == 401, "{row}");
                let request = stranger.request(verb.clone(), &url).bearer_auth("A".repeat(43));
                stranger.send(request).await?.expect(401)?;
                call(person.clone()).await?.expect(401)?;
            }
            Who::AdministrationListener => {
                ensure!(page.status == 200, "{row}");
                let public = stranger.get(daemon.url(path)).await?;
                ensure!(*path == "/healthz" || public.status == 404, "{row} is public");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_guarding_headers() -> Result<()> {
    let daemon = site::start(site::daemon()).await?;
    for (method, path, who) in TABLE {
        if *who == Who::AdministrationListener {
            continue;
        }
        let browser = Browser::new()?;
        let url = daemon.url(&path.replace("{connector}", "local"));
        let page = browser.send(browser.request(method.parse()?, &url)).await?;
        let csp = page.header("content-security-policy");
        ensure!(csp.contains("default-src 'none'") && !csp.contains("unsafe"), "{path}: {csp}");
        ensure!(csp.contains("frame-ancestors 'none'"), "{path}: {csp}");
        ensure!(page.header("x-content-type-options") == "nosniff", "{path}");
        ensure!(page.header("referrer-policy") == "same-origin", "{path}");
        ensure!(!page.header("x-request-id").is_empty(), "{path}");
        // A picture that is not there is not kept either.
        let cached = (path.starts_with("/assets/") && page.status == 200)
            || *path == "/oauth2/jwks"
            || path.starts_with("/.well-known/");
        ensure!(cached || page.header("cache-control").contains("no-store"), "{method} {path}");
        ensure!(page.headers.get("access-control-allow-origin").is_none(), "{path}");
    }
    Ok(())
}
