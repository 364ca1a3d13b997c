//! The configuration of a daemon under test, written from the smallest that runs.

use anyhow::{Result, bail};
use reqwest::Url;
use toml::{Table, Value as Setting};

use super::{Daemon, Files, Output, serve};
use crate::harness::port;
use crate::harness::slapd::Slapd;

const ATTEMPTS: usize = 5;

/// A configuration that is still being written.
#[derive(Debug)]
pub struct Builder {
    settings: Table,
    environment: Vec<(String, String)>,
    files: Vec<(String, String)>,
    error: Option<anyhow::Error>,
}

impl Builder {
    pub(super) fn smallest() -> Self {
        let settings = toml::toml! {
            [listen]
            admin = "127.0.0.1:0"
            [storage]
            url = "sqlite://auth.db"
            [keys]
            ring_file = "auth-daemon.keys"
            [mfa]
            policy = "off"
        };
        Self { settings, environment: Vec::new(), files: Vec::new(), error: None }
    }

    /// Sets one value by its path, for example `("session.idle_timeout", "30m")`.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Setting>) -> Self {
        let mut value = value.into();
        for key in path.rsplit('.') {
            let mut table = Table::new();
            table.insert(key.to_owned(), value);
            value = Setting::Table(table);
        }
        if let Setting::Table(table) = value {
            merge(&mut self.settings, table);
        }
        self
    }

    /// Adds TOML text: tables are merged, arrays of tables (`[[directory]]`) are appended.
    #[must_use]
    pub fn toml(mut self, text: &str) -> Self {
        match text.parse::<Table>() {
            Ok(table) => merge(&mut self.settings, table),
            Err(error) => {
                self.error = Some(anyhow::Error::from(error).context("configuration text"))
            }
        }
        self
    }

    /// Adds a confidential `oidc` client.
    #[must_use]
    pub fn client(self, id: &str, secret: &str, redirect_uris: &[&str]) -> Self {
        let uris = redirect_uris.iter().map(|uri| Setting::from(*uri)).collect::<Vec<_>>();
        let mut client = Table::new();
        client.insert("id".into(), id.into());
        client.insert("kind".into(), "oidc".into());
        client.insert("secret".into(), secret.into());
        client.insert("redirect_uris".into(), Setting::Array(uris));
        self.array_entry("client", client)
    }

    /// Adds a public `oidc` client: PKCE instead of a secret.
    #[must_use]
    pub fn public_client(self, id: &str, redirect_uris: &[&str]) -> Self {
        let uris = redirect_uris.iter().map(|uri| Setting::from(*uri)).collect::<Vec<_>>();
        let mut client = Table::new();
        client.insert("id".into(), id.into());
        client.insert("kind".into(), "oidc".into());
        client.insert("public".into(), true.into());
        client.insert("redirect_uris".into(), Setting::Array(uris));
        self.array_entry("client", client)
    }

    /// Adds the people of a throw-away `slapd` as the directory `id`, over verified TLS.
    #[must_use]
    pub fn directory(self, id: &str, slapd: &Slapd) -> Self {
        let ca_file = slapd.ca_file().display().to_string();
        let mut directory = Table::new();
        directory.insert("id".into(), id.into());
        directory.insert("preset".into(), "openldap".into());
        directory.insert("servers".into(), Setting::Array(vec![slapd.ldaps_url().into()]));
        directory.insert("ca_file".into(), ca_file.into());
        directory.insert("bind_dn".into(), slapd.bind_dn().into());
        directory.insert("bind_password".into(), slapd.bind_password().into());
        directory.insert("base_dn".into(), slapd.base_dn().into());
        self.array_entry("directory", directory)
    }

    /// Adds one `[[name]]` table.
    #[must_use]
    pub fn array_entry(mut self, name: &str, entry: Table) -> Self {
        let mut table = Table::new();
        table.insert(name.into(), Setting::Array(vec![Setting::Table(entry)]));
        merge(&mut self.settings, table);
        self
    }

    /// Puts a file into the daemon's folder; the configuration names it by `name`.
    #[must_use]
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// Sets an environment variable of the daemon and its command line.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Writes the configuration and starts the daemon; returns when both listeners are open.
    ///
    /// # Errors
    /// The program is not built, or ends before it listens; the message holds its log.
    pub async fn start(mut self) -> Result<Daemon> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        for attempt in 1.. {
            let port = port::free()?;
            let public_url = Url::parse(&format!("http://localhost:{port}"))?;
            let files = self.write(port)?;
            match serve(&files).await {
                Ok((process, listeners)) => {
                    return Ok(Daemon {
                        process: Some(process),
                        files,
                        public_url,
                        listeners,
                        earlier_lines: Vec::new(),
                    });
                }
                Err(error) if attempt < ATTEMPTS && port_was_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        bail!("no port was free")
    }

    /// Writes the configuration and runs one command on it, without a daemon beside it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub async fn run(mut self, arguments: &[&str]) -> Result<Output> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.write(port::free()?)?.run(arguments, None).await
    }

    fn write(&self, port: u16) -> Result<Files> {
        let mut settings = self.settings.clone();
        let public_url = format!("http://localhost:{port}");
        settings.entry("public_url").or_insert(public_url.into());
        if let Some(Setting::Table(listen)) = settings.get_mut("listen") {
            listen.entry("public").or_insert(format!("127.0.0.1:{port}").into());
        }
        let folder = tempfile::Builder::new().prefix("auth-daemon-").tempdir()?;
        for (name, content) in &self.files {
            std::fs::write(folder.path().join(name), content)?;
        }
        let config = folder.path().join("auth-daemon.toml");
        std::fs::write(&config, toml::to_string(&settings)?)?;
        Ok(Files { folder, config, environment: self.environment.clone() })
    }
}

fn port_was_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_ascii_lowercase();
    text.contains("address already in use") || text.contains("address in use")
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Setting::Table(old)), Setting::Table(new)) => merge(old, new),
            (Some(Setting::Array(old)), Setting::Array(new))
                if new.iter().chain(old.iter()).all(Setting::is_table) =>
            {
                old.extend(new);
            }
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_merged_and_tables_of_arrays_appended() {
        let builder = Daemon::builder()
            .set("session.idle_timeout", "30m")
            .set("mfa.policy", "required")
            .client("one", "s", &["http://localhost/a"])
            .toml("[[client]]\nid = \"two\"\n[session]\nabsolute_timeout = \"1d\"");
        let folder = builder.write(1).unwrap();
        let written: Table = std::fs::read_to_string(&folder.config).unwrap().parse().unwrap();
        assert_eq!(written["public_url"].as_str(), Some("http://localhost:1"));
        assert_eq!(written["listen"]["public"].as_str(), Some("127.0.0.1:1"));
        assert_eq!(written["mfa"]["policy"].as_str(), Some("required"));
        assert_eq!(written["client"].as_array().unwrap().len(), 2);
        assert_eq!(written["session"].as_table().unwrap().len(), 2);
    }
}
