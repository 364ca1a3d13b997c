//! A throw-away SAML 2.0 identity provider: Debian's SimpleSAMLphp under PHP's own web server, on a
//! free loopback port, in a temporary folder.
//!
//! Needs Debian's `simplesamlphp`, `php-cli`, `php-xml`, `php-mbstring`, `php-curl` and `openssl`.
//! It is ready when it gives its metadata; its workers end when the value is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::port;
use super::process::Process;
use super::run_program::openssl;

const PROGRAM: &str = "/usr/share/simplesamlphp";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Settings of PHP: what this version of SimpleSAMLphp calls deprecated goes nowhere.
const PHP: [&str; 6] =
    ["-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-d", "display_errors=0", "-d", "log_errors=1"];

/// What the identity provider does.
#[derive(Clone, Debug)]
pub struct SimpleSamlPhpOptions {
    /// Signs the Response.
    pub sign_response: bool,
    /// Signs the Assertion.
    pub sign_assertion: bool,
    /// Encrypts the Assertion: AES-128-CBC, RSA-OAEP. Needs an encryption key in the service
    /// provider's metadata.
    pub encrypt: bool,
    /// Refuses an AuthnRequest without a signature.
    pub need_signed_request: bool,
    /// Signs its logout messages, and wants them signed.
    pub sign_logout: bool,
    /// Signs with SHA-1, as old installations do.
    pub sha1: bool,
    /// The NameID's format where neither request nor service provider names one.
    pub name_id: NameIdFormat,
    /// How it says that people were authenticated; `None`: by password.
    pub authn_context: Option<&'static str>,
    /// Ids of a directory, by user name; sent as the attribute `directoryId`.
    pub directory_ids: Vec<(&'static str, String)>,
}

impl Default for SimpleSamlPhpOptions {
    fn default() -> Self {
        Self {
            sign_response: true,
            sign_assertion: true,
            encrypt: false,
            need_signed_request: false,
            sign_logout: true,
            sha1: false,
            name_id: NameIdFormat::Persistent,
            authn_context: None,
            directory_ids: Vec::new(),
        }
    }
}

/// A format of NameID that it can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameIdFormat {
    /// The address.
    Email,
    /// A pseudonym for one service provider.
    Persistent,
    /// Another name at each sign-in.
    Transient,
    /// The user name.
    Unspecified,
}

impl NameIdFormat {
    /// The URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Email => "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
            Self::Persistent => "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
            Self::Transient => "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
            Self::Unspecified => "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
        }
    }
}

/// People: user name, password, given name, family name, groups. The address is
/// `USER@example.org`.
pub const PEOPLE: [(&str, &str, &str, &str, &[&str]); 2] = [
    ("alice", "alice-pass", "Alice", "Ånderson", &["staff", "admins"]),
    ("bob", "bob-pass", "Bob", "Builder", &["staff"]),
];

/// A running identity provider. See the module.
#[derive(Debug)]
pub struct SimpleSamlPhp {
    // Before the folder: the program ends first.
    process: Process,
    folder: TempDir,
    port: u16,
    options: SimpleSamlPhpOptions,
}

impl SimpleSamlPhp {
    /// Starts one on a free port that knows no service provider yet, and waits until it answers.
    ///
    /// # Errors
    /// A package is missing, or it does not get ready within 30 s.
    pub async fn start() -> Result<Self> {
        Self::start_with(SimpleSamlPhpOptions::default()).await
    }

