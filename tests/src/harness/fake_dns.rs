//! A DNS server over UDP that knows what a test tells it: SRV and A records (RFC 1035, RFC 2782).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const SRV: u16 = 33;
const A: u16 = 1;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// One SRV record.
#[derive(Clone, Debug)]
pub struct SrvRecord {
    /// Name, e.g. `_ldaps._tcp.example.test`.
    pub name: String,
    /// Priority.
    pub priority: u16,
    /// Port.
    pub port: u16,
    /// Target.
    pub target: String,
}

/// A running server; it ends when the value is dropped. Every host has the address 127.0.0.1.
#[derive(Debug)]
pub struct FakeDns {
    address: SocketAddr,
    records: Arc<Mutex<Vec<SrvRecord>>>,
    task: JoinHandle<()>,
}

impl FakeDns {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(records: Vec<SrvRecord>) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let records = Arc::new(Mutex::new(records));
        let known = Arc::clone(&records);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let records = known.lock().map(|known| known.clone()).unwrap_or_default();
                if let Some(answer) = answer(&buffer[..length], &records) {
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, records, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces what it knows.
    pub fn set(&self, records: Vec<SrvRecord>) {
        if let Ok(mut known) = self.records.lock() {
            *known = records;
        }
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(query: &[u8], records: &[SrvRecord]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut position = 12;
    loop {
        let length = usize::from(*query.get(position)?);
        position += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(position..position + length)?).into_owned());
        position += length;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([*query.get(position)?, *query.get(position + 1)?]);
    let question = query.get(12..position + 4)?;
    let answers: Vec<Vec<u8>> = match kind {
        SRV => records
            .iter()
            .filter(|record| record.name.eq_ignore_ascii_case(&name))
            .map(|record| {
                let mut data = record.priority.to_be_bytes().to_vec();
                data.extend(0u16.to_be_bytes());
                data.extend(record.port.to_be_bytes());
                data.extend(encoded(&record.target));
                data
            })
            .collect(),
        A => vec![LOOPBACK.to_vec()],
        _ => Vec::new(),
    };
    let mut message = query.get(..2)?.to_vec();
    // An authoritative answer; a name without records does not exist.
    let code = u8::from(kind == SRV && answers.is_empty()) * 3;
    message.extend([0x85, 0x80 | code, 0, 1]);
    message.extend(u16::try_from(answers.len()).ok()?.to_be_bytes());
    message.extend([0, 0, 0, 0]);
    message.extend(question);
    for data in answers {
        // The name of the question, the class IN, and no time to live.
        message.extend([0xc0, 0x0c]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 0]);
        message.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        message.extend(data);
    }
    Some(message)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        out.extend(u8::try_from(label.len()));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
