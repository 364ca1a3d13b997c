//! Checks of the settings, before anything is connected: every refusal names the setting and how
//! to mend it.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::directory::servers::SRV_SCHEME;
use super::filter;
use super::preset::Preset;
use super::settings::LdapSettings;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("directory {directory:?}: {setting}: {problem}")]
pub struct LdapConfigError {
    /// Id of the directory.
    pub directory: String,
    /// Name of the setting, e.g. `servers`.
    pub setting: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

/// Checks all of `settings` that needs no file.
pub(super) fn check(settings: &LdapSettings) -> Result<(), LdapConfigError> {
    check_all(settings).map_err(|(setting, problem)| error(settings, &setting, &problem))
}

/// An error about one setting.
pub(super) fn error(settings: &LdapSettings, setting: &str, problem: &str) -> LdapConfigError {
    LdapConfigError {
        directory: settings.id.clone(),
        setting: setting.to_owned(),
        problem: problem.to_owned(),
    }
}

type Problem = (String, String);

fn problem<T>(setting: impl Into<String>, text: impl Into<String>) -> Result<T, Problem> {
    Err((setting.into(), text.into()))
}

fn check_all(settings: &LdapSettings) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if settings.id.is_empty() || settings.id.len() > 32 || !settings.id.chars().all(plain) {
        return problem("id", "use 1 to 32 of a-z, 0-9 and -");
    }
    if settings.servers.is_empty() {
        return problem("servers", "give at least one, e.g. ldaps://dc1.example.com");
    }
    for server in &settings.servers {
        check_server(server, settings.starttls)?;
    }
    check_credentials(settings)?;
    check_search(settings)?;
    check_limits(settings)?;
    if settings.client_certificate_file.is_some() != settings.client_key_file.is_some() {
        return problem(
            "client_certificate_file",
            "client_certificate_file and client_key_file belong together: give both or neither",
        );
    }
    Ok(())
}

fn check_server(server: &Url, starttls: bool) -> Result<(), Problem> {
    let url = server.as_str();
    let secure = match server.scheme() {
        "ldaps" if starttls => {
            return problem(
                "starttls",
                format!("{url} is TLS already: use ldap:// with starttls, or take starttls out"),
            );
        }
        "ldaps" => true,
        "ldap" => starttls,
        SRV_SCHEME => true,
        _ => return problem("servers", format!("{url}: the scheme must be ldaps, ldap or srv")),
    };
    let Some(host) = server.host().filter(|host| host.to_string() != "") else {
        return problem("servers", format!("{url}: names no host"));
    };
    if !server.username().is_empty()
        || server.password().is_some()
        || !matches!(server.path(), "" | "/")
        || server.query().is_some()
    {
        return problem(
            "servers",
            format!("{url}: only scheme, host and port belong here; see base_dn and bind_dn"),
        );
    }
    if server.scheme() == SRV_SCHEME && (server.port().is_some() || is_address(&host)) {
        return problem("servers", format!("{url}: give a domain alone, e.g. srv://example.com"));
    }
    if secure && matches!(host, Host::Ipv6(_)) {
        return problem(
            "servers",
            format!(
                "{url}: a certificate cannot be checked against an IPv6 literal here; use a host name"
            ),
        );
    }
    if !secure && !is_loopback(&host.to_string()) {
        return problem(
            "servers",
            format!("{url} would send passwords in clear: use ldaps:// or set starttls = true"),
        );
    }
    Ok(())
}

fn is_address(host: &Host<&str>) -> bool {
    !matches!(host, Host::Domain(name) if name.parse::<IpAddr>().is_err())
}

/// Whether a plain connection to `host` stays on this machine.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn check_credentials(settings: &LdapSettings) -> Result<(), Problem> {
    match (&settings.bind_dn, &settings.bind_password) {
        (Some(dn), _) if dn.trim().is_empty() => {
            problem("bind_dn", "is empty: name the service account, or leave it out")
        }
        (Some(_), Some(password)) if password.expose().is_empty() => problem(
            "bind_password",
            "is empty: a bind without a password counts as anonymous (RFC 4513 section 5.1.2)",
        ),
        (Some(_), None) => problem("bind_password", "is missing: bind_dn needs it"),
        (None, Some(_)) => problem("bind_dn", "is missing: bind_password needs it"),
        _ => Ok(()),
    }
}

fn check_search(settings: &LdapSettings) -> Result<(), Problem> {
    if settings.base_dn.is_empty() && settings.preset != Preset::ActiveDirectory {
        return problem("base_dn", "is empty: name where the people are, e.g. dc=example,dc=com");
    }
    let filters = [
        ("user_filter", Some(&settings.user_filter)),
        ("guest_filter", settings.guest_filter.as_ref()),
        ("admin_filter", settings.admin_filter.as_ref()),
        ("groups.filter", Some(&settings.groups.filter)),
    ];
    for (setting, value) in filters {
        if value.is_some_and(|value| !filter::is_valid(value)) {
            return problem(setting, "is no LDAP filter (RFC 4515), e.g. (objectClass=person)");
        }
    }
    if settings.login_attributes.is_empty() && settings.user_dn_template.is_none() {
        return problem("login_attributes", "give at least one, e.g. [\"uid\"]");
    }
    let logins =
        settings.login_attributes.iter().map(|a| ("login_attributes".to_owned(), a.as_str()));
    let groups = settings.groups.named_attributes();
    for (setting, name) in logins.chain(settings.attributes.named()).chain(groups) {
        if !filter::is_attribute(name) {
            return problem(setting, format!("{name:?} is no attribute name"));
        }
    }
    if let Some(template) = &settings.user_dn_template
        && template.matches("{username}").count() != 1
    {
        return problem("user_dn_template", "must hold {username} once");
    }
    Ok(())
}

