//! The servers of a directory: those that the settings list, and those that the DNS names.
//!
//! What the DNS says is looked up again when its time to live is over. While it does not answer,
//! the servers that it named last are used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use parking_lot::Mutex;
use rustls::ClientConfig;
use url::Url;

use super::super::client::Endpoint;
use super::super::failure::{Failure, FailureKind};
use super::super::server::{Server, ServiceAccount};
use super::super::settings::LdapSettings;
use super::super::srv::{self, Target};
use super::super::validate::{LdapConfigError, error};
use crate::random::Random;

/// The scheme of a domain whose servers are looked up.
pub(in crate::connector::ldap) const SRV_SCHEME: &str = "srv";
/// While the DNS does not answer it is asked again only after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The servers.
pub(in crate::connector::ldap) struct Servers {
    listed: Vec<Listed>,
    resolver: Option<TokioResolver>,
    starttls: bool,
    make: ServerMaker,
    known: Mutex<Known>,
}

enum Listed {
    Server(Arc<Server>),
    Domain(String),
}

/// What every server is made with.
struct ServerMaker {
    tls: Option<Arc<ClientConfig>>,
    starttls: bool,
    connect_timeout: Duration,
    operation_timeout: Duration,
    account: Option<Arc<ServiceAccount>>,
    pool_size: usize,
}

#[derive(Default)]
struct Known {
    /// So that pools live on when the order changes.
    by_url: HashMap<String, Arc<Server>>,
    by_domain: HashMap<String, Vec<Arc<Server>>>,
    /// When the DNS did not answer for a domain.
    failed: HashMap<String, Instant>,
}

impl Servers {
    /// Asks nobody yet.
    pub(in crate::connector::ldap) fn new(
        settings: &LdapSettings,
        tls: Option<Arc<ClientConfig>>,
        account: Option<Arc<ServiceAccount>>,
    ) -> Result<Self, LdapConfigError> {
        let make = ServerMaker {
            tls,
            starttls: settings.starttls,
            connect_timeout: settings.connect_timeout,
            operation_timeout: settings.operation_timeout,
            account,
            pool_size: settings.pool_size,
        };
        let listed: Vec<Listed> = settings
            .servers
            .iter()
            .map(|url| match url.scheme() {
                SRV_SCHEME => Listed::Domain(url.host_str().unwrap_or_default().to_owned()),
                _ => Listed::Server(Arc::new(make.server(url.clone(), None))),
            })
            .collect();
        let looks_up = listed.iter().any(|listed| matches!(listed, Listed::Domain(_)));
        let resolver = looks_up
            .then(|| resolver(&settings.name_servers, settings.connect_timeout))
            .transpose()
            .map_err(|cause| {
                error(settings, "servers", &format!("the DNS cannot be asked (srv://): {cause}"))
            })?;
        Ok(Self {
            listed,
            resolver,
            starttls: settings.starttls,
            make,
            known: Mutex::new(Known::default()),
        })
    }

    /// The servers in the order in which they are asked now.
    pub(in crate::connector::ldap) async fn current(
        &self,
        random: &dyn Random,
    ) -> Result<Vec<Arc<Server>>, Failure> {
        let mut servers = Vec::new();
        let mut failure = None;
        for listed in &self.listed {
            match listed {
                Listed::Server(server) => servers.push(Arc::clone(server)),
                Listed::Domain(domain) => match self.of_domain(domain, random).await {
                    Ok(found) => servers.extend(found),
                    Err(error) => failure = Some(error),
                },
            }
        }
        match failure {
            Some(failure) if servers.is_empty() => Err(failure),
            _ => Ok(servers),
        }
    }

    /// The servers known by now; the DNS is not asked.
    pub(in crate::connector::ldap) fn known(&self) -> Vec<Arc<Server>> {
        let known = self.known.lock();
        self.listed
            .iter()
            .flat_map(|listed| match listed {
                Listed::Server(server) => vec![Arc::clone(server)],
                Listed::Domain(domain) => known.by_domain.get(domain).cloned().unwrap_or_default(),
            })
            .collect()
    }

