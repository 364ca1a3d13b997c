//! A throw-away Keycloak on a free loopback port, in dev mode with a database in memory: a SAML
//! identity provider with AES-256-GCM and short Conditions, and an upstream OpenID provider.
//!
//! Needs Java 17 and Maven, which fetches the distribution (177 MB) once into the build folder.
//! Starting takes half a minute and 600 MiB, so the tests that run at the same time share one
//! server, and it ends with the last of them; [`Keycloak::missing`] says what is not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::html::{self, Form};
use super::http::{Browser, Page, client_builder};
use super::process::Process;
use super::run_program::run;
use super::{artifact_folder, port};

const VERSION: &str = "26.7.3";
const REALM: &str = "test";
const ADMIN: [&str; 2] = ["admin", "admin-password-of-the-tests"];
const READY_WITHIN: Duration = Duration::from_secs(180);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// People: user name, given name, family name, groups. The password is `USER-pass`, the address
/// `USER@example.org`. They are shared as the server is: whoever ends the sessions of a person takes
/// one that no other test uses.
pub const PEOPLE: [(&str, &str, &str, &[&str]); 4] = [
    ("alice", "Alice", "Ånderson", &["staff", "admins"]),
    ("bob", "Bob", "Builder", &["staff"]),
    ("carol", "Carol", "Carter", &["staff"]),
    ("dave", "Dave", "Dover", &[]),
];

/// The server that is shared; nobody starts a second one while somebody waits for the first.
static RUNNING: Mutex<Weak<Keycloak>> = Mutex::const_new(Weak::new());

/// A running server. See the module.
#[derive(Debug)]
pub struct Keycloak {
    process: Process,
    port: u16,
}

/// What a SAML client gets beyond what its metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Assertions go in clear.
    Off,
    /// What Keycloak takes by itself: AES-256-GCM, the RSA-OAEP of XML Encryption 1.1.
    Default,
    /// AES-256-GCM, `rsa-oaep-mgf1p`.
    OaepMgf1p,
}

impl Keycloak {
    /// Why none can be started here; `None` when one can.
    #[must_use]
    pub fn missing() -> Option<String> {
        let runs = |program: &str, argument: &str| {
            Command::new(program).arg(argument).output().is_ok_and(|it| it.status.success())
        };
        let needed = [
            ("java", "-version", "default-jre-headless"),
            ("mvn", "-version", "maven"),
            ("python3", "--version", "python3"),
        ];
        let (program, _, package) =
            needed.into_iter().find(|(program, argument, _)| !runs(program, argument))?;
        Some(format!("{program} does not run: install the package {package}"))
    }

