//! Synchronisation of a whole directory: a first run, runs that find nothing to do, and runs that
//! find 1% changed, beside `ldapsearch` and the bare LDAP client that read the same entries in
//! pages in the same round.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{LdapConnAsync, Scope, SearchEntry};
use serde_json::Value;

use super::figures::median;
use super::process::{mebibytes, peak};
use super::report::{Report, Row};
use super::site::Backend;
use crate::harness::daemon::Daemon;
use crate::harness::postgres::PostgresServer;
use crate::harness::program;
use crate::harness::slapd::{Slapd, SlapdOptions};

const ROUNDS: usize = 5;
const PAGE: i32 = 1000;
/// What a run may hold at most, up to 100,000 people and above.
const MEMORY_GOALS: (u64, u64) = (100 << 20, 300 << 20);
/// What everybody reads.
const ATTRIBUTES: [&str; 11] = [
    "entryUUID",
    "uid",
    "mail",
    "givenName",
    "sn",
    "displayName",
    "title",
    "preferredLanguage",
    "pwdAccountLockedTime",
    "pwdReset",
    "pwdChangedTime",
];
const FILTER: &str = "(objectClass=inetOrgPerson)";

/// One run of the command.
struct Run {
    took: Duration,
    peak: u64,
    result: Value,
}

/// Measures with so many people, into both stores.
pub(super) async fn measure(report: &mut Report, people: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("population.ldif");
    std::fs::write(&file, population(people)?)?;
    let server = Slapd::start_with(&SlapdOptions {
        quiet: true,
        for_content_sync: true,
        further_entries: Some(file),
        extra_database: "dbnosync\nmaxsize 17179869184\n".to_owned(),
        ..SlapdOptions::default()
    })
    .context("slapd")?;
    let postgres = PostgresServer::start()?;
    for backend in [Backend::Sqlite, Backend::Postgres(&postgres)] {
        into(report, &server, backend, people).await?;
    }
    Ok(())
}

async fn into(
    report: &mut Report,
    server: &Slapd,
    backend: Backend<'_>,
    people: usize,
) -> Result<()> {
    let mut builder = Daemon::builder().toml(&format!(
        "[[directory]]\nid = \"corp\"\npreset = \"openldap\"\nservers = [\"{}\"]\n\
         base_dn = \"{}\"\nbind_dn = \"{}\"\nbind_password = \"{}\"\n\
         user_filter = \"{FILTER}\"\n",
        server.url(),
        server.base_dn(),
        server.bind_dn(),
        server.bind_password()
    ));
    if let Backend::Postgres(server) = backend {
        builder = builder.set("storage.url", server.url(&server.create_database()?));
    }
    let mut daemon = builder.start().await.context("daemon")?;
    // Makes store and keys; the runs are programs of their own.
    daemon.stop().await?;
    let of = |what: &str| format!("{}, {people} people, {what}", backend.name());

    // The first reads find the server's cache cold.
    search(server)?;
    let first = run(&daemon, &["--full"]).await?;
    let beside = search(server)?;
    let applied = first.result["applied"].as_u64().unwrap_or(0);
    ensure!(applied + 20 >= people as u64, "not everybody was made: {}", first.result);
    let ratio = first.took.as_secs_f64() / beside.as_secs_f64();
    report.add(Row {
        what: "first full synchronisation".into(),
        of: of("once"),
        daemon: seconds(first.took),
        beside: format!("{} ldapsearch", seconds(beside)),
        ratio: Some(ratio),
        goal: if matches!(backend, Backend::Sqlite) { "at most 4.00" } else { "" }.into(),
        reached: matches!(backend, Backend::Sqlite).then_some(ratio <= 4.0),
    });
    memory(report, of("first run"), &first, people);
    let pages = people.div_ceil(PAGE as usize) as u64;
    let searches = first.result["searches"].as_u64().unwrap_or(u64::MAX);
    report.add(Row {
        what: "searches of a full synchronisation".into(),
        of: of("once"),
        daemon: searches.to_string(),
        beside: format!("{pages} pages of people"),
        goal: "at most pages + 10, group pages apart".into(),
        reached: Some(searches <= pages + 10 + (people / 1000).div_ceil(PAGE as usize) as u64),
        ..Row::default()
    });
    unchanged(report, server, &daemon, &of, people).await?;
    changed(report, server, &daemon, &of, people).await
}

