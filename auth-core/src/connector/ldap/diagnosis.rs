//! Step by step through a directory, for an administrator: what works, what does not, and what to do.

use serde::Serialize;
use tokio::net::lookup_host;

use super::bind::Depth;
use super::certificate::certificate_facts;
use super::client::Connection;
use super::directory::Directory;
use super::entry::Entry;
use super::failure::{Failure, FailureKind};
use super::person::Person;
use super::search::SearchRequest;
use super::server::Server;
use crate::clock::Timestamp;
use crate::secret::Secret;

const SAMPLES: usize = 3;
const COUNT_LIMIT: usize = 10_000;

/// One step and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiagnosisStep {
    /// `resolve`, `connect`, `tls`, `bind`, `base_dn`, `filter`, `sample`, `groups` or `login`.
    pub step: &'static str,
    /// Whether it worked.
    pub ok: bool,
    /// What was found, or the exact error.
    pub detail: String,
    /// What to do about an error.
    pub repair: Option<String>,
}

/// Somebody whose login is tried as the last step.
#[derive(Debug)]
pub struct DiagnoseUser {
    /// What the person types.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// Goes through all steps.
pub(super) async fn diagnose(
    directory: &Directory,
    user: Option<DiagnoseUser>,
    now: Timestamp,
) -> Vec<DiagnosisStep> {
    let mut steps = Steps(Vec::new());
    let mut usable = None;
    for server in directory.servers() {
        if steps.reach(server, now).await && usable.is_none() {
            usable = Some(server);
        }
    }
    if let Some(server) = usable {
        steps.read(directory, server).await;
    }
    if let Some(user) = user.filter(|_| usable.is_some()) {
        steps.login(directory, &user, now).await;
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
    async fn reach(&mut self, server: &Server, now: Timestamp) -> bool {
        let endpoint = server.endpoint();
        let address = endpoint.address();
        match tokio::time::timeout(endpoint.connect_timeout, lookup_host(&address)).await {
            Ok(Ok(found)) => {
                let mut found: Vec<String> = found.map(|a| a.ip().to_string()).collect();
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
            Ok(mut connection) => {
                let facts = connection.peer_certificate().await;
                let facts = facts.map_or_else(String::new, |der| certificate_facts(&der, now));
                self.good("tls", format!("{address}: verified{facts}"));
                true
            }
            Err(failure) => {
                self.bad("tls", format!("{address}: {}", failure.message), tls_repair(&failure));
                false
            }
        }
    }

    /// `bind`, `base_dn`, `filter`, `sample` and `groups`.
    async fn read(&mut self, directory: &Directory, server: &Server) {
        let settings = directory.settings();
        let account = settings.bind_dn.as_deref().unwrap_or("anonymous");
        match server.open_service().await {
            Ok(_) => self.good("bind", account.to_owned()),
            Err(failure) => {
                return self.bad(
                    "bind",
                    failure.message,
                    "check bind_dn and bind_password, and that the account is not locked",
                );
            }
        }
        match directory.base_is_readable(server).await {
            Ok(()) => self.good("base_dn", settings.base_dn.clone()),
            Err(failure) => {
                return self.bad(
                    "base_dn",
                    failure.message,
                    "check base_dn, and that the service account may read it",
                );
            }
        }
        let Some(samples) = self.count(directory, server).await else { return };
        let mut profiles = Vec::new();
        for entry in &samples {
            match Person::from_entry(entry, &settings.attributes) {
                Ok(person) => profiles.push((entry, person)),
                Err(error) => {
                    return self.bad(
                        "sample",
                        error.to_string(),
                        "check the attributes table, and that the service account may read them",
                    );
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

    async fn login(&mut self, directory: &Directory, user: &DiagnoseUser, now: Timestamp) {
        match directory.authenticate(&user.name, &user.password, now).await {
            Ok(identity) => {
                let profile = identity.profile();
                self.good(
                    "login",
                    format!(
                        "{} is {} (id {}), groups {:?}, roles {:?}",
                        user.name,
                        profile.username,
                        identity.subject(),
                        profile.groups,
                        profile.roles
                    ),
                );
            }
            Err(error) => {
                let detail = match &error {
                    crate::connector::ConnectorError::Refused { detail: Some(detail), .. } => {
                        format!("{error} ({detail})")
                    }
                    _ => error.to_string(),
                };
                self.bad("login", detail, login_repair(error.reason()));
            }
        }
    }
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

fn tls_repair(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Tls if failure.message.contains("UnknownIssuer") => {
            "name the directory's certificate authority in ca_file, or pin the certificate"
        }
        FailureKind::Tls if failure.message.contains("NotValidForName") => {
            "the certificate is for other names: use one of them in servers, or renew it with this name"
        }
        FailureKind::Tls if failure.message.contains("Expired") => "renew the server's certificate",
        FailureKind::Tls if failure.message.contains("StartTLS") => {
            "set up TLS at the server, or use ldaps://"
        }
        FailureKind::Tls => "compare the certificate with ca_file or pinned_certificate_sha256",
        _ => "check that this port speaks TLS: ldaps:// is usually 636, StartTLS 389",
    }
}

fn login_repair(reason: &str) -> &'static str {
    match reason {
        "unknown_user" => {
            "check login_attributes and user_filter; the person may be below another base_dn"
        }
        "ambiguous_user" => "make the login attributes unique, or use fewer of them",
        "wrong_password" => "the directory refused the password",
        "account_locked" => "unlock the account in the directory",
        "account_disabled" | "account_expired" => "enable the account in the directory",
        "password_expired" | "password_must_change" => {
            "the person has to change the password in the directory first"
        }
        "missing_id" | "missing_attribute" => {
            "check the attributes table and the rights of the service account"
        }
        "empty_password" | "malformed_input" => "give a name and a password",
        _ => "see the detail",
    }
}
