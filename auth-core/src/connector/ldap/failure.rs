//! Why a server gave no usable answer. Never a judgement of a person.

use crate::connector::ConnectorError;

/// The kinds that the audit trail tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The service account's bind was refused, or a bind was not judged.
    BindRefused,
    /// The server, or our own pool, has too much to do.
    Busy,
    /// A search ended with an error or a partial result.
    SearchFailed,
    /// No answer in time.
    Timeout,
    /// The certificate or the handshake is not acceptable.
    Tls,
    /// Not reachable, or the connection broke.
    Unavailable,
}

impl FailureKind {
    /// The word in the audit trail.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::BindRefused => "directory_bind_refused",
            Self::Busy => "directory_busy",
            Self::SearchFailed => "directory_search_failed",
            Self::Timeout => "directory_timeout",
            Self::Tls => "directory_tls",
            Self::Unavailable => "directory_unavailable",
        }
    }

    /// Whether another server may do better. A refused service account or a bad search would be
    /// the same there, and could lock the account.
    pub(super) const fn fails_over(self) -> bool {
        matches!(self, Self::Busy | Self::Timeout | Self::Tls | Self::Unavailable)
    }
}

/// A failure with the message for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The kind.
    pub(super) kind: FailureKind,
    /// What exactly happened, and how to mend it where that is known.
    pub(super) message: String,
    /// The peer had closed the connection before it answered: worth one more try on a new one.
    pub(super) was_closed: bool,
    /// Our own pool was full: nothing is known against the server.
    pub(super) own_queue: bool,
}

impl Failure {
    /// A failure of a kind.
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), was_closed: false, own_queue: false }
    }

    /// The connection was closed by the peer.
    pub(super) fn closed(message: impl Into<String>) -> Self {
        Self { was_closed: true, ..Self::new(FailureKind::Unavailable, message) }
    }

    /// All connections of a pool were in use for too long.
    pub(super) fn queue_full(message: impl Into<String>) -> Self {
        Self { own_queue: true, ..Self::new(FailureKind::Busy, message) }
    }

    /// Says what was under way.
    pub(super) fn during(self, what: &str) -> Self {
        self.at(what)
    }

    /// Says where it happened.
    pub(super) fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl From<Failure> for ConnectorError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { reason: failure.kind.reason(), message: failure.message }
    }
}