/// Runs that find nothing to do.
async fn unchanged(
    report: &mut Report,
    server: &Slapd,
    daemon: &Daemon,
    of: &impl Fn(&str) -> String,
    people: usize,
) -> Result<()> {
    let (mut ours, mut searches, mut bares) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..ROUNDS {
        searches.push(search(server)?.as_secs_f64());
        bares.push(bare(server, people).await?.as_secs_f64());
        let again = run(daemon, &["--full"]).await?;
        ensure!(again.result["applied"] == 0, "{}", again.result);
        ours.push(again.took.as_secs_f64());
        last = Some(again);
    }
    let (ours, search, bare) = (median(&ours)?, median(&searches)?, median(&bares)?);
    for (name, beside, goal) in [("bare client", bare, 1.2), ("ldapsearch", search, 1.5)] {
        report.add(Row {
            what: "synchronisation of an unchanged directory".into(),
            of: of(&format!("median of {ROUNDS}")),
            daemon: seconds(Duration::from_secs_f64(ours)),
            beside: format!("{} {name}", seconds(Duration::from_secs_f64(beside))),
            ratio: Some(ours / beside),
            goal: format!("at most {goal:.2}"),
            reached: Some(ours / beside <= goal),
        });
    }
    if let Some(last) = last {
        memory(report, of("unchanged"), &last, people);
    }
    Ok(())
}

/// Incremental runs after 1% of the people changed.
async fn changed(
    report: &mut Report,
    server: &Slapd,
    daemon: &Daemon,
    of: &impl Fn(&str) -> String,
    people: usize,
) -> Result<()> {
    let (mut ours, mut searches) = (Vec::new(), Vec::new());
    let count = people / 100;
    for round in 0..ROUNDS {
        let mut ldif = String::new();
        for number in (0..people).step_by(100).take(count) {
            write!(
                ldif,
                "dn: uid=p{number},ou=people,{}\nchangetype: modify\nreplace: title\n\
                 title: Title {round}\n\n",
                server.base_dn()
            )?;
        }
        server.modify(&ldif)?;
        searches.push(search(server)?.as_secs_f64());
        let run = run(daemon, &["--incremental"]).await?;
        ensure!(run.result["kind"] == "incremental", "{}", run.result);
        ensure!(run.result["applied"] == count as u64, "{count}: {}", run.result);
        ours.push(run.took.as_secs_f64());
    }
    let (ours, search) = (median(&ours)?, median(&searches)?);
    report.add(Row {
        what: "incremental synchronisation of 1% changed people".into(),
        of: of(&format!("median of {ROUNDS}")),
        daemon: seconds(Duration::from_secs_f64(ours)),
        beside: format!("{} ldapsearch of all", seconds(Duration::from_secs_f64(search))),
        ratio: Some(ours / search),
        goal: "at most 0.10".into(),
        reached: Some(ours / search <= 0.1),
    });
    Ok(())
}

fn memory(report: &mut Report, of: String, run: &Run, people: usize) {
    let (goal, text) = match people {
        0..=100_000 => (MEMORY_GOALS.0, "under 100 MiB"),
        _ => (MEMORY_GOALS.1, "under 300 MiB"),
    };
    report.add(Row {
        what: "peak RSS of a synchronisation".into(),
        of,
        daemon: mebibytes(run.peak),
        goal: text.into(),
        reached: Some(run.peak < goal),
        ..Row::default()
    });
}

