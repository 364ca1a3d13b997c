//! nginx in front of a site that knows no sign-in, and that site: it says which headers reached
//! it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::http::HeaderMap;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::process::Process;

const START: Duration = Duration::from_secs(15);

/// A running nginx; dropping it kills it.
#[derive(Debug)]
pub struct Nginx {
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx with this content of its `http` block; returns when it listens on `ports`.
    ///
    /// # Errors
    /// It is not installed, or refuses the configuration.
    pub async fn start(http: &str, listens: &[(Ipv4Addr, u16)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("auth-nginx-").tempdir()?;
        std::fs::write(folder.path().join("nginx.conf"), configuration(folder.path(), http))?;
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(folder.path());
        command.args(["-c", "nginx.conf"]);
        let mut process = Process::start("nginx", command).context("nginx (Debian package)")?;
        let deadline = Instant::now() + START;
        for listen in listens {
            while TcpStream::connect(listen).await.is_err() {
                if let Some(status) = process.try_exit()? {
                    bail!("nginx ended with {status}:\n{}", process.tail());
                }
                if Instant::now() >= deadline {
                    bail!("nginx does not listen on {listen:?}:\n{}", process.tail());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(Self { _process: process, _folder: folder })
    }
}

fn configuration(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n\
         access_log off;\nclient_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n{http}\n}}\n"
    )
}

/// A site without sign-in of its own.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its port on 127.0.0.1.
    pub port: u16,
    requests: Arc<AtomicUsize>,
}

impl Site {
    /// Starts it; it ends with the test.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let site = Self { port: listener.local_addr()?.port(), requests: Arc::default() };
        let requests = Arc::clone(&site.requests);
        let router = Router::new().fallback(move |headers: HeaderMap| {
            requests.fetch_add(1, Ordering::SeqCst);
            async move { axum::Json(told(&headers)) }
        });
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(site)
    }

    /// How many requests reached it.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The headers by name; several of one name are joined by a bar.
fn told(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        told.entry(name.to_string())
            .and_modify(|known| {
                known.push('|');
                known.push_str(&value);
            })
            .or_insert(value);
    }
    told
}
