//! Chromium without a window, driven over WebDriver by Debian's ChromeDriver.
//!
//! Every value has a ChromeDriver and a fresh profile of its own; both are gone when it is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;

const START: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(15);
/// Width and height of the phone in CSS pixels.
const PHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 900);
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en",
];

/// A running Chromium. Dereferences to the WebDriver client.
#[derive(Debug)]
pub struct Chromium {
    /// The WebDriver client.
    pub client: Client,
    driver: Process,
    port: u16,
    profile: TempDir,
}

impl Chromium {
    /// Starts ChromeDriver and a browser of desktop size.
    ///
    /// # Errors
    /// One of them is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("auth-chromium-").tempdir()?;
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", profile.path()).env("LANGUAGE", "en");
        let mut driver = Process::start("chromedriver", command)
            .context("ChromeDriver (Debian package chromium-driver)")?;
        let port = driver.wait_for("a port", START, started_port).await?;
        let client = connect(port, profile.path()).await;
        // Made before the error is looked at, so that a half-started browser is stopped as well.
        match client {
            Ok(client) => {
                let chromium = Self { client, driver, port, profile };
                chromium.resize(DESKTOP, false).await?;
                Ok(chromium)
            }
            Err(error) => {
                stop(&mut driver, port, profile.path());
                Err(error.context(driver.tail()))
            }
        }
    }

    /// From now on the size, pixel density and touch of a phone.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn phone(&self) -> Result<()> {
        self.resize(PHONE, true).await
    }

    /// From now on the size of a desktop window.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn desktop(&self) -> Result<()> {
        self.resize(DESKTOP, false).await
    }

    /// Waits for an element, at most 15 seconds.
    ///
    /// # Errors
    /// It does not appear; the message holds address and source of the page.
    pub async fn wait_for_css(&self, css: &str) -> Result<fantoccini::elements::Element> {
        let found = self.client.wait().at_most(WAIT).for_element(Locator::Css(css)).await;
        match found {
            Ok(element) => Ok(element),
            Err(error) => Err(anyhow::Error::from(error)
                .context(format!("no element {css} in {}", self.describe().await))),
        }
    }

    /// Waits until the address of the page is accepted, at most 15 seconds.
    ///
    /// # Errors
    /// It is not; the message holds address and source of the page.
    pub async fn wait_for_url(&self, accept: impl Fn(&url::Url) -> bool) -> Result<url::Url> {
        let deadline = Instant::now() + WAIT;
        loop {
            let url = self.client.current_url().await?;
            if accept(&url) {
                return Ok(url);
            }
            ensure!(
                Instant::now() < deadline,
                "not there within {WAIT:?}: {}",
                self.describe().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types into the field of this name.
    ///
    /// # Errors
    /// There is none.
    pub async fn type_into(&self, field: &str, text: &str) -> Result<()> {
        let element = self.wait_for_css(&format!("input[name='{field}']")).await?;
        element.clear().await?;
        element.send_keys(text).await?;
        Ok(())
    }

    /// Saves a picture of the visible part as `target/screenshots/NAME.png`.
    ///
    /// # Errors
    /// The browser refuses, or the file cannot be written.
    pub async fn screenshot(&self, name: &str) -> Result<PathBuf> {
        let picture = self.client.screenshot().await?;
        ensure!(picture.starts_with(b"\x89PNG\r\n"), "not a PNG");
        let path = super::artifact_folder("screenshots")?.join(format!("{name}.png"));
        std::fs::write(&path, picture).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// By how many CSS pixels the page is wider than the window; 0 means nobody scrolls sideways.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn sideways_overflow(&self) -> Result<i64> {
        let script = "const e = document.documentElement; return e.scrollWidth - e.clientWidth;";
        let answer = self.client.execute(script, Vec::new()).await?;
        answer.as_i64().context("a number of pixels")
    }

    /// A command of the Chrome DevTools protocol, for example a virtual authenticator or a clock.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let body = json!({ "cmd": command, "params": parameters });
        self.command(Method::POST, "goog/cdp/execute", &body).await
    }

    /// Adds an authenticator of this device whose user is verified at once (WebAuthn level 3
    /// section 11). Gives its id.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn add_authenticator(&self) -> Result<String> {
        let authenticator = json!({ "protocol": "ctap2", "transport": "internal",
            "hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true,
            "isUserConsenting": true });
        let id = self.command(Method::POST, "webauthn/authenticator", &authenticator).await?;
        id.as_str().map(str::to_owned).context("id of an authenticator")
    }

    /// The credentials of a virtual authenticator, private keys included.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn credentials(&self, authenticator: &str) -> Result<Vec<Value>> {
        let path = format!("webauthn/authenticator/{authenticator}/credentials");
        let found = self.command(Method::GET, &path, &Value::Null).await?;
        Ok(found.as_array().cloned().unwrap_or_default())
    }

    /// Puts a credential into a virtual authenticator in the place of the one with its id: the
    /// way to copy a key, or to turn its counter back.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn put_credential(&self, authenticator: &str, credential: &Value) -> Result<()> {
        let path = format!("webauthn/authenticator/{authenticator}");
        let id = credential["credentialId"].as_str().context("id of a credential")?;
        let known = self.credentials(authenticator).await?;
        if known.iter().any(|known| known["credentialId"] == credential["credentialId"]) {
            let one = format!("{path}/credentials/{id}");
            self.command(Method::DELETE, &one, &Value::Null).await?;
        }
        self.command(Method::POST, &format!("{path}/credential"), credential).await.map(drop)
    }

    /// Says whether a virtual authenticator's user is verified from now on.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn set_user_verified(&self, authenticator: &str, verified: bool) -> Result<()> {
        let path = format!("webauthn/authenticator/{authenticator}/uv");
        let body = json!({ "isUserVerified": verified });
        self.command(Method::POST, &path, &body).await.map(drop)
    }

    /// A WebDriver command of the session that the client has no method for.
    async fn command(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let session = self.client.session_id().await?.context("no WebDriver session")?;
        let url = format!("http://127.0.0.1:{}/session/{session}/{path}", self.port);
        let request = super::http::client_builder().build()?.request(method, url);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = super::http::read(request).await?.expect(200)?;
        Ok(answer.json()?.get("value").cloned().unwrap_or(Value::Null))
    }

    async fn resize(&self, (width, height): (u32, u32), phone: bool) -> Result<()> {
        // The window of a head-less browser cannot be narrower than 500 pixels; the emulated
        // screen can.
        let size = json!({ "width": width, "height": height,
            "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await?;
        Ok(())
    }

    async fn describe(&self) -> String {
        let url = self.client.current_url().await.map(|url| url.to_string()).unwrap_or_default();
        format!("{url}\n{}", self.client.source().await.unwrap_or_default())
    }
}

impl Deref for Chromium {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        stop(&mut self.driver, self.port, self.profile.path());
    }
}

