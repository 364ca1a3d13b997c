//! What `cargo xtask bench` measures: the daemon as it is shipped, beside the plainest program that
//! does the same work, in the same run.
//!
//! A figure is the median of interleaved rounds, printed as it comes; the table at the end has the
//! form of `docs/performance.md`. Nothing is asserted about time: a figure below its goal is said
//! to be so and fails no one. What is wrong (an answer that is no success, a session that is not
//! live) ends the run.

mod accounts;
pub mod bare;
mod check;
mod code_flow;
mod connection;
mod cores;
mod factor;
mod figures;
mod ldap_login;
mod login;
mod machine;
mod many_sessions;
mod process;
mod refresh;
mod report;
mod saml;
mod site;
mod start;
mod storm;
mod sync;
mod wrk;

use std::path::Path;

use anyhow::{Result, bail};

use crate::harness::postgres::PostgresServer;
use report::Report;
use site::Backend;

/// The measurements by name, in their order. `oidc` is `check`, `refresh`, whole code flows, and
/// checks beside a million sessions. The last one takes minutes, so it runs only when it is named.
pub const NAMES: [&str; 10] = [
    "start",
    "check",
    "refresh",
    "oidc",
    "factor",
    "login",
    "ldap-login",
    "memory",
    "saml",
    "sync",
];
/// People of the directory that is synchronised, if nobody says.
const PEOPLE: usize = 100_000;

/// Runs the measurement `name`, or all of them. `people` is the size of the directory of `sync`.
/// `program` is this very program: it is the bare server as well.
///
/// # Errors
/// The name is unknown, a program cannot be started, or an answer is not what it has to be.
pub async fn run(name: Option<&str>, people: Option<usize>, program: &Path) -> Result<()> {
    if let Some(name) = name
        && !NAMES.contains(&name)
    {
        bail!("no measurement is called {name:?}; there are {}", NAMES.join(", "));
    }
    let wanted = |candidate: &str| name.is_none_or(|name| name == candidate);
    cores::allow_many_files()?;
    let mut report = Report::default();
    println!("{}\n", machine::describe()?);
    let measured = if name == Some("sync") {
        sync::measure(&mut report, people.unwrap_or(PEOPLE)).await
    } else {
        measure(&mut report, &wanted, program).await
    };
    println!("\n{}", report.table());
    measured
}

async fn measure(
    report: &mut Report,
    wanted: &impl Fn(&str) -> bool,
    program: &Path,
) -> Result<()> {
    if wanted("start") {
        start::measure(report).await?;
    }
    if ["check", "refresh", "oidc", "factor"].into_iter().any(wanted) {
        let postgres = PostgresServer::start()?;
        for backend in [Backend::Sqlite, Backend::Postgres(&postgres)] {
            if wanted("check") || wanted("oidc") {
                check::measure(report, backend, program).await?;
            }
            if wanted("refresh") || wanted("oidc") {
                refresh::measure(report, backend).await?;
            }
            if wanted("oidc") {
                code_flow::measure(report, backend).await?;
                many_sessions::measure(report, backend).await?;
            }
            if wanted("factor") {
                factor::measure(report, backend).await?;
            }
        }
    }
    if wanted("login") {
        login::measure(report).await?;
    }
    if wanted("ldap-login") {
        ldap_login::measure(report).await?;
    }
    if wanted("memory") {
        storm::measure(report).await?;
    }
    if wanted("saml") {
        saml::measure(report)?;
    }
    Ok(())
}
