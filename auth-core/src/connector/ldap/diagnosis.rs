//! Step by step through a directory, for an administrator: what works, what does not, and what to do.

mod lockout;
mod repair;

use serde::Serialize;

use super::account_state::AccountState;
use super::bind::Depth;
use super::certificate::certificate_facts;
use super::client::Connection;
use super::directory::Directory;
use super::entry::Entry;
use super::person::Person;
use super::search::SearchRequest;
use super::server::Server;
use super::tls;
use crate::clock::Timestamp;
use crate::connector::ConnectorError;
use crate::secret::Secret;

const SAMPLES: usize = 3;
const COUNT_LIMIT: usize = 10_000;

/// One step and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiagnosisStep {
    /// `resolve`, `connect`, `tls`, `bind`, `base_dn`, `filter`, `sample`, `groups`, `lockout`,
    /// `user` or `login`.
    pub step: &'static str,
    /// Whether it worked.
    pub ok: bool,
    /// What was found, or the exact error.
    pub detail: String,
    /// What to do about an error.
    pub repair: Option<String>,
}

/// Somebody who is looked up as the last step.
#[derive(Debug)]
pub struct DiagnoseUser {
    /// What the person types.
    pub name: String,
    /// With a password the login is tried too.
    pub password: Option<Secret>,
}

/// What is asked beside the connection itself.
#[derive(Debug, Default)]
pub struct DiagnosisRequest {
    /// Somebody to look up.
    pub user: Option<DiagnoseUser>,
    /// After how many wrong passwords in a row the broker itself stops asking the directory; it
    /// has to be fewer than lock the account there.
    pub failures_per_account: Option<u32>,
}

/// Goes through all steps.
pub(super) async fn diagnose(
    directory: &Directory,
    request: DiagnosisRequest,
    now: Timestamp,
) -> Vec<DiagnosisStep> {
    let mut steps = Steps(Vec::new());
    let servers = match directory.servers().await {
        Ok(servers) => servers,
        Err(failure) => {
            steps.bad(
                "resolve",
                failure.message,
                "check servers, the SRV records of the domain and this machine's DNS",
            );
            return steps.0;
        }
    };
    let mut usable = None;
    for server in servers {
        if steps.reach(directory, &server, now).await && usable.is_none() {
            usable = Some(server);
        }
    }
    let Some(server) = usable else { return steps.0 };
    if steps.read(directory, &server).await {
        steps.lockout(directory, &server, request.failures_per_account).await;
    }
    if let Some(user) = request.user {
        if steps.0.iter().any(|step| step.step == "base_dn" && step.ok) {
            steps.look_up(directory, &server, &user.name, now).await;
        }
        if let Some(password) = &user.password {
            steps.login(directory, &user.name, password, now).await;
        }
    }
    steps.0
}

struct Steps(Vec<DiagnosisStep>);

impl Steps {
    fn good(&mut self, step: &'static str, detail: String) {
        self.0.push(DiagnosisStep { step, ok: true, detail, repair: None });
    }

    fn bad(&mut self, step: &'static str, detail: String, repair: &str) {
        self.0.push(DiagnosisStep { step, ok: false, detail, repair: Some(repair.to_owned()) });
    }