/// `auth-daemon sync run`. The time is the one that the run itself says, without the start of the
/// program.
async fn run(daemon: &Daemon, options: &[&str]) -> Result<Run> {
    let output = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(program("auth-daemon")?);
    command.current_dir(daemon.folder()).arg("--config").arg(daemon.config());
    command.args(["sync", "run", "--directory", "corp", "--json"]).args(options);
    command.stdin(Stdio::null()).stdout(output.reopen()?).stderr(Stdio::null());
    let mut child = command.spawn().context("auth-daemon")?;
    let mut most = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // The most so far; the last look may come a moment before the end.
        most = most.max(peak(child.id()).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let result: Value = serde_json::from_slice(&std::fs::read(output.path())?)
        .with_context(|| format!("auth-daemon ended with {status}"))?;
    // The two people of the fixtures with one address are a conflict.
    ensure!(matches!(status.code(), Some(0 | 2)), "{status}: {}", result["brake"]);
    let took = Duration::from_secs_f64(result["seconds"].as_f64().context("seconds")?);
    Ok(Run { took, peak: most, result })
}

/// `ldapsearch` that pages through the same entries.
fn search(server: &Slapd) -> Result<Duration> {
    let mut command = Command::new("ldapsearch");
    command.args(["-x", "-LLL", "-E", &format!("pr={PAGE}/noprompt"), "-H", &server.url()]);
    command.args(["-D", server.bind_dn(), "-w", server.bind_password()]);
    command.args(["-b", server.base_dn(), FILTER]).args(ATTRIBUTES);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command.status().context("ldapsearch")?;
    ensure!(status.success(), "ldapsearch ended with {status}");
    Ok(begun.elapsed())
}

/// The bare LDAP client: pages, entries, and a small struct for each.
async fn bare(server: &Slapd, people: usize) -> Result<Duration> {
    struct Small {
        _dn: String,
        _values: Vec<String>,
    }
    let begun = Instant::now();
    let (connection, mut ldap) = LdapConnAsync::new(&server.url()).await?;
    ldap3::drive!(connection);
    ldap.simple_bind(server.bind_dn(), server.bind_password()).await?.success()?;
    let adapters: Vec<Box<dyn Adapter<'_, _, _>>> =
        vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE))];
    let mut stream = ldap
        .streaming_search_with(adapters, server.base_dn(), Scope::Subtree, FILTER, ATTRIBUTES)
        .await?;
    let mut found = Vec::new();
    while let Some(entry) = stream.next().await? {
        let entry = SearchEntry::construct(entry);
        let first = |name: &str| entry.attrs.get(name)?.first().cloned();
        let values = ATTRIBUTES.iter().filter_map(|name| first(name)).collect();
        found.push(Small { _dn: entry.dn, _values: values });
    }
    stream.finish().await.success()?;
    let took = begun.elapsed();
    ensure!(found.len() >= people, "the bare client read {} of {people}", found.len());
    ldap.unbind().await?;
    Ok(took)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// People with what a directory has of them, and a group of 200 for each thousand.
fn population(people: usize) -> Result<String> {
    let base = "dc=example,dc=org";
    let mut ldif = String::with_capacity(people * 360);
    for number in 0..people {
        write!(
            ldif,
            "dn: uid=p{number},ou=people,{base}\nobjectClass: inetOrgPerson\nuid: p{number}\n\
             cn: Person {number}\nsn: Surname{number}\ngivenName: Given{number}\n\
             displayName: Given{number} Surname{number}\nmail: p{number}@people.example.org\n\
             title: Engineer\npreferredLanguage: en\nemployeeNumber: {number}\n\n"
        )?;
    }
    for group in 0..people / 1000 {
        write!(
            ldif,
            "dn: cn=team{group},ou=groups,{base}\nobjectClass: groupOfNames\ncn: team{group}\n"
        )?;
        for member in 0..200 {
            writeln!(ldif, "member: uid=p{},ou=people,{base}", group * 1000 + member)?;
        }
        ldif.push('\n');
    }
    Ok(ldif)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_the_file_once() {
        let ldif = population(2000).unwrap();
        assert_eq!(ldif.matches("\nobjectClass: inetOrgPerson\n").count(), 2000);
        assert_eq!(ldif.matches("\nobjectClass: groupOfNames\n").count(), 2);
        assert_eq!(ldif.matches("\nmember: ").count(), 400);
    }

    #[test]
    fn the_time_is_readable() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.23 s");
    }
}