    async fn of_domain(
        &self,
        domain: &str,
        random: &dyn Random,
    ) -> Result<Vec<Arc<Server>>, Failure> {
        let asked = {
            let known = self.known.lock();
            match (known.failed.get(domain), known.by_domain.get(domain)) {
                (Some(at), Some(last)) if at.elapsed() < ASK_AGAIN_AFTER => Some(last.clone()),
                _ => None,
            }
        };
        if let Some(last) = asked {
            return Ok(last);
        }
        match self.look_up(domain, random).await {
            Ok(urls) => {
                let mut known = self.known.lock();
                known.failed.remove(domain);
                let servers: Vec<Arc<Server>> = urls
                    .into_iter()
                    .map(|url| {
                        let entry = known.by_url.entry(url.to_string());
                        Arc::clone(entry.or_insert_with(|| {
                            Arc::new(self.make.server(url, self.resolver.clone()))
                        }))
                    })
                    .collect();
                known.by_domain.insert(domain.to_owned(), servers.clone());
                Ok(servers)
            }
            Err(message) => {
                let mut known = self.known.lock();
                known.failed.insert(domain.to_owned(), Instant::now());
                match known.by_domain.get(domain) {
                    Some(last) => {
                        tracing::warn!(domain, error = %message, "the servers known last are used");
                        Ok(last.clone())
                    }
                    None => Err(Failure::new(FailureKind::Unavailable, message)),
                }
            }
        }
    }

    async fn look_up(&self, domain: &str, random: &dyn Random) -> Result<Vec<Url>, String> {
        // TLS from the first byte where that is announced; else on the port that is its own, for
        // Active Directory announces only the plain one, and no password goes over that.
        let (service, scheme, port) =
            if self.starttls { ("_ldap", "ldap", None) } else { ("_ldaps", "ldaps", None) };
        let mut found = self.targets(service, domain).await?;
        let mut port = port;
        let mut asked = format!("{service}._tcp.{domain}");
        if found.is_empty() && !self.starttls {
            found = self.targets("_ldap", domain).await?;
            port = Some(636);
            asked.push_str(&format!(" and _ldap._tcp.{domain}"));
        }
        let (ordered, elsewhere) = srv::order(found, domain, random);
        if !elsewhere.is_empty() {
            tracing::warn!(domain, hosts = ?elsewhere, "hosts outside the domain are not used");
        }
        let urls: Vec<Url> = ordered
            .into_iter()
            .filter_map(|(host, own)| {
                Url::parse(&format!("{scheme}://{host}:{}", port.unwrap_or(own))).ok()
            })
            .collect();
        if urls.is_empty() {
            return Err(format!(
                "the DNS names no server within the domain for {asked}: list the servers by name, \
                 or mend the SRV records{}",
                if elsewhere.is_empty() {
                    String::new()
                } else {
                    format!(" (they name {}, outside the domain)", elsewhere.join(", "))
                }
            ));
        }
        Ok(urls)
    }

    async fn targets(&self, service: &str, domain: &str) -> Result<Vec<Target>, String> {
        let Some(resolver) = &self.resolver else { return Ok(Vec::new()) };
        let name = format!("{service}._tcp.{domain}.");
        match resolver.lookup(name.as_str(), RecordType::SRV).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(Target {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        host: srv.target.to_ascii(),
                    }),
                    _ => None,
                })
                .collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(format!("the DNS does not answer for {name}: {error}")),
        }
    }
}

impl ServerMaker {
    fn server(&self, url: Url, resolver: Option<TokioResolver>) -> Server {
        let endpoint = Endpoint {
            url,
            tls: self.tls.clone(),
            starttls: self.starttls,
            resolver,
            connect_timeout: self.connect_timeout,
            operation_timeout: self.operation_timeout,
        };
        Server::new(endpoint, self.account.clone(), self.pool_size)
    }
}

fn resolver(
    name_servers: &[SocketAddr],
    limit: Duration,
) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = if name_servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = name_servers
            .iter()
            .map(|address| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections
                    .into_iter()
                    .map(|mut connection| {
                        connection.port = address.port();
                        connection
                    })
                    .collect();
                NameServerConfig::new(address.ip(), true, connections)
            })
            .collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = limit / 2;
    options.attempts = 1;
    builder.build()
}
