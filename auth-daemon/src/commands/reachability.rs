//! Whether the servers that the configuration names answer.
//!
//! The directories: a TCP connection to each server (`ldap test` goes further). OpenID providers:
//! metadata and keys. The store and its
//! key ring are looked at, nothing is changed.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::{Config, Directory, Finding, Severity, StorageBackend};

/// Tries everything; a directory of which no server answers is an error, one that lacks a server
/// a warning.
pub(crate) async fn check(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = store(&config.storage.backend).into_iter().collect();
    if findings.is_empty()
        && let Err((key, problem)) = crate::app::inspect(config).await
    {
        findings.push(Finding {
            severity: Severity::Error,
            key: key.to_owned(),
            id: None,
            variable: None,
            problem,
            repair: "mend it, or `auth-daemon serve` will refuse to start".to_owned(),
        });
    }
    for (index, directory) in config.directories.iter().enumerate() {
        findings.extend(directory_servers(index, directory).await);
    }
    for (index, connection) in config.oidc.iter().enumerate() {
        let probed = crate::app::upstream::probe(connection, config.public_url.url()).await;
        findings.extend(probed.err().map(|problem| {
            Finding {
                severity: Severity::Error,
                key: format!("oidc[{index}].issuer"),
                id: Some(connection.id.clone()),
                variable: None,
                problem,
                repair: "mend the issuer, the firewall or ca_file; it must have metadata below \
                     /.well-known/openid-configuration"
                    .to_owned(),
            }
        }));
    }
    findings
}

async fn directory_servers(index: usize, directory: &Directory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, server) in directory.servers.iter().enumerate() {
        if server.url.scheme() == "srv" {
            // Whom the DNS names is found out by `ldap test`.
            continue;
        }
        let host = server.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let default_port = if server.url.scheme() == "ldaps" { 636 } else { 389 };
        let port = server.url.port().unwrap_or(default_port);
        if let Err(error) = connect(host, port, directory.connect_timeout).await {
            findings.push(Finding {
                severity: Severity::Warning,
                key: format!("directory[{index}].servers[{number}]"),
                id: Some(directory.id.clone()),
                variable: None,
                problem: format!("{host}:{port} does not answer: {error}"),
                repair: "start the server, or mend its name, its port or the firewall".to_owned(),
            });
        }
    }
    if findings.len() == directory.servers.len() {
        for finding in &mut findings {
            finding.severity = Severity::Error;
        }
    }
    findings
}

async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<()> {
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn store(backend: &StorageBackend) -> Option<Finding> {
    let (severity, problem, repair) = match backend {
        StorageBackend::SqliteMemory => return None,
        StorageBackend::SqliteFile(file) => {
            let folder = match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            if folder.is_dir() {
                return None;
            }
            let problem = format!("the folder {} does not exist", folder.display());
            (Severity::Error, problem, "create it for the daemon's user")
        }
        StorageBackend::PostgreSql => return None,
    };
    Some(Finding {
        severity,
        key: "storage.url".to_owned(),
        id: None,
        variable: None,
        problem,
        repair: repair.to_owned(),
    })
}
