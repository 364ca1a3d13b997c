//! A scripted LDAP server for what no real one here plays: Active Directory's limits, faults in
//! the middle of an answer, malformed messages. It reads requests and sends what a script says,
//! message by message; the encoding (RFC 4511, a little BER) is done here by hand, so that it can
//! be wrong on purpose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// OID of the paging control (RFC 2696).
const PAGING: &str = "1.2.840.113556.1.4.319";

/// A request as far as a script looks at it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    id: i64,
    /// Number of this request on the whole server, from 1.
    pub number: usize,
    /// What is asked.
    pub operation: Operation,
    /// Page size and cookie, when pages are asked for.
    pub paging: Option<(i64, Vec<u8>)>,
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// A bind.
    Bind {
        /// Name.
        dn: String,
        /// Password.
        password: String,
    },
    /// A search.
    Search {
        /// Base.
        base: String,
        /// The filter as it was sent, with what is no text replaced.
        filter: String,
        /// Attributes.
        attributes: Vec<String>,
    },
    /// Anything else.
    #[default]
    Other,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An entry, values as bytes.
    Entry(String, Vec<(String, Vec<Vec<u8>>)>),
    /// References to other servers.
    Reference(Vec<String>),
    /// The end of a search: result code, text, and the cookie if it is a page.
    Done(u8, String, Option<Vec<u8>>),
    /// The end of a bind: result code and text.
    Bound(u8, String),
    /// These bytes.
    Raw(Vec<u8>),
    /// Nothing for a while.
    Wait(Duration),
    /// Nothing any more, with the connection open.
    Hang,
    /// The end of the connection.
    Close,
}

impl Reply {
    /// An entry with text values.
    #[must_use]
    pub fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let attributes = attributes.iter().map(|(name, values)| {
            let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            ((*name).to_owned(), values)
        });
        Self::Entry(dn.to_owned(), attributes.collect())
    }

    /// A good end without pages.
    #[must_use]
    pub fn done() -> Self {
        Self::Done(0, String::new(), None)
    }
}

impl Request {
    /// Whether it is a search that asks for this attribute.
    #[must_use]
    pub fn asks_for(&self, attribute: &str) -> bool {
        matches!(&self.operation, Operation::Search { attributes, .. }
            if attributes.iter().any(|name| name.eq_ignore_ascii_case(attribute)))
    }

    /// The number of the page that is asked for, from 0: a cookie of this server is a number.
    #[must_use]
    pub fn page(&self) -> usize {
        let cookie = self.paging.as_ref().map(|(_, cookie)| String::from_utf8_lossy(cookie));
        cookie.and_then(|cookie| cookie.parse().ok()).unwrap_or(0)
    }
}

/// A running server; it ends when the value is dropped.
#[derive(Debug)]
pub struct FakeLdap {
    url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl FakeLdap {
    /// Starts one on a free port of the loopback address; `script` answers each request.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(
        script: impl Fn(&Request) -> Vec<Reply> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding a port")?;
        let url = format!("ldap://{}", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&seen));
        let count = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            // Ends with the task; then all connections end, too.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, count) =
                    (Arc::clone(&script), Arc::clone(&log), Arc::clone(&count));
                connections.spawn(async move {
                    let _ = serve(stream, script.as_ref(), &log, &count).await;
                });
            }
        });
        Ok(Self { url, seen, task })
    }

    /// `ldap://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }
}

impl Drop for FakeLdap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(impl Fn(&Request) -> Vec<Reply> + Send + Sync),
    log: &Mutex<Vec<Request>>,
    count: &AtomicUsize,
) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let message = loop {
            if let Some((_, content, rest)) = element(&buffer) {
                let (content, rest) = (content.to_vec(), rest.to_vec());
                buffer = rest;
                break content;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let mut request = parse(&message).context("a request that cannot be read")?;
        request.number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(mut log) = log.lock() {
            log.push(request.clone());
        }
        for reply in script(&request) {
            let bytes = match reply {
                Reply::Wait(time) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Reply::Hang => std::future::pending::<Vec<u8>>().await,
                Reply::Close => return Ok(()),
                Reply::Raw(bytes) => bytes,
                reply => message_of(request.id, &reply),
            };
            stream.write_all(&bytes).await?;
        }
    }
}