    /// `resolve`, `connect` and `tls` of one server.
    async fn reach(&mut self, directory: &Directory, server: &Server, now: Timestamp) -> bool {
        let mut endpoint = server.endpoint().clone();
        let mut seen = None;
        if endpoint.tls.is_some() {
            // So that a certificate that is not accepted can be described.
            match tls::noting_client_config(directory.settings()) {
                Ok((config, noted)) => (endpoint.tls, seen) = (Some(config), Some(noted)),
                Err(error) => {
                    self.bad("tls", error.to_string(), "mend that setting");
                    return false;
                }
            }
        }
        let endpoint = &endpoint;
        let address = endpoint.address();
        match tokio::time::timeout(endpoint.connect_timeout, endpoint.resolve()).await {
            Ok(Ok(found)) => {
                let mut found: Vec<String> = found.iter().map(|a| a.ip().to_string()).collect();
                found.dedup();
                self.good("resolve", format!("{address}: {}", found.join(", ")));
            }
            Ok(Err(error)) => {
                self.bad(
                    "resolve",
                    format!("{address}: {error}"),
                    "check the host name in servers and this machine's DNS",
                );
                return false;
            }
            Err(_) => {
                self.bad(
                    "resolve",
                    format!("{address}: no answer"),
                    "this machine's DNS server does not answer",
                );
                return false;
            }
        }
        match tokio::time::timeout(endpoint.connect_timeout, endpoint.connect()).await {
            Ok(Ok(_)) => self.good("connect", address.clone()),
            Ok(Err(failure)) => {
                self.bad(
                    "connect",
                    format!("{address}: {}", failure.message),
                    "check the port, the firewall, and that the server runs",
                );
                return false;
            }
            Err(_) => {
                self.bad(
                    "connect",
                    format!("{address}: no answer"),
                    "a firewall may drop the packets; check host and port",
                );
                return false;
            }
        }
        match Connection::open(endpoint).await {
            Ok(_) if endpoint.tls.is_none() => {
                self.good("tls", format!("{address}: none; allowed on loopback only"));
                true
            }
            Ok(_) => {
                let facts = facts_of(seen.as_deref(), now);
                self.good("tls", format!("{address}: verified{facts}"));
                true
            }
            Err(failure) => {
                let facts = facts_of(seen.as_deref(), now);
                let detail = format!("{address}: {}{facts}", failure.message);
                self.bad("tls", detail, repair::tls_repair(&failure));
                false
            }
        }
    }

    /// `bind`, `base_dn`, `filter`, `sample` and `groups`; whether people can be read.
    async fn read(&mut self, directory: &Directory, server: &Server) -> bool {
        let settings = directory.settings();
        let account = settings.bind_dn.as_deref().unwrap_or("anonymous");
        match server.open_service().await {
            Ok(_) => self.good("bind", account.to_owned()),
            Err(failure) => {
                self.bad(
                    "bind",
                    failure.message,
                    "check bind_dn and bind_password, and that the account is not locked",
                );
                return false;
            }
        }
        match directory.base_is_readable(server).await {
            Ok(()) => self.good("base_dn", settings.base_dn.clone()),
            Err(failure) => {
                self.bad(
                    "base_dn",
                    failure.message,
                    "check base_dn, and that the service account may read it",
                );
                return false;
            }
        }
        let Some(samples) = self.count(directory, server).await else { return false };
        let mut profiles = Vec::new();
        for entry in &samples {
            match Person::from_entry(entry, &settings.attributes) {
                Ok(person) => profiles.push((entry, person)),
                Err(error) => {
                    self.bad(
                        "sample",
                        error.to_string(),
                        "check the attributes table, and that the service account may read them",
                    );
                    return false;
                }
            }
        }
        let lines: Vec<String> =
            profiles.iter().map(|(entry, person)| describe(entry, person)).collect();
        self.good("sample", lines.join("; "));
        if let Some((entry, mut person)) = profiles.into_iter().next() {
            match directory.complete_profile(server, entry, &mut person.profile).await {
                Ok(()) => self.good(
                    "groups",
                    format!(
                        "{}: groups {:?}, roles {:?}",
                        entry.dn, person.profile.groups, person.profile.roles
                    ),
                ),
                Err(failure) => self.bad(
                    "groups",
                    failure.message,
                    "check groups.base_dn and groups.filter, and the rights of the service account",
                ),
            }
        }
        true
    }

