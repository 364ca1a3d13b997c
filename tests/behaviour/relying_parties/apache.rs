//! Debian's Apache with mod_auth_openidc: code with PKCE, the user for the site, logout.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::port;
use auth_tests::harness::process::Process;
use reqwest::Url;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::is_signed_in;
use crate::site::{self, JANE, PASSWORD, SECRET};

const MODULE: &str = "/usr/lib/apache2/modules/mod_auth_openidc.so";
/// Not the daemon's: cookies go by host and not by port.
const HOST: &str = "127.0.0.2";

/// Runs Apache in the foreground until it is dropped.
async fn apache(folder: &TempDir, port: u16, issuer: &str) -> Result<Process> {
    let path = folder.path();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::create_dir_all(path.join("www/protected"))?;
    std::fs::write(path.join("www/protected/index.html"), "<h1>Inside</h1>\n")?;
    std::fs::write(path.join("www/bye.html"), "<h1>Bye</h1>\n")?;
    std::fs::write(path.join("httpd.conf"), configuration(path, port, issuer))?;
    let mut command = Command::new("apache2");
    command.arg("-X").arg("-d").arg(path).arg("-f").arg(path.join("httpd.conf"));
    let mut process = Process::start("apache2", command)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((HOST, port)).await.is_err() {
        if let Some(status) = process.try_exit()? {
            bail!("apache2 ended with {status}:\n{}", process.tail());
        }
        ensure!(Instant::now() < deadline, "apache2 does not listen:\n{}", process.tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(process)
}

fn configuration(folder: &Path, port: u16, issuer: &str) -> String {
    let folder = folder.display();
    let modules: String = [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_user",
        "dir",
        "mime",
        "headers",
        "auth_openidc",
    ]
    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
    .concat();
    format!(
        "{modules}ServerName {HOST}:{port}\nListen {HOST}:{port}\nPidFile {folder}/apache.pid\n\
         ErrorLog /proc/self/fd/2\nUser www-data\nGroup www-data\nDefaultRuntimeDir {folder}\n\
         Mutex file:{folder} default\nTypesConfig /etc/mime.types\nDocumentRoot {folder}/www\n\
         DirectoryIndex index.html\n\
         OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\n\
         OIDCClientID apache\nOIDCClientSecret {SECRET}\n\
         OIDCRedirectURI http://{HOST}:{port}/protected/callback\n\
         OIDCCryptoPassphrase only-for-this-test\nOIDCPKCEMethod S256\n\
         OIDCScope \"openid profile email\"\nOIDCRemoteUserClaim preferred_username\n\
         <Location /protected>\nAuthType openid-connect\nRequire valid-user\n\
         Header set X-Seen-User \"expr=%{{REMOTE_USER}}\"\n\
         Header set X-Seen-Email \"expr=%{{reqenv:OIDC_CLAIM_email}}\"\n</Location>\n\
         <Location /bye.html>\nRequire all granted\n</Location>\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn protects_a_site_and_signs_out() -> Result<()> {
    if !Path::new(MODULE).is_file() {
        ensure!(!auth_tests::harness::in_ci(), "Debian package libapache2-mod-auth-openidc");
        println!("SKIPPED: Debian package libapache2-mod-auth-openidc is not installed");
        return Ok(());
    }
    let port = port::free()?;
    let at = |path: &str| format!("http://{HOST}:{port}{path}");
    let builder = Daemon::builder()
        .set("password.argon2.memory_kib", 8192)
        .set("password.argon2.iterations", 1)
        .toml(&format!(
            "[[client]]\nid = \"apache\"\nsecret = \"{SECRET}\"\nredirect_uris = [\"{}\"]\n\
             post_logout_redirect_uris = [\"{}\"]\n",
            at("/protected/callback"),
            at("/bye.html"),
        ));
    let daemon = site::start(builder).await?;
    let folder = tempfile::Builder::new().prefix("auth-apache-").tempdir()?;
    let apache = apache(&folder, port, daemon.issuer()).await?;
    let log = || format!("log of Apache:\n{}", apache.tail());

    let browser = Browser::new()?;
    let page = browser.open(at("/protected/")).await.with_context(log)?.expect(200)?;
    let authorize: Url = page.url.clone();
    ensure!(authorize.as_str().starts_with(daemon.issuer()), "{}\n{}", page.describe(), log());
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
    let page = browser.follow(page, |_| false).await?.expect(200).with_context(log)?;
    ensure!(
        page.body.contains("Inside") && page.url.path() == "/protected/",
        "{}",
        page.describe()
    );
    ensure!(page.header("x-seen-user") == JANE, "{}", page.describe());
    ensure!(page.header("x-seen-email") == "jane@example.org", "{}", page.describe());
    let issued = site::events(&daemon, "session.issued").await?;
    ensure!(issued.iter().any(|event| event["detail"]["kind"] == "web"), "{issued:?}");

    let mut logout = Url::parse(&at("/protected/callback"))?;
    logout.query_pairs_mut().append_pair("logout", &at("/bye.html"));
    let page = browser.open(logout).await?.expect(200).with_context(log)?;
    ensure!(page.body.contains("Bye"), "{}\n{}", page.describe(), log());
    ensure!(!is_signed_in(&daemon, &browser).await?);
    let page = browser.open(at("/protected/")).await?.expect(200)?;
    page.form_to("/login/local")?;
    Ok(())
}