    /// Starts one with `options`.
    ///
    /// # Errors
    /// As [`SimpleSamlPhp::start`].
    pub async fn start_with(options: SimpleSamlPhpOptions) -> Result<Self> {
        ensure!(
            Path::new(PROGRAM).join("www").is_dir(),
            "{PROGRAM} is not there; install the packages simplesamlphp, php-cli, php-xml, \
             php-mbstring and php-curl"
        );
        let mut folder = tempfile::Builder::new().prefix("simplesamlphp-").tempdir()?;
        for name in ["config", "metadata", "cert", "sp", "sessions", "log", "tmp", "data", "www"] {
            fs::create_dir(folder.path().join(name))?;
        }
        std::os::unix::fs::symlink(
            Path::new(PROGRAM).join("www"),
            folder.path().join("www/simplesaml"),
        )?;
        openssl(
            &folder.path().join("cert"),
            "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test-idp -keyout idp.key -out idp.pem",
        )?;
        // A free port can be taken by somebody else before PHP binds it; then it ends at once.
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = port::free()?;
            write_configuration(folder.path(), port, &options)?;
            let process = launch(folder.path(), port)?;
            let mut server = Self { process, folder, port, options: options.clone() };
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(_) if attempts < 5 && server.process.try_exit()?.is_some() => {
                    folder = server.into_folder();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `http://127.0.0.1:PORT/simplesaml`.
    #[must_use]
    pub fn url(&self) -> String {
        base_url(self.port)
    }

    /// Where the metadata is; this version names its entity differently, see
    /// [`SimpleSamlPhp::entity_id`].
    #[must_use]
    pub fn metadata_url(&self) -> String {
        format!("{}/saml2/idp/metadata.php", self.url())
    }

    /// The entity id.
    #[must_use]
    pub fn entity_id(&self) -> String {
        format!("{}/idp", self.url())
    }

    /// The metadata, as it gives it.
    ///
    /// # Errors
    /// It gives none; the message holds the end of its log.
    pub async fn metadata(&self) -> Result<String> {
        let answer = reqwest::get(self.metadata_url()).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status}: {text}\n{}", self.log());
        Ok(text)
    }

    /// Where the identity provider begins by itself for a service provider.
    #[must_use]
    pub fn unsolicited_url(&self, sp_entity_id: &str, relay_state: &str) -> String {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("spentityid", sp_entity_id)
            .append_pair("RelayState", relay_state)
            .finish();
        format!("{}/saml2/idp/SSOService.php?{query}", self.url())
    }

    /// Where a person signs out at the identity provider, which tells every service provider.
    #[must_use]
    pub fn logout_url(&self) -> String {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("RelayState", &format!("{}/", self.url()))
            .finish();
        format!("{}/saml2/idp/initSLO.php?{query}", self.url())
    }

    /// Lets it know a service provider by its metadata; `name` is a file name without its end.
    /// Counts from the next request on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn trust(&self, name: &str, metadata: &str) -> Result<()> {
        let path = self.folder.path().join("sp").join(format!("{name}.xml"));
        fs::write(&path, metadata).with_context(|| path.display().to_string())
    }

    /// Forgets a service provider.
    ///
    /// # Errors
    /// It was not known.
    pub fn distrust(&self, name: &str) -> Result<()> {
        let path = self.folder.path().join("sp").join(format!("{name}.xml"));
        fs::remove_file(&path).with_context(|| path.display().to_string())
    }

    /// Changes what it does, from the next request on.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn set(&mut self, options: SimpleSamlPhpOptions) -> Result<()> {
        write_configuration(self.folder.path(), self.port, &options)?;
        self.options = options;
        Ok(())
    }

    /// What it does at present.
    #[must_use]
    pub const fn options(&self) -> &SimpleSamlPhpOptions {
        &self.options
    }

    /// Takes a new signing key, from the next request on; the old one is forgotten.
    ///
    /// # Errors
    /// `openssl` fails.
    pub fn new_key(&self) -> Result<()> {
        openssl(
            &self.folder.path().join("cert"),
            "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=test-idp-next -keyout idp.key -out idp.pem",
        )
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("cert/idp.pem")
    }

    /// Its own log and that of PHP.
    #[must_use]
    pub fn log(&self) -> String {
        let own = fs::read(self.folder.path().join("log/ssp.log")).unwrap_or_default();
        format!("{}\n{}", String::from_utf8_lossy(&own), self.process.tail())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let problem = match self.metadata().await {
                Ok(_) => return Ok(()),
                Err(problem) => problem,
            };
            if let Some(status) = self.process.try_exit()? {
                bail!("PHP ended with {status}: {}", self.log());
            }
            if Instant::now() >= deadline {
                bail!("SimpleSAMLphp is not ready: {problem:#}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn into_folder(self) -> TempDir {
        drop(self.process);
        self.folder
    }
}

fn base_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/simplesaml")
}

/// One process without workers: it ends with this value, whatever becomes of the test.
fn launch(folder: &Path, port: u16) -> Result<Process> {
    let mut command = Command::new("php");
    command.args(PHP);
    command.args(["-S", &format!("127.0.0.1:{port}"), "-t"]);
    command.arg(folder.join("www"));
    command.env("SIMPLESAMLPHP_CONFIG_DIR", folder.join("config"));
    Process::start("php", command).context("install the package php-cli")
}

