//! What a login through LDAP costs beyond the server's own bind: search, bind, groups, beside a
//! bind that a plain program makes on one open connection; and 200 people at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock};
use auth_core::connector::ldap::{LdapConnector, LdapSettings, Preset};
use auth_core::random::SystemRandom;
use auth_core::secret::Secret;
use tokio::task::JoinSet;
use url::Url;

use super::figures::percentile;
use super::report::{Report, Row};
use crate::harness::slapd::{Slapd, SlapdOptions};

const LOGINS: usize = 400;
const PEOPLE: usize = 200;
const GOAL: Duration = Duration::from_millis(2);

/// Measures both.
pub(super) async fn measure(report: &mut Report) -> Result<()> {
    let options = SlapdOptions { quiet: true, ..SlapdOptions::default() };
    let server = tokio::task::spawn_blocking(move || -> Result<Slapd> {
        let server = Slapd::start_with(&options)?;
        server.add_people("load", PEOPLE)?;
        Ok(server)
    })
    .await??;
    for (url, transport) in [(server.url(), "plain LDAP"), (server.ldaps_url(), "ldaps")] {
        let connector = connector(&server, &url)?;
        let mut bare = BareBind::open(&server)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in 0..LOGINS {
            let uid = format!("load{}", number % PEOPLE + 1);
            theirs.push(bare.bind(&uid)?);
            let begun = Instant::now();
            login(&connector, &uid).await?;
            ours.push(begun.elapsed());
        }
        let (login_time, bind_time) = (percentile(&ours, 0.5)?, percentile(&theirs, 0.5)?);
        let added = login_time.saturating_sub(bind_time);
        report.add(Row {
            what: "login through LDAP, added to the bind, p50".into(),
            of: format!("slapd, {transport}, {LOGINS} logins one after the other"),
            daemon: micros(added),
            beside: format!("bind alone {}", micros(bind_time)),
            ratio: None,
            goal: "less than 2 ms".into(),
            reached: Some(added < GOAL),
        });
    }
    at_once(report, Arc::new(connector(&server, &server.ldaps_url())?)).await
}

/// All of them at the same moment through 16 connections; one that fails ends the measurement.
async fn at_once(report: &mut Report, connector: Arc<LdapConnector>) -> Result<()> {
    let mut crowd = JoinSet::new();
    let begun = Instant::now();
    for number in 1..=PEOPLE {
        let connector = Arc::clone(&connector);
        crowd.spawn(async move { login(&connector, &format!("load{number}")).await });
    }
    while let Some(done) = crowd.join_next().await {
        done??;
    }
    report.add(Row {
        what: format!("{PEOPLE} logins at once"),
        of: "slapd, ldaps, 16 connections".into(),
        daemon: format!("all within {:.0} ms", begun.elapsed().as_secs_f64() * 1000.0),
        goal: "no error".into(),
        reached: Some(true),
        ..Row::default()
    });
    Ok(())
}

fn connector(server: &Slapd, url: &str) -> Result<LdapConnector> {
    let servers = vec![Url::parse(url)?];
    let mut settings = LdapSettings::new("corp", Preset::OpenLdap, servers, server.base_dn());
    settings.bind_dn = Some(server.bind_dn().to_owned());
    settings.bind_password = Some(Secret::new(server.bind_password().to_owned()));
    settings.ca_file = Some(server.ca_file());
    Ok(LdapConnector::new(settings, Arc::new(SystemRandom::new()))?)
}

async fn login(connector: &LdapConnector, uid: &str) -> Result<()> {
    let password = Secret::new(format!("secret-{uid}"));
    let identity = connector.authenticate(uid, &password, SystemClock.now()).await?;
    ensure!(identity.profile().username == uid, "{uid} is {:?}", identity.profile());
    Ok(())
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1_000_000.0)
}

/// The plainest program that binds: one connection, one request, one answer.
struct BareBind {
    stream: TcpStream,
    base: String,
}

impl BareBind {
    fn open(server: &Slapd) -> Result<Self> {
        let address = server.url().trim_start_matches("ldap://").to_owned();
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, base: format!("ou=people,{}", server.base_dn()) })
    }

    fn bind(&mut self, uid: &str) -> Result<Duration> {
        let dn = format!("uid={uid},{}", self.base);
        let password = format!("secret-{uid}");
        let element = |tag: u8, content: &[u8]| -> Result<Vec<u8>> {
            let length = u8::try_from(content.len()).ok().filter(|length| *length < 128);
            let length = length.context("a name that is too long")?;
            Ok([&[tag, length], content].concat())
        };
        let body = [
            element(0x02, &[3])?,
            element(0x04, dn.as_bytes())?,
            element(0x80, password.as_bytes())?,
        ]
        .concat();
        let message = [element(0x02, &[1])?, element(0x60, &body)?].concat();
        let request = element(0x30, &message)?;
        let mut answer = [0; 64];
        let begun = Instant::now();
        self.stream.write_all(&request)?;
        let length = self.stream.read(&mut answer)?;
        let took = begun.elapsed();
        // Message, number, bind response, result code 0.
        let good = answer.get(..length).is_some_and(|answer| {
            answer.get(5) == Some(&0x61) && answer.get(7..10) == Some(&[0x0a, 0x01, 0x00])
        });
        ensure!(good, "the bind of {uid} was not accepted: {answer:?}");
        Ok(took)
    }
}
