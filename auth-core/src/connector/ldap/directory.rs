//! The shell of the connector: asks the servers in order, and puts the rules' answers together.

pub(super) mod ids;
pub(super) mod servers;

use std::future::Future;
use std::sync::Arc;

use ldap3::Scope;
use tokio::time::timeout;

use super::account_state::AccountState;
use super::bind::{self, Depth, LoginPlan};
use super::bind_result::BindOutcome;
use super::entry::Entry;
use super::failure::{Failure, FailureKind};
use super::group_search::{complete_ranges, groups_of};
use super::person::Person;
use super::search::SearchRequest;
use super::server::{Server, ServerStatus, ServiceAccount};
use super::settings::LdapSettings;
use super::validate::{self, LdapConfigError};
use super::{dn, filter, tls};
use crate::clock::Timestamp;
use crate::connector::{ConnectorError, Profile, Refusal, VerifiedIdentity};
use crate::random::Random;
use crate::secret::Secret;
use servers::Servers;

/// A directory with its servers.
pub(super) struct Directory {
    settings: LdapSettings,
    servers: Servers,
    random: Arc<dyn Random>,
    /// What a person's entry is read for.
    pub(super) attributes: Vec<String>,
}

/// What one server said of a login or recheck.
pub(super) enum Verdict<T> {
    /// An answer.
    Answer(T),
    /// A refusal, final for all servers.
    Refused(ConnectorError),
}

pub(super) type Judged<T> = Result<Verdict<T>, Failure>;

impl Directory {
    /// Checks `settings`; connects nothing.
    pub(super) fn new(
        mut settings: LdapSettings,
        random: Arc<dyn Random>,
    ) -> Result<Self, LdapConfigError> {
        validate::check(&settings)?;
        let tls = tls::client_config(&settings)?;
        let account = settings
            .bind_dn
            .clone()
            .zip(settings.bind_password.take())
            .map(|(dn, password)| Arc::new(ServiceAccount { dn, password }));
        let servers = Servers::new(&settings, tls, account)?;
        let attributes = settings.entry_attributes();
        Ok(Self { settings, servers, random, attributes })
    }

    pub(super) const fn settings(&self) -> &LdapSettings {
        &self.settings
    }

    /// The servers in the order in which they are asked now.
    pub(super) async fn servers(&self) -> Result<Vec<Arc<Server>>, Failure> {
        self.servers.current(self.random.as_ref()).await
    }

    pub(super) fn pool_status(&self) -> Vec<ServerStatus> {
        self.servers.known().iter().map(|server| server.status()).collect()
    }

    pub(super) async fn authenticate(
        &self,
        username: &str,
        password: &Secret,
        now: Timestamp,
    ) -> Result<VerifiedIdentity, ConnectorError> {
        let plan = bind::plan(&self.settings, username, password.expose())
            .map_err(ConnectorError::refused)?;
        let person = self
            .on_some_server(|server| {
                let plan = &plan;
                async move { self.authenticate_on(&server, plan, password, now).await }
            })
            .await?;
        let Person { subject, profile, password_changed_at, .. } = person;
        Ok(VerifiedIdentity::new(&self.settings.id, subject, profile, &["pwd"], now)
            .with_password_changed_at(password_changed_at))
    }

    /// Notes that a server failed while it was read.
    pub(super) fn mark_down(&self, server: &Server) {
        server.mark_down(self.random.as_ref());
    }

    pub(super) async fn health(&self) -> Result<(), ConnectorError> {
        self.on_some_server(|server| async move {
            self.base_is_readable(&server).await?;
            Ok(Verdict::Answer(()))
        })
        .await
    }

    /// The base entry must be readable under the service identity.
    pub(super) async fn base_is_readable(&self, server: &Server) -> Result<(), Failure> {
        let request =
            self.request(&self.settings.base_dn, Scope::Base, "(objectClass=*)", &["1.1"]);
        let found = server.search(&request).await?.complete("reading base_dn")?;
        if found.is_empty() {
            let message = "base_dn is not visible to the service account: check its rights";
            return Err(Failure::new(FailureKind::SearchFailed, message));
        }
        Ok(())
    }

    /// Groups and roles of an entry, into its profile.
    pub(super) async fn complete_profile(
        &self,
        server: &Server,
        entry: &Entry,
        profile: &mut Profile,
    ) -> Result<(), Failure> {
        profile.groups = groups_of(server, &self.settings, entry).await?;
        profile.roles = self.roles_of(server, entry).await?;
        super::group_map::apply(&self.settings.group_map, profile);
        Ok(())
    }