    /// The server of the tests that run now; the first of them starts it and waits until it
    /// answers.
    ///
    /// # Errors
    /// A program is missing, the distribution cannot be fetched, or it is not ready in time.
    pub async fn shared() -> Result<Arc<Self>> {
        let mut running = RUNNING.lock().await;
        if let Some(server) = running.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start().await?);
        *running = Arc::downgrade(&server);
        Ok(server)
    }

    async fn start() -> Result<Self> {
        if let Some(missing) = Self::missing() {
            bail!("no Keycloak: {missing}");
        }
        let home = distribution()?;
        let import = home.join("data/import");
        fs::create_dir_all(&import)?;
        fs::write(import.join("test-realm.json"), realm().to_string())?;
        let port = port::free()?;
        let mut command = Command::new("bash");
        command.arg(home.join("bin/kc.sh")).args(["start-dev", "--db", "dev-mem"]);
        command.args(["--http-host", "127.0.0.1", "--http-port", &port.to_string()]);
        command.arg("--import-realm");
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN[0]);
        command.env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN[1]);
        command.env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m");
        let process = Process::start("keycloak", command)?;
        let mut server = Self { process, port };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT/realms/test`: the issuer of its ID tokens and the entity id.
    #[must_use]
    pub fn realm_url(&self) -> String {
        format!("{}/realms/{REALM}", self.base())
    }

    /// Where its SAML metadata is.
    #[must_use]
    pub fn metadata_url(&self) -> String {
        format!("{}/protocol/saml/descriptor", self.realm_url())
    }

    /// Its SAML metadata.
    ///
    /// # Errors
    /// It gives none.
    pub async fn metadata(&self) -> Result<String> {
        let answer = client()?.get(self.metadata_url()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status}: {text}");
        Ok(text)
    }

    /// Where the identity provider begins by itself for the SAML client that was added as `name`.
    #[must_use]
    pub fn unsolicited_url(&self, name: &str) -> String {
        format!("{}/protocol/saml/clients/{name}", self.realm_url())
    }

    /// Makes a SAML client of our metadata, by Keycloak's own importer, with mappers for what the
    /// preset `keycloak` reads. `name` is a part of a URL, see [`Keycloak::unsolicited_url`].
    ///
    /// # Errors
    /// It refuses the metadata.
    pub async fn add_saml_client(
        &self,
        name: &str,
        metadata: &str,
        encryption: Encryption,
    ) -> Result<()> {
        let path = format!("/admin/realms/{REALM}/client-description-converter");
        let request = self.admin(Method::POST, &path).await?;
        let request = request.header("content-type", "application/xml").body(metadata.to_owned());
        let mut client: Map<String, Value> = serde_json::from_str(&accepted(request).await?)?;
        let attributes = client.entry("attributes").or_insert_with(|| json!({}));
        let attributes = attributes.as_object_mut().context("attributes of the client")?;
        let has_key = attributes.contains_key("saml.encryption.certificate");
        ensure!(has_key, "the importer found no encryption key: {attributes:?}");
        let mut set = |name: &str, value: &str| {
            attributes.insert(name.to_owned(), json!(value));
        };
        set("saml.server.signature", "true");
        set("saml.assertion.signature", "true");
        set("saml.signature.algorithm", "RSA_SHA256");
        set("saml_idp_initiated_sso_url_name", name);
        set("saml.encrypt", if encryption == Encryption::Off { "false" } else { "true" });
        if encryption == Encryption::OaepMgf1p {
            set("saml.encryption.algorithm", "http://www.w3.org/2009/xmlenc11#aes256-gcm");
            set("saml.encryption.keyAlgorithm", "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p");
            set("saml.encryption.digestMethod", "http://www.w3.org/2001/04/xmlenc#sha256");
        }
        client.insert("protocolMappers".to_owned(), mappers());
        // By itself, not through a browser: an administrator's sign-out has none.
        client.insert("frontchannelLogout".to_owned(), json!(false));
        // Its own scope would add a further attribute, Role.
        client.insert("defaultClientScopes".to_owned(), json!([]));
        self.make_client(&Value::Object(client)).await
    }

    /// Makes a confidential OpenID Connect client with PKCE; `more` are further members of its
    /// representation, for example `{"attributes": {"backchannel.logout.url": "…"}}`.
    ///
    /// # Errors
    /// It refuses the client.
    pub async fn add_oidc_client(
        &self,
        id: &str,
        secret: &str,
        redirect_uris: &[&str],
        more: &Value,
    ) -> Result<()> {
        let mut client = json!({
            "clientId": id,
            "secret": secret,
            "protocol": "openid-connect",
            "enabled": true,
            "standardFlowEnabled": true,
            "redirectUris": redirect_uris,
            "attributes": { "pkce.code.challenge.method": "S256" },
        });
        merge(&mut client, more);
        self.make_client(&client).await
    }

    /// Ends every session of a person, as an administrator does; clients are told.
    ///
    /// # Errors
    /// There is no such person, or it refuses.
    pub async fn sign_out(&self, user: &str) -> Result<()> {
        let path = format!("/admin/realms/{REALM}/users?exact=true&username={user}");
        let found: Value =
            serde_json::from_str(&accepted(self.admin(Method::GET, &path).await?).await?)?;
        let id = found[0]["id"].as_str().with_context(|| format!("no user {user}: {found}"))?;
        let path = format!("/admin/realms/{REALM}/users/{id}/logout");
        accepted(self.admin(Method::POST, &path).await?).await.map(drop)
    }

    /// Fills in the sign-in form of `page` for a person and gives the answer; redirects are
    /// followed. The browser has to be one that [`Browser::taking_secure_cookies`] made.
    ///
    /// # Errors
    /// The page has no such form, or there is no answer.
    pub async fn answer_form(browser: &Browser, page: &Page, user: &str) -> Result<Page> {
        let form = form_with(page, "password")?;
        let password = format!("{user}-pass");
        let values = [("username", user), ("password", password.as_str())];
        let answer = browser.submit(page, &form, &values).await?;
        browser.follow(answer, |_| false).await
    }

    /// The end of what it printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.tail()
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn make_client(&self, client: &Value) -> Result<()> {
        let path = format!("/admin/realms/{REALM}/clients");
        accepted(self.admin(Method::POST, &path).await?.json(client)).await.map(drop)
    }

    /// A request of the administrator. Each has a token of its own: they live for a minute.
    async fn admin(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder> {
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.base());
        let [username, password] = ADMIN;
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", username),
            ("password", password),
        ];
        let answer: Value =
            serde_json::from_str(&accepted(client()?.post(url).form(&form)).await?)?;
        let token = answer["access_token"].as_str().context("access_token")?;
        let request = client()?.request(method, format!("{}{path}", self.base()));
        Ok(request.bearer_auth(token))
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let problem = match self.metadata().await {
                Ok(_) => return Ok(()),
                Err(problem) => problem,
            };
            if let Some(status) = self.process.try_exit()? {
                bail!("Keycloak ended with {status}:\n{}", self.process.tail());
            }
            if Instant::now() >= deadline {
                bail!("Keycloak is not ready: {problem:#}\n{}", self.process.tail());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Keycloak {
    /// Its script hands a TERM on to Java; killed, it would leave Java behind.
    fn drop(&mut self) {
        if self.process.signal("TERM").is_err() {
            return;
        }
        let deadline = Instant::now() + STOPPED_WITHIN;
        while matches!(self.process.try_exit(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The form of one of Keycloak's pages that has this field. Its pages are not as strict as ours:
/// only what stands between the form's tags is looked at.
///
/// # Errors
/// There is none.
pub fn form_with(page: &Page, field: &str) -> Result<Form> {
    let (body, lower) = (&page.body, page.body.to_ascii_lowercase());
    for (start, _) in lower.match_indices("<form") {
        let rest = lower.get(start..).unwrap_or_default();
        let Some(length) = rest.find("</form>") else { continue };
        let text = body.get(start..start + length + "</form>".len()).unwrap_or_default();
        let found = html::forms(text).with_context(|| text.to_owned())?;
        if let Some(form) = found.into_iter().find(|form| form.field(field).is_some()) {
            return Ok(form);
        }
    }
    bail!("no form with a field {field}: {}", page.describe())
}

/// A client for one request: its connections live as long as the test that made them, and the server
/// is shared by tests.
fn client() -> Result<reqwest::Client> {
    Ok(client_builder().build()?)
}

async fn accepted(request: reqwest::RequestBuilder) -> Result<String> {
    let answer = request.send().await?;
    let (url, status): (_, StatusCode) = (answer.url().clone(), answer.status());
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url}: {status}: {text}");
    Ok(text)
}

/// Members of `more` into `target`, objects member by member.
fn merge(target: &mut Value, more: &Value) {
    match (target, more) {
        (Value::Object(target), Value::Object(more)) => {
            for (name, value) in more {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (target, more) => *target = more.clone(),
    }
}

/// The unpacked distribution, fetched once. Two test programs may come here at once: each unpacks
/// into a folder of its own, and the first one to finish puts it in place.
fn distribution() -> Result<PathBuf> {
    let folder = artifact_folder("keycloak")?;
    let name = format!("keycloak-{VERSION}");
    let home = folder.join(&name);
    if home.join("bin/kc.sh").is_file() {
        return Ok(home);
    }
    let own = tempfile::Builder::new().prefix("fetch-").tempdir_in(&folder)?;
    let artifact = format!("org.keycloak:keycloak-quarkus-dist:{VERSION}:zip");
    let mut fetch = Command::new("mvn");
    fetch.args(["-q", "-B", "dependency:copy", &format!("-Dartifact={artifact}")]);
    fetch.arg(format!("-DoutputDirectory={}", own.path().display())).current_dir(own.path());
    run(&mut fetch).context("fetching Keycloak")?;
    let zip = own.path().join(format!("keycloak-quarkus-dist-{VERSION}.zip"));
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(&zip).arg(own.path());
    run(&mut unpack).context("unpacking Keycloak")?;
    if fs::rename(own.path().join(&name), &home).is_err() {
        let there: &Path = &home.join("bin/kc.sh");
        ensure!(there.is_file(), "{} cannot be put in place", home.display());
    }
    Ok(home)
}

fn realm() -> Value {
    let users = PEOPLE.map(|(user, given, family, groups)| {
        json!({
            "username": user,
            "enabled": true,
            "email": format!("{user}@example.org"),
            "emailVerified": true,
            "firstName": given,
            "lastName": family,
            "groups": groups.iter().map(|name| format!("/{name}")).collect::<Vec<_>>(),
            "credentials": [
                { "type": "password", "value": format!("{user}-pass"), "temporary": false },
            ],
        })
    });
    json!({
        "realm": REALM,
        "enabled": true,
        "sslRequired": "none",
        "groups": [{ "name": "staff" }, { "name": "admins" }],
        "users": users,
    })
}

/// Which attribute a SAML client is sent, as docs/saml/keycloak.md tells to set them up.
fn mappers() -> Value {
    let property = |attribute: &str, property: &str| {
        json!({
            "name": attribute,
            "protocol": "saml",
            "protocolMapper": "saml-user-property-mapper",
            "config": {
                "user.attribute": property,
                "attribute.name": attribute,
                "attribute.nameformat": "Basic",
            },
        })
    };
    let groups = json!({
        "name": "Groups",
        "protocol": "saml",
        "protocolMapper": "saml-group-membership-mapper",
        "config": {
            "attribute.name": "Groups",
            "attribute.nameformat": "Basic",
            "single": "true",
            "full.path": "false",
        },
    });
    json!([
        property("Username", "username"),
        property("Email", "email"),
        property("FirstName", "firstName"),
        property("LastName", "lastName"),
        groups,
    ])
}
