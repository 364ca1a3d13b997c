//! Synchronisation of the accounts with a real OpenLDAP server, by the built program.

mod brake;
mod domain_controller;
mod faults;
mod lifecycle;
mod nodes;
mod scheduled;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::{Builder, Daemon, Output};
use auth_tests::harness::process::Process;
use auth_tests::harness::slapd::{Slapd, SlapdOptions};
use serde_json::Value;

use crate::site;

const PEOPLE: &str = "ou=people,dc=example,dc=org";
const LIMIT: Duration = Duration::from_secs(120);

/// A directory server whose writes cost little, with a second address for the second twin: in the
/// fixtures the two have one, which is a conflict.
fn slapd() -> Result<Slapd> {
    let server = twins()?;
    server.modify(&format!(
        "dn: uid=twin2,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: tom@example.org\n"
    ))?;
    Ok(server)
}

/// As in the fixtures.
fn twins() -> Result<Slapd> {
    Slapd::start_with(&SlapdOptions {
        extra_database: "dbnosync".to_owned(),
        ..SlapdOptions::default()
    })
}

/// Everybody of the fixtures who gets an account: all but the disabled one.
const MADE: u64 = 13;

/// The site's daemon, with the directory and these keys of `[directory.sync]` and others.
fn with_directory(server: &Slapd, keys: &str) -> Builder {
    site::daemon().toml(&format!(
        "[[directory]]\nid = \"corp\"\npreset = \"openldap\"\nservers = [\"{}\"]\n\
         base_dn = \"{}\"\nbind_dn = \"{}\"\nbind_password = \"{}\"\n{keys}",
        server.url(),
        server.base_dn(),
        server.bind_dn(),
        server.bind_password(),
    ))
}

async fn run(daemon: &Daemon, code: i32) -> Result<Value> {
    sync(daemon, &["run"], code).await
}

async fn plan(daemon: &Daemon, code: i32) -> Result<Value> {
    sync(daemon, &["plan"], code).await
}

/// `auth-daemon sync … --directory corp --json`.
async fn sync(daemon: &Daemon, arguments: &[&str], code: i32) -> Result<Value> {
    output(daemon, arguments).await?.expect(code)?.json()
}

async fn output(daemon: &Daemon, arguments: &[&str]) -> Result<Output> {
    let mut all = vec!["sync"];
    all.extend(arguments);
    all.extend(["--directory", "corp", "--json"]);
    daemon.cli(&all).await
}

/// A run that goes on beside the test.
fn start_run(daemon: &Daemon, arguments: &[&str]) -> Result<Process> {
    let mut command = std::process::Command::new(auth_tests::harness::program("auth-daemon")?);
    command.current_dir(daemon.folder()).arg("--config").arg(daemon.config());
    command.args(["sync", "run", "--directory", "corp"]).args(arguments);
    Process::start("sync run", command)
}

/// Waits until a run has written a batch and has more to write; gives how many it has looked at.
async fn first_batch(run: &mut Process) -> Result<u64> {
    run.wait_for("a batch", LIMIT, |line| {
        let (done, total) = line.strip_prefix("applying: ")?.split_once(" of ")?;
        let (done, total): (u64, u64) = (done.parse().ok()?, total.parse().ok()?);
        (done < total).then_some(done)
    })
    .await
}

async fn user(daemon: &Daemon, name: &str) -> Result<Value> {
    daemon.cli(&["user", "show", name, "--json"]).await?.success()?.json()
}

/// Names of all accounts of the directory, with whether they are active.
async fn accounts(daemon: &Daemon) -> Result<Vec<(String, bool)>> {
    let all = daemon.cli(&["user", "list", "--json"]).await?.success()?.json()?;
    let all = all.as_array().context("a list")?.iter();
    let of_directory = all.filter(|account| account["identities"][0]["connector"] == "corp");
    let mut found: Vec<(String, bool)> = of_directory
        .map(|it| (it["username"].as_str().unwrap_or_default().to_owned(), it["active"] == true))
        .collect();
    found.sort();
    Ok(found)
}

async fn active(daemon: &Daemon) -> Result<usize> {
    Ok(accounts(daemon).await?.into_iter().filter(|(_, active)| *active).count())
}

/// The lines of an operation, by account or DN.
fn lines<'v>(value: &'v Value, op: &str) -> Vec<&'v Value> {
    value["changes"].as_array().into_iter().flatten().filter(|line| line["op"] == op).collect()
}

fn ensure_counts(value: &Value, expected: &[(&str, u64)]) -> Result<()> {
    for (name, count) in expected {
        ensure!(value["counts"][name] == *count, "{name} is not {count}: {value:#}");
    }
    Ok(())
}

fn delete(uid: &str) -> String {
    format!("dn: uid={uid},{PEOPLE}\nchangetype: delete\n\n")
}

fn replace(uid: &str, attribute: &str, value: &str) -> String {
    format!(
        "dn: uid={uid},{PEOPLE}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n"
    )
}