/// An element of BER.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.extend(u8::try_from(short)),
        long => {
            let bytes = long.to_be_bytes();
            let bytes: Vec<u8> = bytes.into_iter().skip_while(|&byte| byte == 0).collect();
            out.extend(u8::try_from(bytes.len()).map(|length| 0x80 | length));
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

fn octets(value: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(0x04, value.as_ref())
}

fn result(code: u8, text: &str) -> Vec<u8> {
    [tlv(0x0a, &[code]), octets(""), octets(text)].concat()
}

fn message_of(id: i64, reply: &Reply) -> Vec<u8> {
    let mut controls = Vec::new();
    let operation = match reply {
        Reply::Entry(dn, attributes) => {
            let attributes: Vec<u8> = attributes
                .iter()
                .flat_map(|(name, values)| {
                    let values: Vec<u8> = values.iter().flat_map(octets).collect();
                    tlv(0x30, &[octets(name), tlv(0x31, &values)].concat())
                })
                .collect();
            tlv(0x64, &[octets(dn), tlv(0x30, &attributes)].concat())
        }
        Reply::Reference(urls) => tlv(0x73, &urls.iter().flat_map(octets).collect::<Vec<u8>>()),
        Reply::Done(code, text, cookie) => {
            if let Some(cookie) = cookie {
                let value = tlv(0x30, &[tlv(0x02, &[0]), octets(cookie)].concat());
                let control = tlv(0x30, &[octets(PAGING), octets(value)].concat());
                controls = tlv(0xa0, &control);
            }
            tlv(0x65, &result(*code, text))
        }
        Reply::Bound(code, text) => tlv(0x61, &result(*code, text)),
        Reply::Raw(_) | Reply::Wait(_) | Reply::Hang | Reply::Close => Vec::new(),
    };
    let id: Vec<u8> = id.to_be_bytes().into_iter().skip(4).collect();
    tlv(0x30, &[tlv(0x02, &id), operation, controls].concat())
}

/// Tag, content and rest of the first element; `None` while it is not whole.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn parse(message: &[u8]) -> Option<Request> {
    let (_, id, rest) = element(message)?;
    let (tag, body, rest) = element(rest)?;
    let id = id.iter().fold(0, |sum, &digit| sum << 8 | i64::from(digit));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let operation = match tag {
        0x60 => {
            let (_, _version, rest) = element(body)?;
            let (_, dn, rest) = element(rest)?;
            let (_, password, _) = element(rest)?;
            Operation::Bind { dn: text(dn), password: text(password) }
        }
        0x63 => {
            let (_, base, mut rest) = element(body)?;
            // Scope, aliases, size limit, time limit, types only.
            for _ in 0..5 {
                rest = element(rest)?.2;
            }
            let (filter_tag, filter, rest) = element(rest)?;
            let (_, mut list, _) = element(rest)?;
            let mut attributes = Vec::new();
            while let Some((_, name, rest)) = element(list) {
                attributes.push(text(name));
                list = rest;
            }
            let filter = text(&tlv(filter_tag, filter));
            Operation::Search { base: text(base), filter, attributes }
        }
        _ => Operation::Other,
    };
    let paging = element(rest).and_then(|(_, controls, _)| paging_of(controls));
    Some(Request { id, number: 0, operation, paging })
}

fn paging_of(mut controls: &[u8]) -> Option<(i64, Vec<u8>)> {
    while let Some((_, control, rest)) = element(controls) {
        controls = rest;
        let (_, oid, mut parts) = element(control)?;
        if oid != PAGING.as_bytes() {
            continue;
        }
        while let Some((tag, value, rest)) = element(parts) {
            parts = rest;
            if tag == 0x04 {
                let (_, value, _) = element(value)?;
                let (_, size, rest) = element(value)?;
                let (_, cookie, _) = element(rest)?;
                let size = size.iter().fold(0, |sum, &digit| sum << 8 | i64::from(digit));
                return Some((size, cookie.to_vec()));
            }
        }
    }
    None
}
