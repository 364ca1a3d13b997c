//! Where a PostgreSQL URL leads and whether the way there is safe.
//!
//! libpq's URL form is taken, several hosts included. Over a network the connection is always
//! encrypted and the server's certificate and name are verified, as with `sslmode=verify-full`;
//! a URL that asks for less is refused. A loopback address or a Unix socket needs no TLS, and uses
//! it (verified) only when the URL asks for it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auth_core::store::StoreError;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use super::tls;

/// A connection attempt to one address may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Sent data may stay unacknowledged so long before the connection counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Where Debian's and Fedora's PostgreSQL has its socket; for a URL without a host.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

/// A server to connect to.
#[derive(Clone)]
pub(super) struct Target {
    /// Address, credentials and database.
    pub(super) config: Config,
    /// How TLS is spoken, when it is.
    pub(super) tls: MakeRustlsConnect,
}

impl Target {
    /// Judges `url`, the value of `setting`. With `writable`, only a server that takes writes is
    /// good when the URL names several.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] names the setting and how to mend it.
    pub(super) fn parse(
        url: &str,
        setting: &'static str,
        ca_file: Option<&Path>,
        writable: bool,
    ) -> Result<Self, StoreError> {
        let Url { rest, asked, root_file, attributes } = Url::split(url, setting)?;
        let mut config: Config = rest.parse().map_err(|error| StoreError::Misconfigured {
            setting,
            message: format!("is no PostgreSQL URL: {}", super::error::chain(&error)),
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path(SOCKET_FOLDER);
        }
        let encrypted = match (first_remote(&config), asked) {
            (Some(host), Asked::Plain) => return Err(refuse_plain(setting, &host)),
            (Some(_), _) | (None, Asked::Verified) => true,
            (None, Asked::Nothing | Asked::Plain) => false,
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        match attributes {
            Some(attributes) => config.target_session_attrs(attributes),
            None if writable && config.get_hosts().len() > 1 => {
                config.target_session_attrs(TargetSessionAttrs::ReadWrite)
            }
            None => &mut config,
        };
        bound_waiting(&mut config);
        let tls = if encrypted {
            tls::verifying(ca_file.or(root_file.as_deref()))?
        } else {
            tls::unused()?
        };
        Ok(Self { config, tls })
    }
}

/// What the URL asks of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Plain,
    Verified,
}

/// A URL with the parameters taken out whose meaning is our own.
struct Url {
    rest: String,
    asked: Asked,
    root_file: Option<PathBuf>,
    attributes: Option<TargetSessionAttrs>,
}

impl Url {
    fn split(url: &str, setting: &'static str) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut found = Self {
            rest: base.to_owned(),
            asked: Asked::Nothing,
            root_file: None,
            attributes: None,
        };
        let mut kept = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => found.asked = asked(value, setting)?,
                "sslrootcert" if value != "system" => {
                    found.root_file = Some(PathBuf::from(decoded(value)));
                }
                "sslrootcert" => {}
                "target_session_attrs" => found.attributes = Some(attributes(value, setting)?),
                _ => kept.push(parameter),
            }
        }
        if !kept.is_empty() {
            found.rest.push('?');
            found.rest.push_str(&kept.join("&"));
        }
        Ok(found)
    }
}

fn asked(value: &str, setting: &'static str) -> Result<Asked, StoreError> {
    match value {
        "disable" | "allow" | "prefer" => Ok(Asked::Plain),
        "require" | "verify-ca" | "verify-full" => Ok(Asked::Verified),
        _ => Err(StoreError::Misconfigured {
            setting,
            message: "has an unknown sslmode; write sslmode=verify-full".to_owned(),
        }),
    }
}

fn attributes(value: &str, setting: &'static str) -> Result<TargetSessionAttrs, StoreError> {
    match value {
        "any" => Ok(TargetSessionAttrs::Any),
        "read-write" | "primary" => Ok(TargetSessionAttrs::ReadWrite),
        "read-only" | "standby" => Ok(TargetSessionAttrs::ReadOnly),
        _ => Err(StoreError::Misconfigured {
            setting,
            message: "has a target_session_attrs that is not known; write any, read-write, \
                      read-only, primary or standby"
                .to_owned(),
        }),
    }
}

