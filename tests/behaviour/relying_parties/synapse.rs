//! The Matrix homeserver Synapse (PyPI) with `oidc_providers`, as docs/synapse.md sets it up: a
//! browser signs in through a directory and a second factor and ends with a Matrix access token;
//! a sign-out at the daemon ends that token by a back-channel logout.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use auth_core::clock::{Clock as _, SystemClock};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::nginx::Site;
use auth_tests::harness::process::Process;
use auth_tests::harness::slapd::Slapd;
use auth_tests::harness::{packages, port};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::site::SECRET;

/// Not the daemon's: cookies go by host and not by port.
const HOST: &str = "127.0.0.2";
/// The daemon tells within one second; the homeserver ends its devices in its own time.
const LIMIT: Duration = Duration::from_secs(5);

struct Homeserver {
    _process: Process,
    _folder: TempDir,
    port: u16,
}

impl Homeserver {
    async fn start(python: &Path, port: u16, issuer: &str, client: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("auth-synapse-").tempdir()?;
        let file = folder.path().join("homeserver.yaml");
        std::fs::write(&file, configuration(folder.path(), port, issuer, client))?;
        std::fs::write(folder.path().join("log.yaml"), LOG)?;
        let homeserver = |generate: bool| {
            let mut command = Command::new(python);
            command.args(["-m", "synapse.app.homeserver", "-c"]).arg(&file);
            if generate {
                command.arg("--generate-keys");
            }
            command.current_dir(folder.path());
            command
        };
        let made = homeserver(true).output().context("synapse --generate-keys")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut process = Process::start("synapse", homeserver(false))?;
        let deadline = Instant::now() + Duration::from_secs(90);
        let browser = Browser::new()?;
        let flows = format!("http://{HOST}:{port}/_matrix/client/v3/login");
        loop {
            if browser.get(&flows).await.is_ok_and(|page| page.status == 200) {
                break;
            }
            if let Some(status) = process.try_exit()? {
                bail!("synapse ended with {status}:\n{}", process.tail());
            }
            ensure!(Instant::now() < deadline, "synapse does not answer:\n{}", process.tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Self { _process: process, _folder: folder, port })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{HOST}:{}{path}", self.port)
    }

    /// Whose an access token is.
    async fn whoami(&self, token: &str) -> Result<Page> {
        self.ask(Method::GET, "/_matrix/client/v3/account/whoami", Some(token), None).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<serde_json::Value>,
    ) -> Result<Page> {
        let browser = Browser::new()?;
        let mut request = browser.request(method, self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        browser.send(request).await
    }
}

const LOG: &str = "version: 1\nformatters: {plain: {format: '%(name)s %(levelname)s %(message)s'}}\n\
    handlers: {console: {class: logging.StreamHandler, formatter: plain}}\n\
    root: {level: WARNING, handlers: [console]}\n";

fn configuration(folder: &Path, port: u16, issuer: &str, client: &str) -> String {
    let folder = folder.display();
    format!(
        r#"
server_name: "chat.test"
public_baseurl: "http://{HOST}:{port}/"
listeners: [{{port: {port}, bind_addresses: ['{HOST}'], type: http, tls: false, resources: [{{names: [client], compress: false}}]}}]
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
log_config: {folder}/log.yaml
signing_key_path: {folder}/signing.key
media_store_path: {folder}/media
pid_file: {folder}/homeserver.pid
macaroon_secret_key: "only-for-this-test"
form_secret: "only-for-this-test"
report_stats: false
trusted_key_servers: []
ip_range_whitelist: ['127.0.0.1/32']
password_config: {{enabled: false}}
sso: {{client_whitelist: ["{client}"], update_profile_information: true}}
oidc_providers:
  - idp_id: broker
    idp_name: "Single sign-on"
    issuer: "{issuer}"
    client_id: synapse
    client_secret: "{SECRET}"
    scopes: [openid, profile, email]
    backchannel_logout_enabled: true
    user_mapping_provider:
      config:
        subject_template: "{{{{ user.sub }}}}"
        localpart_template: "{{{{ user.preferred_username }}}}"
        display_name_template: "{{{{ user.name }}}}"
        email_template: "{{{{ user.email }}}}"
"#
    )
}

/// What Debian's `oathtool` makes of a seed now.
fn code(secret: &str) -> Result<String> {
    let at = SystemClock.now().seconds();
    let output = Command::new("oathtool")
        .args(["--totp", "--base32", "--now", &format!("@{at}"), &secret.replace(' ', "")])
        .output()
        .context("oathtool")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_ends_with_a_matrix_access_token_until_it_signs_out() -> Result<()> {
    let Some(python) = packages::synapse()? else { return Ok(()) };
    let port = port::free()?;
    let slapd = Slapd::start()?;
    let callback = format!("http://{HOST}:{port}/_synapse/client/oidc/callback");
    let daemon = Daemon::builder()
        .set("mfa.policy", "required")
        .directory("corp", &slapd)
        .toml(&format!(
            "[[client]]\nid = \"synapse\"\nkind = \"oidc\"\nsecret = \"{SECRET}\"\n\
             redirect_uris = [\"{callback}\"]\nbackchannel_logout_uri = \
             \"http://{HOST}:{port}/_synapse/client/oidc/backchannel_logout\"\n"
        ))
        .start()
        .await?;
    let client = Site::start().await?;
    let client = format!("http://127.0.0.1:{}/", client.port);
    let homeserver = Homeserver::start(&python, port, daemon.issuer(), &client).await?;

    let chromium = Chromium::start().await?;
    let path = "/_matrix/client/v3/login/sso/redirect/oidc-broker";
    let begin = format!("{}?redirectUrl={client}", homeserver.url(path));
    chromium.client.goto(&begin).await?;
    chromium.type_into("username", "alice").await?;
    chromium.type_into("password", "secret-alice").await?;
    chromium.wait_for_css("form button").await?.click().await?;
    let secret = chromium.wait_for_css("#totp-secret").await?.text().await?;
    chromium.type_into("code", &code(&secret)?).await?;
    chromium.wait_for_css("form[action=\"/login/enrol\"] button").await?.click().await?;
    chromium.wait_for_css(".recovery-code").await?;
    chromium.wait_for_css("a.button").await?.click().await?;
    let body = login_token(&chromium, &client).await?;
    let signed_in = homeserver
        .ask(Method::POST, "/_matrix/client/v3/login", None, Some(body.clone()))
        .await?
        .expect(200)?
        .json()?;
    ensure!(signed_in["user_id"] == "@alice:chat.test", "{signed_in}");
    let access = signed_in["access_token"].as_str().context("access_token")?;
    ensure!(homeserver.whoami(access).await?.expect(200)?.json()?["user_id"] == "@alice:chat.test");
    let name = "/_matrix/client/v3/profile/@alice:chat.test/displayname";
    let name = homeserver.ask(Method::GET, name, Some(access), None).await?.expect(200)?.json()?;
    ensure!(name["displayname"].as_str().is_some_and(|name| name.contains("Alice")), "{name}");
    let again = homeserver.ask(Method::POST, "/_matrix/client/v3/login", None, Some(body)).await?;
    ensure!(again.status == 403, "{}", again.describe());

    // A second Matrix client of the same browser, which is signed in already.
    chromium.client.goto(&begin).await?;
    let body = login_token(&chromium, &client).await?;
    let path = "/_matrix/client/v3/login";
    let second = homeserver.ask(Method::POST, path, None, Some(body)).await?.expect(200)?.json()?;
    let second = second["access_token"].as_str().context("access_token")?;
    ensure!(second != access, "a device of its own");
    for token in [access, second] {
        ensure!(homeserver.whoami(token).await?.status == 200, "both are in");
    }
    chromium.client.goto(daemon.url("/logout").as_str()).await?;
    chromium.wait_for_css("form[action=\"/logout\"] button").await?.click().await?;
    let began = Instant::now();
    for token in [access, second] {
        let mut answer = homeserver.whoami(token).await?;
        while answer.status == 200 && began.elapsed() < LIMIT {
            answer = homeserver.whoami(token).await?;
        }
        let answer = answer.expect(401)?.json()?;
        ensure!(answer["errcode"] == "M_UNKNOWN_TOKEN", "{answer}");
    }
    println!("both Matrix tokens ended {:?} after the sign-out", began.elapsed());
    Ok(())
}

/// What the homeserver sent the browser back with, as the body of a login.
async fn login_token(chromium: &Chromium, client: &str) -> Result<serde_json::Value> {
    let answer = chromium
        .wait_for_url(|url| url.query_pairs().any(|(name, _)| name == "loginToken"))
        .await?;
    ensure!(answer.as_str().starts_with(client), "{answer}");
    let token = answer.query_pairs().find(|(name, _)| name == "loginToken");
    let token = token.context("loginToken")?.1.into_owned();
    Ok(json!({ "type": "m.login.token", "token": token }))
}
