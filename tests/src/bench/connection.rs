//! A small HTTP/1.1 client that costs as little as it can: one connection that is kept, requests
//! written beforehand, answers with a `Content-Length` only.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LIMIT: Duration = Duration::from_secs(60);

/// A request, from which the bytes on the wire are made.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Lines without their end.
    pub(super) headers: &'a [String],
    /// Form fields, encoded; empty for none.
    pub(super) body: &'a str,
}

impl Request<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for line in self.headers {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !self.body.is_empty() {
            text.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        text.push_str(self.body);
        text.into_bytes()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The values of a header.
    pub(super) fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        lines(&self.head, name)
    }

    /// Name and value of a cookie that the answer sets, to be sent back.
    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        let mut cookies = self.header("set-cookie").filter_map(|line| line.split(';').next());
        let set = cookies.find(|pair| pair.split_once('=').is_some_and(|(key, _)| key == name));
        set.map(str::to_owned)
    }

    /// The answer when it has this status.
    ///
    /// # Errors
    /// Another status; the message shows the answer.
    pub(super) fn expect(self, status: u16) -> Result<Self> {
        if self.status != status {
            let body = String::from_utf8_lossy(&self.body);
            bail!("expected {status}, got {}\n{body}", self.head);
        }
        Ok(self)
    }
}

/// A connection for use in a task.
#[derive(Debug)]
pub(super) struct Connection {
    stream: tokio::net::TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<Answer> {
        tokio::time::timeout(LIMIT, self.exchange(request)).await.context("no answer")?
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(answer) = take(&mut self.buffer)? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

/// A connection for use in a thread of its own, whose waking nothing else delays.
#[derive(Debug)]
pub(super) struct BlockingConnection {
    stream: std::net::TcpStream,
    buffer: Vec<u8>,
}

impl BlockingConnection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = std::net::TcpStream::connect(address).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request)?;
        let mut piece = [0; 4096];
        loop {
            if let Some(answer) = take(&mut self.buffer)? {
                return Ok(answer);
            }
            let length = self.stream.read(&mut piece)?;
            if length == 0 {
                bail!("the server closed the connection");
            }
            self.buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
    }
}

/// Takes a whole answer off the front of what was read.
fn take(buffer: &mut Vec<u8>) -> Result<Option<Answer>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status: u16 = status.with_context(|| format!("no status in {head:?}"))?;
    let length = lines(&head, "content-length").next().and_then(|length| length.parse().ok());
    let length: usize = length.with_context(|| format!("no length in {head:?}"))?;
    let body = end + 4;
    if buffer.len() < body + length {
        return Ok(None);
    }
    let rest = buffer.split_off(body + length);
    let body = buffer.split_off(body);
    *buffer = rest;
    Ok(Some(Answer { status, head, body }))
}

fn lines<'a>(head: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = head.split("\r\n").filter_map(|line| line.split_once(':'));
    pairs.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let whole = b"HTTP/1.1 303 See Other\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\n\
                      Content-Length: 2\r\n\r\nokHTTP/1.1 2";
        for length in 0..whole.len() - 12 {
            assert!(take(&mut whole[..length].to_vec()).unwrap().is_none(), "{length}");
        }
        let mut buffer = whole.to_vec();
        let answer = take(&mut buffer).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (303, b"ok".as_slice()));
        assert_eq!(answer.cookie("b").as_deref(), Some("b=2"));
        assert_eq!(buffer, b"HTTP/1.1 2");
    }

    #[test]
    fn an_answer_without_length_is_an_error() {
        assert!(take(&mut b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).is_err());
    }

    #[test]
    fn a_form_carries_its_length() {
        let headers = ["Host: x".to_owned()];
        let request = Request { method: "POST", path: "/a", headers: &headers, body: "b=c" };
        let text = String::from_utf8(request.bytes()).unwrap();
        assert!(text.starts_with("POST /a HTTP/1.1\r\nHost: x\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 3\r\n\r\nb=c"), "{text}");
    }
}