    /// Counts who matches `user_filter` and keeps the first entries.
    async fn count(&mut self, directory: &Directory, server: &Server) -> Option<Vec<Entry>> {
        let settings = directory.settings();
        let request = SearchRequest {
            base: settings.base_dn.clone(),
            scope: Depth::Configured.scope(settings),
            filter: super::filter::all_of(&[settings.user_filter.as_str()]),
            attributes: settings.entry_attributes(),
            size_limit: 0,
            deleted: false,
        };
        let (mut count, mut samples) = (0, Vec::new());
        let answer = server
            .search_paged(&request, settings.page_size, |page| {
                count += page.entries.len();
                let room = SAMPLES.saturating_sub(samples.len());
                samples.extend(page.entries.drain(..).take(room));
                count < COUNT_LIMIT
            })
            .await
            .and_then(|answer| answer.complete("counting").map(drop));
        let filter = &settings.user_filter;
        match answer {
            Ok(()) if count == 0 => {
                self.bad(
                    "filter",
                    format!("{filter} finds nobody"),
                    "check user_filter and base_dn, and the rights of the service account",
                );
                None
            }
            Ok(()) => {
                let more = if count < COUNT_LIMIT { "" } else { "at least " };
                self.good("filter", format!("{filter} finds {more}{count}"));
                Some(samples)
            }
            Err(failure) => {
                self.bad(
                    "filter",
                    failure.message,
                    "check user_filter, page_size and the limits of the service account",
                );
                None
            }
        }
    }

    /// Finds somebody by what they would type, without a password.
    async fn look_up(
        &mut self,
        directory: &Directory,
        server: &Server,
        name: &str,
        now: Timestamp,
    ) {
        let settings = directory.settings();
        let found = match directory.look_up(server, name).await {
            Ok(Ok(entry)) => entry,
            Ok(Err((reason, detail))) => {
                let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
                let detail = format!("{name}: {}{detail}", reason.as_str());
                return self.bad("user", detail, repair::login_repair(reason.as_str()));
            }
            Err(failure) => {
                return self.bad("user", failure.message, "see the detail");
            }
        };
        let mut person = match Person::from_entry(&found, &settings.attributes) {
            Ok(person) => person,
            Err(error) => {
                let repair = repair::login_repair(error.reason.as_str());
                return self.bad("user", error.to_string(), repair);
            }
        };
        let state = match AccountState::of(&found, now) {
            AccountState::Usable => "may sign in",
            AccountState::Gone(reason) | AccountState::NoLogin(reason) => reason.as_str(),
        };
        if let Err(failure) = directory.complete_profile(server, &found, &mut person.profile).await
        {
            return self.bad("user", failure.message, "check the groups table");
        }
        self.good(
            "user",
            format!(
                "{name} is {}; state: {state}; groups {:?}, roles {:?}, claims {:?}",
                describe(&found, &person),
                person.profile.groups,
                person.profile.roles,
                person.profile.claims.keys().collect::<Vec<_>>()
            ),
        );
    }

    async fn login(
        &mut self,
        directory: &Directory,
        name: &str,
        password: &Secret,
        now: Timestamp,
    ) {
        match directory.authenticate(name, password, now).await {
            Ok(identity) => {
                let profile = identity.profile();
                self.good(
                    "login",
                    format!(
                        "{name} is {} (id {}), groups {:?}, roles {:?}",
                        profile.username,
                        identity.subject(),
                        profile.groups,
                        profile.roles
                    ),
                );
            }
            Err(error) => {
                let detail = match &error {
                    ConnectorError::Refused { detail: Some(detail), .. } => {
                        format!("{error} ({detail})")
                    }
                    _ => error.to_string(),
                };
                self.bad("login", detail, repair::login_repair(error.reason()));
            }
        }
    }
}

fn facts_of(seen: Option<&tls::SeenCertificate>, now: Timestamp) -> String {
    seen.and_then(tls::SeenCertificate::der)
        .map_or_else(String::new, |der| certificate_facts(&der, now))
}

fn describe(entry: &Entry, person: &Person) -> String {
    let profile = &person.profile;
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let left_out = if person.unreadable.is_empty() {
        String::new()
    } else {
        format!(", not readable {:?}", person.unreadable)
    };
    format!(
        "{}: id {}, username {}, email {}, first_name {}, last_name {}{left_out}",
        entry.dn,
        person.subject,
        profile.username,
        shown(&profile.email),
        shown(&profile.first_name),
        shown(&profile.last_name)
    )
}