async fn connect(port: u16, profile: &Path) -> Result<Client> {
    let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    flags.push(format!("--user-data-dir={}", profile.display()));
    let options = json!({ "binary": "/usr/bin/chromium", "args": flags });
    let mut capabilities = serde_json::Map::new();
    capabilities.insert("acceptInsecureCerts".into(), Value::Bool(true));
    capabilities.insert("goog:chromeOptions".into(), options);
    ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .context("starting Chromium (Debian package chromium)")
}

fn started_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}

/// ChromeDriver ends its browsers when it is asked to; killed, it would leave them behind.
fn stop(driver: &mut Process, port: u16, profile: &Path) {
    if request_shutdown(port).is_ok() {
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(driver.try_exit(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let _ = driver.kill();
    kill_browsers_of(profile);
}

fn request_shutdown(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 64];
    stream.read(&mut answer).map(|_| ())
}

/// What still runs on our own profile folder, and nothing else.
fn kill_browsers_of(profile: &Path) {
    let flag = format!("--user-data-dir={}", profile.display());
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let command_line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_ours = command_line.split(|byte| *byte == 0).any(|word| word == flag.as_bytes());
        if let (true, Some(id)) = (is_ours, entry.file_name().to_str()) {
            let _ = Command::new("sh").args(["-c", "kill -s KILL \"$1\"", "sh", id]).status();
        }
    }
}