    async fn authenticate_on(
        &self,
        server: &Server,
        plan: &LoginPlan,
        password: &Secret,
        now: Timestamp,
    ) -> Judged<Person> {
        let (mut entry, references) = match self.find(server, plan).await? {
            Found::One(entry) => (*entry, Vec::new()),
            Found::None(references) => (Entry::default(), references),
            Found::Several(dns) => {
                return Ok(refused(Refusal::AmbiguousUser, Some(dns.join(" and "))));
            }
        };
        if entry.dn.is_empty() {
            // So that an unknown name costs what a wrong password costs.
            let stranger = self.random_credentials();
            let _ = server.bind(&stranger.0, &stranger.1).await;
            let detail = (!references.is_empty()).then(|| {
                format!(
                    "references not followed: {}; add that server as a directory of its own, or \
                     use the global catalog (3268, 3269)",
                    references.join(", ")
                )
            });
            return Ok(refused(Refusal::UnknownUser, detail));
        }
        match server.bind(&entry.dn, password.expose()).await? {
            BindOutcome::Accepted => {}
            BindOutcome::Refused(reason) => return Ok(refused(reason, Some(entry.dn))),
        }
        match AccountState::of(&entry, now) {
            AccountState::Gone(reason)
            | AccountState::NoLogin(reason @ Refusal::PasswordMustChange) => {
                return Ok(refused(reason, Some(entry.dn)));
            }
            // A lockout that is over stays written until the next good login; the bind was good.
            AccountState::NoLogin(_) | AccountState::Usable => {}
        }
        complete_ranges(server, &mut entry).await?;
        let mut person = match Person::from_entry(&entry, &self.settings.attributes) {
            Ok(person) => person,
            Err(error) => return Ok(Verdict::Refused(error.into())),
        };
        self.report_unreadable(&entry, &person);
        self.complete_profile(server, &entry, &mut person.profile).await?;
        Ok(Verdict::Answer(person))
    }

    /// The entry of what somebody types, without a password; or why there is none.
    pub(super) async fn look_up(
        &self,
        server: &Server,
        username: &str,
    ) -> Result<Result<Entry, (Refusal, Option<String>)>, Failure> {
        let plan = match bind::plan(&self.settings, username, "any password") {
            Ok(plan) => plan,
            Err(reason) => return Ok(Err((reason, None))),
        };
        Ok(match self.find(server, &plan).await? {
            Found::One(mut entry) => {
                complete_ranges(server, &mut entry).await?;
                Ok(*entry)
            }
            Found::None(references) => {
                let detail = (!references.is_empty()).then(|| references.join(", "));
                Err((Refusal::UnknownUser, detail))
            }
            Found::Several(dns) => Err((Refusal::AmbiguousUser, Some(dns.join(" and ")))),
        })
    }

    /// The suffix of the server that `base` lies in.
    pub(super) async fn naming_context(
        &self,
        server: &Server,
        base: &str,
    ) -> Result<String, Failure> {
        let request = self.request("", Scope::Base, "(objectClass=*)", &["namingContexts"]);
        let found = server.search(&request).await?.complete("reading the root entry")?;
        let contexts = found.first().map(|root| root.texts("namingContexts")).unwrap_or_default();
        Ok(dn::longest_suffix(&contexts, base).to_owned())
    }

    pub(super) async fn find(&self, server: &Server, plan: &LoginPlan) -> Result<Found, Failure> {
        let scope = plan.depth.scope(&self.settings);
        let mut request = SearchRequest {
            attributes: self.attributes.clone(),
            ..self.request(&plan.base, scope, &plan.filter, &[])
        };
        // Enough to see that a name is ambiguous.
        request.size_limit = 3;
        let mut answer = server.search(&request).await?;
        if answer.entries.len() > 1 {
            return Ok(Found::Several(answer.entries.into_iter().map(|entry| entry.dn).collect()));
        }
        if answer.code == 32 && plan.depth == Depth::Base {
            return Ok(Found::None(Vec::new()));
        }
        let references = std::mem::take(&mut answer.references);
        let found = answer.complete("searching the person")?.into_iter().next();
        Ok(found.map_or(Found::None(references), |entry| Found::One(Box::new(entry))))
    }