fn check_limits(settings: &LdapSettings) -> Result<(), Problem> {
    let times = [
        ("connect_timeout", settings.connect_timeout),
        ("operation_timeout", settings.operation_timeout),
        ("total_timeout", settings.total_timeout),
    ];
    for (setting, time) in times {
        if time < Duration::from_millis(10) || time > Duration::from_secs(600) {
            return problem(setting, "must be from 10 milliseconds to 10 minutes");
        }
    }
    if !(1..=1024).contains(&settings.pool_size) {
        return problem("pool_size", "must be from 1 to 1024");
    }
    if !(1..=100_000).contains(&settings.page_size) {
        return problem("page_size", "must be from 1 to 100000");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn settings(server: &str) -> LdapSettings {
        let servers = vec![Url::parse(server).unwrap()];
        LdapSettings::new("corp", Preset::OpenLdap, servers, "dc=example,dc=org")
    }

    fn check_case(server: &str, change: impl Fn(&mut LdapSettings), setting: Option<&str>) {
        let mut settings = settings(server);
        change(&mut settings);
        let found = check(&settings).err();
        assert_eq!(found.as_ref().map(|e| e.setting.as_str()), setting, "{server} {found:?}");
    }

    #[test]
    fn plain_connections_stay_on_the_machine() {
        for good in ["ldap://127.0.0.1:389", "ldap://localhost", "ldap://[::1]:389", "ldaps://x"] {
            check_case(good, |_| {}, None);
        }
        for bad in ["ldap://dc1.example.com", "ldap://10.0.0.1", "ldap://localhost.example.com"] {
            check_case(bad, |_| {}, Some("servers"));
            check_case(bad, |s| s.starttls = true, None);
        }
    }

    #[test]
    fn servers_that_cannot_be_meant() {
        for bad in [
            "http://x",
            "ldapi://%2Frun",
            "ldaps://[::1]",
            "ldaps://x/dc=example",
            "ldaps://u:p@x",
            "ldap:///",
            "ldaps://x?a",
            "srv://example.com:389",
            "srv://10.0.0.1",
            "srv://[::1]",
            "srv://",
        ] {
            check_case(bad, |_| {}, Some("servers"));
        }
        check_case("srv://example.com", |_| {}, None);
        check_case("srv://example.com", |s| s.starttls = true, None);
        check_case("ldaps://x", |s| s.starttls = true, Some("starttls"));
        check_case("ldaps://x", |s| s.servers.clear(), Some("servers"));
    }

    #[test]
    fn credentials_come_in_pairs() {
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        let dn = || Some("cn=reader".to_owned());
        check_case("ldaps://x", |s| s.bind_dn = dn(), Some("bind_password"));
        check_case("ldaps://x", |s| s.bind_password = secret("x"), Some("bind_dn"));
        check_case(
            "ldaps://x",
            |s| (s.bind_dn, s.bind_password) = (dn(), secret("")),
            Some("bind_password"),
        );
        check_case("ldaps://x", |s| (s.bind_dn, s.bind_password) = (dn(), secret("x")), None);
        check_case(
            "ldaps://x",
            |s| s.client_key_file = Some("k".into()),
            Some("client_certificate_file"),
        );
    }

    #[test]
    fn the_rest_is_checked_too() {
        let bad = "(uid=*".to_owned();
        check_case("ldaps://x", |s| s.id = "Corp".into(), Some("id"));
        check_case("ldaps://x", |s| s.base_dn = String::new(), Some("base_dn"));
        check_case("ldaps://x", |s| s.user_filter = bad.clone(), Some("user_filter"));
        check_case("ldaps://x", |s| s.admin_filter = Some(bad.clone()), Some("admin_filter"));
        check_case(
            "ldaps://x",
            |s| s.login_attributes = vec!["a=b".into()],
            Some("login_attributes"),
        );
        check_case("ldaps://x", |s| s.login_attributes.clear(), Some("login_attributes"));
        check_case("ldaps://x", |s| s.attributes.id = "a)".into(), Some("attributes.id"));
        check_case(
            "ldaps://x",
            |s| s.user_dn_template = Some("uid=x".into()),
            Some("user_dn_template"),
        );
        check_case("ldaps://x", |s| s.pool_size = 0, Some("pool_size"));
        check_case("ldaps://x", |s| s.page_size = 0, Some("page_size"));
        check_case("ldaps://x", |s| s.connect_timeout = Duration::ZERO, Some("connect_timeout"));
    }
}
