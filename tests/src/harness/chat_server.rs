//! The example chat server as a program of its own, and a person who uses it with a browser.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::daemon::Daemon;
use super::html;
use super::http::{Browser, Page};
use super::process::Process;
use super::{port, program};

const START: Duration = Duration::from_secs(20);

/// Where a chat server will be, known before the daemon that has to know its redirect URI.
#[derive(Debug, Clone)]
pub struct Place {
    /// Client id at the daemon.
    pub client_id: String,
    /// Client secret at the daemon.
    pub client_secret: String,
    /// `http://localhost:PORT`.
    pub url: String,
    port: u16,
}

/// A running chat server; dropping it kills it.
#[derive(Debug)]
pub struct ChatServer {
    process: Process,
    place: Place,
}

impl Place {
    /// A free port for the client `client_id`.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(client_id: &str) -> Result<Self> {
        let port = port::free()?;
        Ok(Self {
            client_id: client_id.into(),
            client_secret: format!("only-for-this-run-{client_id}-{port}-secret"),
            url: format!("http://localhost:{port}"),
            port,
        })
    }

    /// The redirect URI that the daemon has to know.
    pub fn redirect_uri(&self) -> String {
        format!("{}/callback", self.url)
    }
}

impl ChatServer {
    /// Starts it at `place`; returns when it listens.
    ///
    /// # Errors
    /// It is not built, or ends before it listens (the daemon has to run already).
    pub async fn start(place: Place, daemon: &Daemon) -> Result<Self> {
        let mut command = Command::new(program("chat_server")?);
        command.args(["--issuer", daemon.issuer(), "--client-id", &place.client_id]);
        command.args(["--listen", &format!("127.0.0.1:{}", place.port)]);
        command.args(["--public-url", &place.url]);
        command.env("CHAT_CLIENT_SECRET", &place.client_secret);
        let mut process = Process::start("chat_server", command)?;
        let ready = |line: &str| line.starts_with("chat server: http").then_some(());
        process.wait_for("listener", START, ready).await?;
        Ok(Self { process, place })
    }

    /// An address of the chat server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.place.url)
    }

    /// What it has printed.
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }

    /// The program itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A whole login through the daemon's sign-in page; the page after it.
    ///
    /// # Errors
    /// Any step fails; the message shows the page.
    pub async fn sign_in(
        &self,
        browser: &Browser,
        connector: &str,
        username: &str,
        password: &str,
    ) -> Result<Page> {
        let page = browser.open(self.url("/login")).await?.expect(200)?;
        let page = browser.sign_in(&page, connector, username, password).await?;
        browser.follow(page, |_| false).await?.expect(200)
    }

    /// Who the chat server says is signed in.
    ///
    /// # Errors
    /// No answer.
    pub async fn signed_in_as(&self, browser: &Browser) -> Result<Option<String>> {
        let page = browser.open(self.url("/")).await?.expect(200)?;
        html::text_of(&page.body, "username")
    }

    /// Presses one of the buttons `check`, `refresh`, `logout`.
    ///
    /// # Errors
    /// There is no such button, or the answer is an error page.
    pub async fn press(&self, browser: &Browser, button: &str) -> Result<Page> {
        let page = browser.open(self.url("/")).await?.expect(200)?;
        let form = page.form_to(&format!("/{button}"))?;
        let page = browser.submit(&page, &form, &[]).await?;
        browser.follow(page, |_| false).await?.expect(200)
    }

    /// The whole life of a session: sign in, check, refresh, check again, sign out, and after the
    /// sign-out nobody is signed in.
    ///
    /// # Errors
    /// Any step fails; the message holds the page or the log.
    pub async fn check_one_login(
        &self,
        connector: &str,
        username: &str,
        password: &str,
    ) -> Result<()> {
        let log = || format!("log of the chat server:\n{}", self.log().join("\n"));
        let browser = Browser::new()?;
        self.sign_in(&browser, connector, username, password).await.with_context(log)?;
        for button in ["check", "refresh", "check"] {
            self.press(&browser, button).await.with_context(log)?;
            let person = self.signed_in_as(&browser).await?;
            ensure!(person.as_deref() == Some(username), "{person:?} after {button}; {}", log());
        }
        self.press(&browser, "logout").await.with_context(log)?;
        let person = self.signed_in_as(&browser).await?;
        ensure!(person.is_none(), "{person:?} is still signed in after the sign-out");
        Ok(())
    }
}