    async fn roles_of(&self, server: &Server, entry: &Entry) -> Result<Vec<String>, Failure> {
        // A guest is never an administrator: of two roles the weaker one counts.
        for (role, filter) in
            [("guest", &self.settings.guest_filter), ("administrator", &self.settings.admin_filter)]
        {
            if let Some(filter) = filter
                && self.matches(server, &entry.dn, filter).await?
            {
                return Ok(vec![role.to_owned()]);
            }
        }
        Ok(Vec::new())
    }

    /// Whether the entry matches `filter`, by the directory's own judgement.
    async fn matches(&self, server: &Server, dn: &str, filter: &str) -> Result<bool, Failure> {
        let request = self.request(dn, Scope::Base, &filter::all_of(&[filter]), &["1.1"]);
        Ok(!server.search(&request).await?.complete("evaluating a role filter")?.is_empty())
    }

    pub(super) fn request(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> SearchRequest {
        SearchRequest {
            base: base.to_owned(),
            scope,
            filter: filter::all_of(&[filter]),
            attributes: attributes.iter().map(|&name| name.to_owned()).collect(),
            size_limit: 0,
            deleted: false,
        }
    }

    fn random_credentials(&self) -> (String, String) {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base = &self.settings.base_dn;
        let separator = if base.is_empty() { "" } else { "," };
        (format!("cn={}{separator}{base}", dn::escape_value(&text)), text)
    }

    pub(super) fn report_unreadable(&self, entry: &Entry, person: &Person) {
        if !person.unreadable.is_empty() {
            tracing::warn!(
                directory = %self.settings.id, dn = %entry.dn, attributes = ?person.unreadable,
                "values that are no text, or far too long, were left out"
            );
        }
    }

    /// Asks the servers in order, those that failed lately last, within the total time.
    pub(super) async fn on_some_server<T, F>(
        &self,
        ask: impl Fn(Arc<Server>) -> F,
    ) -> Result<T, ConnectorError>
    where
        F: Future<Output = Judged<T>>,
    {
        self.on_some_server_but_first(None, ask).await
    }

    /// The same, but of those that did not fail lately the one with the URL `first` comes first.
    pub(super) async fn on_some_server_but_first<T, F>(
        &self,
        first: Option<&str>,
        ask: impl Fn(Arc<Server>) -> F,
    ) -> Result<T, ConnectorError>
    where
        F: Future<Output = Judged<T>>,
    {
        let limit = self.settings.total_timeout;
        match timeout(limit, self.ask_in_order(first, ask)).await {
            Ok(Ok(Verdict::Answer(answer))) => Ok(answer),
            Ok(Ok(Verdict::Refused(refusal))) => Err(refusal),
            Ok(Err(failure)) => {
                tracing::warn!(
                    directory = %self.settings.id, reason = failure.kind.reason(), error = %failure.message,
                    "the directory gave no answer"
                );
                Err(failure.into())
            }
            Err(_) => {
                let message = format!("no answer within {limit:?} (total_timeout)");
                Err(Failure::new(FailureKind::Timeout, message).into())
            }
        }
    }

    async fn ask_in_order<T, F>(
        &self,
        first: Option<&str>,
        ask: impl Fn(Arc<Server>) -> F,
    ) -> Judged<T>
    where
        F: Future<Output = Judged<T>>,
    {
        let (down, mut up): (Vec<Arc<Server>>, Vec<Arc<Server>>) =
            self.servers().await?.into_iter().partition(|server| server.is_down());
        up.sort_by_key(|server| first.is_some_and(|first| first != server.url()));
        let mut failures: Vec<Failure> = Vec::new();
        for server in up.into_iter().chain(down) {
            match ask(Arc::clone(&server)).await {
                Ok(verdict) => {
                    server.mark_up();
                    return Ok(verdict);
                }
                Err(failure) if failure.kind.fails_over() => {
                    if !failure.own_queue {
                        server.mark_down(self.random.as_ref());
                    }
                    failures.push(failure.at(server.url()));
                }
                Err(failure) => return Err(failure.at(server.url())),
            }
        }
        let kind = failures.first().map_or(FailureKind::Unavailable, |failure| failure.kind);
        let messages: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
        Err(Failure::new(kind, messages.join("; ")))
    }
}

pub(super) enum Found {
    None(Vec<String>),
    One(Box<Entry>),
    Several(Vec<String>),
}

fn refused<T>(reason: Refusal, detail: Option<String>) -> Verdict<T> {
    Verdict::Refused(ConnectorError::Refused { reason, detail })
}