/// A plus sign is a plus sign in libpq's URLs.
fn decoded(value: &str) -> String {
    let query = value.replace('+', "%2B");
    form_urlencoded::parse(format!("v={query}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The first host that is reached over a network.
fn first_remote(config: &Config) -> Option<String> {
    // Where both are given, the address is what is connected to.
    if !config.get_hostaddrs().is_empty() {
        let remote = config.get_hostaddrs().iter().find(|address| !address.is_loopback());
        return remote.map(ToString::to_string);
    }
    config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) if !is_loopback(name) => Some(name.clone()),
        Host::Tcp(_) | Host::Unix(_) => None,
    })
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn refuse_plain(setting: &'static str, host: &str) -> StoreError {
    StoreError::Misconfigured {
        setting,
        message: format!(
            "leads to {host} over a network without verified TLS: remove sslmode from the URL or \
             write sslmode=verify-full, and set storage.ca_file if the server's certificate is \
             from an authority of your own"
        ),
    }
}

/// No wait for a silent network is endless.
fn bound_waiting(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    config.keepalives_idle(config.get_keepalives_idle().min(UNACKNOWLEDGED));
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(3));
    }
    if config.get_application_name().is_none() {
        config.application_name("auth-daemon");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<SslMode, String> {
        match Target::parse(url, "storage.url", None, true) {
            Ok(target) => Ok(target.config.get_ssl_mode()),
            Err(StoreError::Misconfigured { setting, message }) => {
                Err(format!("{setting}: {message}"))
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_remote_host_is_always_verified() {
        for url in [
            "postgres://auth@db.example.org/auth",
            "postgres://auth@db.example.org/auth?sslmode=require",
            "postgresql://auth@db.example.org/auth?sslmode=verify-ca",
            "postgresql://auth@10.0.0.1,127.0.0.1/auth?sslmode=verify-full",
            "postgresql://auth@localhost/auth?hostaddr=10.0.0.1",
        ] {
            assert_eq!(mode(url), Ok(SslMode::Require), "{url}");
        }
    }

    #[test]
    fn a_remote_host_without_tls_is_refused_with_the_repair() {
        for url in [
            "postgres://auth@db.example.org/auth?sslmode=disable",
            "postgres://auth:secret@10.0.0.1/auth?sslmode=prefer",
            "postgres://auth@127.0.0.1,db.example.org/auth?sslmode=allow",
            "postgres://auth@localhost/auth?hostaddr=10.0.0.1&sslmode=disable",
        ] {
            let message = mode(url).unwrap_err();
            assert!(message.contains("storage.url"), "{message}");
            assert!(message.contains("sslmode=verify-full"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn loopback_and_sockets_need_no_tls() {
        for url in [
            "postgres://auth@localhost/auth",
            "postgres://auth@127.0.0.1:5433,[::1]/auth?sslmode=disable",
            "postgres://auth@%2Fvar%2Frun%2Fpostgresql/auth",
            "postgres:///auth?host=/var/run/postgresql&user=auth",
            "postgres:///auth",
        ] {
            assert_eq!(mode(url), Ok(SslMode::Disable), "{url}");
        }
        let asked = "postgres://auth@localhost/auth?sslmode=verify-full";
        assert_eq!(mode(asked), Ok(SslMode::Require));
    }

    #[test]
    fn of_several_hosts_the_writable_one_is_taken() {
        let several = "postgres://auth@a.example.org:5432,b.example.org:5433/auth";
        let target = Target::parse(several, "storage.url", None, true).unwrap();
        assert_eq!(target.config.get_hosts().len(), 2);
        assert_eq!(target.config.get_ports(), [5432, 5433]);
        assert_eq!(target.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        let replica = Target::parse(several, "storage.read_url", None, false).unwrap();
        assert_eq!(replica.config.get_target_session_attrs(), TargetSessionAttrs::Any);
        let asked = format!("{several}?target_session_attrs=standby&application_name=x");
        let standby = Target::parse(&asked, "storage.read_url", None, false).unwrap();
        assert_eq!(standby.config.get_target_session_attrs(), TargetSessionAttrs::ReadOnly);
        assert_eq!(standby.config.get_application_name(), Some("x"));
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let message = mode("postgres://auth@localhost/auth?colour=red").unwrap_err();
        assert!(message.contains("colour"), "{message}");
        assert!(mode("postgres://auth@localhost/auth?sslmode=maybe").is_err());
        assert!(mode("postgres://auth@localhost/auth?target_session_attrs=x").is_err());
    }

    #[test]
    fn a_missing_certificate_file_is_named() {
        let url = "postgres://auth@db.example.org/auth?sslrootcert=/nowhere/a%20b.pem";
        assert!(mode(url).unwrap_err().contains("/nowhere/a b.pem"));
    }
}
