//! From the raw structs to [`Config`]: each section by itself, then what several sections have to
//! agree upon.

use std::collections::BTreeMap;

use super::Config;
use super::finding::{KeyPath, Problems};
use super::raw::RawConfig;
use super::sections::client::{Client, check_claims};
use super::sections::directory::Directory;
use super::sections::mfa::Known;
use super::sections::oidc::Oidc;
use super::sections::saml::Saml;

/// Turns raw structs into the configuration. `None` when even a placeholder cannot be made for
/// something; the caller refuses the result anyway when there are errors.
pub(super) fn resolve(raw: RawConfig, problems: &mut Problems) -> Option<Config> {
    let root = KeyPath::root();
    let at = |section: &str| root.key(section);

    let connectors = connector_ids(&raw, problems);
    let clients = client_ids(&raw, problems);
    check_sign_in_is_possible(&raw, problems);
    check_hosts(&raw, problems);

    let public_url = problems.public_url(&at("public_url"), raw.public_url.as_deref());
    let upstream: Vec<String> = raw
        .saml
        .iter()
        .map(|connection| connection.id())
        .chain(raw.oidc.iter().map(|connection| connection.id()))
        .flatten()
        .map(str::to_owned)
        .collect();
    let known = Known { connectors: &connectors, clients: &clients, upstream: &upstream };
    let mfa = raw.mfa.resolve(&at("mfa"), public_url.as_ref(), &known, problems);
    let password =
        raw.password.resolve(&at("password"), mfa.is_always_required_locally(), problems);

    let listen = raw.listen.resolve(&at("listen"), public_url.as_ref(), problems);
    if listen.trusted_proxies.is_empty() && raw.client.iter().any(|it| !it.hosts().is_empty()) {
        problems.warning(
            &at("listen").key("trusted_proxies"),
            "is empty, so every question of a reverse proxy at /forward-auth is refused",
            "list the addresses of the reverse proxy",
        );
    }
    let storage = raw.storage.resolve(&at("storage"), problems);
    let keys = raw.keys.resolve(&at("keys"), problems);
    let session = raw.session.resolve(&at("session"), problems);
    let throttle = raw.throttle.resolve(&at("throttle"), problems);
    let directory_ids: Vec<String> =
        raw.directory.iter().filter_map(|directory| directory.id().map(str::to_owned)).collect();
    let directories: Vec<Directory> = raw
        .directory
        .into_iter()
        .enumerate()
        .map(|(index, directory)| directory.resolve(&at("directory").index(index), problems))
        .collect();
    let saml: Vec<Saml> = raw
        .saml
        .into_iter()
        .enumerate()
        .map(|(index, connection)| {
            connection.resolve(&at("saml").index(index), &directory_ids, problems)
        })
        .collect();
    let oidc: Vec<Oidc> = raw
        .oidc
        .into_iter()
        .enumerate()
        .map(|(index, connection)| {
            connection.resolve(&at("oidc").index(index), &directory_ids, problems)
        })
        .collect();
    let home_realms = entries("directory", directories.iter().map(|one| (&*one.id, &*one.domains)))
        .chain(entries("saml", saml.iter().map(|one| (&*one.id, &*one.domains))))
        .chain(entries("oidc", oidc.iter().map(|one| (&*one.id, &*one.domains))));
    check_home_realms(home_realms, problems);
    let claims = raw.claims.resolve(&at("claims"), &known, problems);
    let clients: Vec<Client> = raw
        .client
        .into_iter()
        .enumerate()
        .map(|(index, client)| client.resolve(&at("client").index(index), &connectors, problems))
        .collect();
    let mapped = (directories.iter().flat_map(|one| one.attributes.claims.keys()))
        .chain(saml.iter().flat_map(|one| one.attributes.claims.keys()))
        .chain(oidc.iter().flat_map(|one| one.attributes.claims.keys()));
    check_claims(&clients, &mapped.map(String::as_str).collect(), &at("client"), problems);
    let login_order = raw.login.resolve(&at("login"), &connectors, problems);
    let notices = raw.notices.resolve(&at("notices"), problems);
    let admin = raw.admin.resolve(&at("admin"), problems);
    Some(Config {
        public_url: public_url?,
        listen,
        storage,
        keys,
        session,
        password,
        login_order,
        throttle,
        mfa,
        directories,
        saml,
        oidc,
        claims,
        clients,
        notices,
        admin,
    })
}

/// Ids of all connectors, `local` first; one id in two tables is an error.
fn connector_ids(raw: &RawConfig, problems: &mut Problems) -> Vec<String> {
    let tables = entries("directory", raw.directory.iter().map(|directory| directory.id()))
        .chain(entries("saml", raw.saml.iter().map(|connection| connection.id())))
        .chain(entries("oidc", raw.oidc.iter().map(|connection| connection.id())));
    let mut ids = vec![auth_core::connector::LOCAL.to_owned()];
    ids.extend(unique_ids(tables, problems));
    ids
}

fn client_ids(raw: &RawConfig, problems: &mut Problems) -> Vec<String> {
    unique_ids(entries("client", raw.client.iter().map(|client| client.id())), problems)
}

fn entries<T>(
    section: &'static str,
    tables: impl Iterator<Item = T>,
) -> impl Iterator<Item = (KeyPath, T)> {
    tables.enumerate().map(move |(index, table)| (KeyPath::root().key(section).index(index), table))
}

fn unique_ids<'a>(
    tables: impl Iterator<Item = (KeyPath, Option<&'a str>)>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut first: BTreeMap<&str, KeyPath> = BTreeMap::new();
    for (table, id) in tables {
        let Some(id) = id else { continue };
        match first.get(id) {
            Some(other) => problems.error(
                &table.key("id").named(Some(id)),
                format!("is the id of {} too", other.as_str()),
                "give each an id of its own",
            ),
            None => {
                first.insert(id, table);
            }
        }
    }
    first.into_keys().map(str::to_owned).collect()
}

/// A host belongs to one client: which groups and connectors it lets in must be clear.
fn check_hosts(raw: &RawConfig, problems: &mut Problems) {
    let mut first: BTreeMap<&str, KeyPath> = BTreeMap::new();
    for (index, client) in raw.client.iter().enumerate() {
        let table = KeyPath::root().key("client").index(index).named(client.id());
        for (index, host) in client.hosts().iter().enumerate() {
            let at = table.key("hosts").index(index);
            match first.get(host.as_str()) {
                Some(other) => problems.error(
                    &at,
                    format!("is listed at {} too", other.as_str()),
                    "list each host once",
                ),
                None => {
                    first.insert(host, at);
                }
            }
        }
    }
}

fn check_sign_in_is_possible(raw: &RawConfig, problems: &mut Problems) {
    let nobody = !raw.password.is_enabled()
        && raw.directory.is_empty()
        && raw.saml.is_empty()
        && raw.oidc.is_empty();
    let at = KeyPath::root().key("directory");
    if nobody && !problems.has_errors_at(&at) {
        problems.error(
            &KeyPath::root().key("password").key("enabled"),
            "is false and there is no [[directory]]: nobody could sign in",
            "add a [[directory]], or set it to true",
        );
    }
}

/// One mail domain leads to one connector.
fn check_home_realms<'c>(
    connectors: impl Iterator<Item = (KeyPath, (&'c str, &'c [String]))>,
    problems: &mut Problems,
) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (table, (id, domains)) in connectors {
        for domain in domains {
            if let Some(other) = first.insert(domain, id) {
                problems.error(
                    &table.key("domains").named(Some(id)),
                    format!("{domain} leads to {other} already"),
                    "name it at one connector",
                );
            }
        }
    }
}