fn write_configuration(folder: &Path, port: u16, options: &SimpleSamlPhpOptions) -> Result<()> {
    let files = [
        ("config/config.php", configuration(folder, port)),
        ("config/authsources.php", people(&options.directory_ids)),
        ("metadata/saml20-idp-hosted.php", identity_provider(port, options)),
        ("metadata/saml20-sp-remote.php", service_providers(folder)),
    ];
    for (name, text) in files {
        // Replaced as a whole: a request never reads half a file.
        let (path, next) = (folder.join(name), folder.join(format!("{name}.next")));
        fs::write(&next, format!("<?php\n{text}"))?;
        fs::rename(next, path)?;
    }
    Ok(())
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let base = base_url(port);
    format!(
        "$config = [
  'baseurlpath' => '{base}/', 'certdir' => '{folder}/cert/', 'loggingdir' => '{folder}/log/',
  'datadir' => '{folder}/data/', 'tempdir' => '{folder}/tmp', 'metadatadir' => '{folder}/metadata/',
  'attributenamemapdir' => '{PROGRAM}/config/attributemap/', 'timezone' => 'UTC',
  'secretsalt' => 'salt-of-a-test', 'auth.adminpassword' => 'password-of-a-test',
  'technicalcontact_name' => 'Test', 'technicalcontact_email' => 'test@example.org',
  'debug' => ['saml' => false, 'backtraces' => true, 'validatexml' => false], 'showerrors' => true,
  'errorreporting' => false, 'logging.level' => 7, 'logging.handler' => 'file',
  'logging.logfile' => 'ssp.log', 'statistics.out' => [], 'trusted.url.domains' => null,
  'admin.checkforupdates' => false, 'enable.saml20-idp' => true,
  'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
  'store.type' => 'phpsession', 'session.phpsession.savepath' => '{folder}/sessions',
  'session.cookie.secure' => false, 'session.cookie.samesite' => null,
  'language.cookie.secure' => false, 'language.cookie.samesite' => null,
  'language.default' => 'en', 'language.available' => ['en'],
  'metadata.sources' => [['type' => 'flatfile']], 'metadata.sign.enable' => false,
  'production' => true,
];\n"
    )
}

fn people(directory_ids: &[(&str, String)]) -> String {
    let mut text = String::from(
        "$config = ['admin' => ['core:AdminPassword'], 'users' => ['exampleauth:UserPass',\n",
    );
    for (user, password, given, family, groups) in PEOPLE {
        let groups = groups.join("', '");
        let id = directory_ids.iter().find(|(name, _)| *name == user);
        let id = id.map_or_else(String::new, |(_, id)| format!(", 'directoryId' => ['{id}']"));
        text += &format!(
            "  '{user}:{password}' => ['uid' => ['{user}'], 'email' => ['{user}@example.org'], \
             'givenName' => ['{given}'], 'sn' => ['{family}'], \
             'displayName' => ['{given} {family}'], 'groups' => ['{groups}']{id}],\n"
        );
    }
    text + "]];\n"
}

fn identity_provider(port: u16, options: &SimpleSamlPhpOptions) -> String {
    let base = base_url(port);
    let SimpleSamlPhpOptions {
        sign_response,
        sign_assertion,
        encrypt,
        need_signed_request,
        sign_logout,
        sha1,
        name_id,
        authn_context,
        directory_ids: _,
    } = options;
    let context = authn_context.map_or_else(String::new, |class| {
        format!(
            "5 => ['class' => 'core:PHP', 'code' => '$state[\"saml:AuthnContextClassRef\"] = \"{class}\";'],"
        )
    });
    let algorithm = if *sha1 {
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
    } else {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    };
    let default = name_id.uri();
    let [email, unspecified] = [NameIdFormat::Email.uri(), NameIdFormat::Unspecified.uri()];
    // A NameID of every format is made; request, service provider or default picks one.
    format!(
        "$bindings = ['urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect',
  'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST'];
$metadata['{base}/idp'] = [
  'host' => '__DEFAULT__', 'auth' => 'users', 'privatekey' => 'idp.key', 'certificate' => 'idp.pem',
  'NameIDFormat' => ['{default}'],
  'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
  'saml20.sign.response' => {sign_response}, 'saml20.sign.assertion' => {sign_assertion},
  'assertion.encryption' => {encrypt}, 'validate.authnrequest' => {need_signed_request},
  'signature.algorithm' => '{algorithm}', 'sign.logout' => {sign_logout}, 'validate.logout' => {sign_logout},
  'SingleSignOnServiceBinding' => $bindings, 'SingleLogoutServiceBinding' => $bindings,
  'authproc' => [
    1 => ['class' => 'saml:TransientNameID'],
    2 => ['class' => 'saml:PersistentNameID', 'attribute' => 'uid'],
    3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'email', 'Format' => '{email}'],
    4 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => '{unspecified}'],
    {context}
  ],
];\n"
    )
}

/// Reads the files of the folder `sp` anew at every request, as an administrator would import them.
fn service_providers(folder: &Path) -> String {
    format!(
        "foreach (glob('{}/sp/*.xml') as $file) {{
  foreach (\\SimpleSAML\\Metadata\\SAMLParser::parseDescriptorsFile($file) as $id => $entity) {{
    $metadata[$id] = $entity->getMetadata20SP();
    unset($metadata[$id]['entityDescriptor'], $metadata[$id]['expire'],
      $metadata[$id]['validate.authnrequest']);
  }}
}}\n",
        folder.display()
    )
}
