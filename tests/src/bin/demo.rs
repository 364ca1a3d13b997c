//! The demonstration: a throw-away directory, the daemon on SQLite and the example chat server, on
//! free ports. Before it shows them it signs one person in, from end to end.
//!
//! With `--once` it ends after that login: 0 it worked, 1 it did not. Otherwise Ctrl-C ends it. The
//! programs and their folders are gone afterwards.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use auth_tests::harness::chat_server::{ChatServer, Place};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::slapd::Slapd;
use tokio::signal::unix::{SignalKind, signal};

const DIRECTORY: &str = "corp";
const PERSON: (&str, &str) = ("alice", "secret-alice");
const LOCAL: (&str, &str, &str) = ("erin", "erin@example.org", "correct horse battery staple");

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = match arguments.as_slice() {
        [] => false,
        [only] if only == "--once" => true,
        _ => {
            eprintln!("usage: demo [--once]");
            return ExitCode::from(64);
        }
    };
    match run(once).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(once: bool) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let demo = tokio::select! {
        demo = Demo::start() => demo?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    demo.print();
    if once {
        return Ok(());
    }
    println!("Ctrl-C stops everything.");
    let mut demo = demo;
    tokio::select! {
        // Ctrl-C reaches the programs as well: their end is then no surprise.
        biased;
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = demo.ends() => ended,
    }
}

struct Demo {
    chat: ChatServer,
    daemon: Daemon,
    slapd: Slapd,
}

impl Demo {
    async fn start() -> Result<Self> {
        eprintln!("starting the directory ...");
        let slapd = Slapd::start().context("directory")?;
        let place = Place::new("chat")?;
        eprintln!("starting the daemon ...");
        let daemon = Daemon::builder()
            .directory(DIRECTORY, &slapd)
            .client(&place.client_id, &place.client_secret, &[&place.redirect_uri()])
            .set("mfa.policy", "optional")
            .start()
            .await
            .context("daemon")?;
        let (name, email, password) = LOCAL;
        daemon.create_user(name, email, password).await.context("local account")?;
        eprintln!("starting the chat server ...");
        let chat = ChatServer::start(place, daemon.issuer()).await.context("chat server")?;
        eprintln!("signing in as {} ...", PERSON.0);
        let (name, password) = PERSON;
        chat.check_one_login(DIRECTORY, name, password).await.context("the login")?;
        Ok(Self { chat, daemon, slapd })
    }

    fn print(&self) {
        let admin = self.daemon.admin_url("/metrics").unwrap_or_default();
        let (local, _, local_password) = LOCAL;
        println!(
            "\nOne login worked from end to end: sign-in by the directory, authorization code, ID \
             token,\nuserinfo, introspection, refresh, revocation.\n\n\
             Chat server     {}\n\
             Account pages   {}\n\
             Issuer          {}\n\
             Metrics         {admin}\n\
             Directory       {}\n\
             Configuration   {}\n\n\
             Accounts        alice, bob, carol, dave, gina in the directory; the password is \
             secret- and the name\n                \
             {local}, local: {local_password}\n",
            self.chat.url("/"),
            self.daemon.url("/account"),
            self.daemon.issuer(),
            self.slapd.url(),
            self.daemon.config().display(),
        );
    }

    /// Returns when one of the programs has ended although nobody asked it to.
    async fn ends(&mut self) -> Result<()> {
        loop {
            if let Some(status) = self.daemon.try_exit()? {
                bail!("the daemon ended with {status}:\n{}", self.daemon.log().join("\n"));
            }
            if let Some(status) = self.chat.process().try_exit()? {
                bail!("the chat server ended with {status}:\n{}", self.chat.log().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
