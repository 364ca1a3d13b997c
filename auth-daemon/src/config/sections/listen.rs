//! `[listen]`: where the daemon listens, and whose forwarded headers it believes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::PublicUrl;

/// Where the daemon listens, and whose forwarded headers it believes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawListen {
    /// Address of the public listener: sign-in pages, the OpenID provider and the sessions API.
    /// Port 0 takes a free port and logs which.
    public: String,
    /// Address of the administration listener: health, metrics and the administration API. Keep
    /// it off the public network.
    admin: String,
    /// Certificate of the public listener; without it a reverse proxy ends TLS.
    tls: Option<RawTls>,
    /// Networks of the reverse proxies whose `X-Forwarded-For` and `Forwarded` headers are
    /// believed. Empty: nobody's, and the peer address is the client's.
    trusted_proxies: Vec<String>,
}

/// Certificate of the public listener; without it a reverse proxy ends TLS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawTls {
    /// PEM file with the certificate and its chain. Read again when it changes.
    #[schemars(extend("x-required" = true))]
    certificate_file: Option<PathBuf>,
    /// PEM file with the private key, readable for the daemon's user alone.
    #[schemars(extend("x-required" = true))]
    key_file: Option<PathBuf>,
}

impl Default for RawListen {
    fn default() -> Self {
        Self {
            public: "127.0.0.1:8080".to_owned(),
            admin: "127.0.0.1:8081".to_owned(),
            tls: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Where the daemon listens.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    /// The public listener.
    pub(crate) public: SocketAddr,
    /// The administration listener.
    pub(crate) admin: SocketAddr,
    /// TLS of the public listener, where it has any.
    pub(crate) tls: Option<Tls>,
    /// Networks whose forwarded headers are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// Certificate and key of the public listener, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Certificate and chain.
    pub(crate) certificate_file: PathBuf,
    /// Private key.
    pub(crate) key_file: PathBuf,
}

impl RawListen {
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        public_url: Option<&PublicUrl>,
        problems: &mut Problems,
    ) -> Listen {
        let public = problems.listen_address(&at.key("public"), &self.public);
        let admin = problems.listen_address(&at.key("admin"), &self.admin);
        if let (Some(public), Some(admin)) = (public, admin)
            && public == admin
            && public.port() != 0
        {
            problems.error(
                &at.key("admin"),
                "is the address of the public listener too",
                "give the administration listener a port of its own",
            );
        }
        if let Some(admin) = admin.filter(|admin| !admin.ip().is_loopback()) {
            problems.warning(
                &at.key("admin"),
                format!("{admin} can be reached from the network, without TLS"),
                "listen on 127.0.0.1, or let a firewall stand in front",
            );
        }
        let tls = self.tls.map(|tls| tls.resolve(&at.key("tls"), problems));
        let trusted_proxies = trusted_proxies(&self.trusted_proxies, at, problems);
        if self.trusted_proxies.is_empty()
            && tls.is_none()
            && public_url.is_some_and(PublicUrl::is_https)
        {
            problems.warning(
                &at.key("trusted_proxies"),
                "is empty, but a reverse proxy has to end TLS: everybody would have its address",
                "list the proxy, e.g. trusted_proxies = [\"127.0.0.1\"], or set listen.tls",
            );
        }
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Listen {
            public: public.unwrap_or(nowhere),
            admin: admin.unwrap_or(nowhere),
            tls,
            trusted_proxies,
        }
    }
}

impl RawTls {
    fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Tls {
        match &self.certificate_file {
            Some(file) => problems.readable_file(&at.key("certificate_file"), file),
            None => problems.missing(&at.key("certificate_file"), "give a PEM file"),
        }
        match &self.key_file {
            Some(file) => problems.private_file(&at.key("key_file"), file),
            None => problems.missing(&at.key("key_file"), "give a PEM file"),
        }
        Tls {
            certificate_file: self.certificate_file.unwrap_or_default(),
            key_file: self.key_file.unwrap_or_default(),
        }
    }
}

fn trusted_proxies(texts: &[String], at: &KeyPath, problems: &mut Problems) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let at = at.key("trusted_proxies").index(index);
        let Some(network) = problems.network(&at, text) else { continue };
        if network.prefix_len() == 0 {
            problems.error(
                &at,
                "names every address: anybody could claim to be anybody",
                "list the addresses of the proxies",
            );
        } else {
            networks.push(network);
        }
    }
    networks
}
