//! The audit trail's vocabulary: one structured event for every accepted or refused login, logout,
//! session issue, revocation and configuration load. Never a secret, never an assertion.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Whether the audited action took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It took place.
    Success,
    /// It was refused by a rule.
    Refused,
    /// It failed for a technical reason.
    Failed,
}

impl Outcome {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "success" => Some(Self::Success),
            "refused" => Some(Self::Refused),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// One audit event. The field names are the public ones of `audit tail --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When it happened.
    #[serde(serialize_with = "as_rfc3339", deserialize_with = "from_rfc3339")]
    pub at: Timestamp,
    /// Dotted name, e.g. `login.refused`.
    pub event: String,
    /// Whether it took place.
    pub outcome: Outcome,
    /// Exact reason of a refusal or failure, e.g. `wrong_password`.
    pub reason: Option<String>,
    /// User name of the account concerned, or what was typed when none was found.
    pub account: Option<String>,
    /// Connector concerned.
    pub connector: Option<String>,
    /// Client (chat server) concerned.
    pub client: Option<String>,
    /// Source address of the request.
    pub ip: Option<String>,
    /// Id of the request, the same as on the page that the person saw.
    pub request_id: Option<String>,
    /// More facts, e.g. the session's handle.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub detail: serde_json::Map<String, serde_json::Value>,
}

fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

fn from_rfc3339<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("no RFC 3339 time"))
}

impl AuditRecord {
    /// A successful event at `at`.
    #[must_use]
    pub fn new(at: Timestamp, event: &str) -> Self {
        Self {
            at,
            event: event.to_owned(),
            outcome: Outcome::Success,
            reason: None,
            account: None,
            connector: None,
            client: None,
            ip: None,
            request_id: None,
            detail: serde_json::Map::new(),
        }
    }

    /// Marks it refused by a rule, for `reason`.
    #[must_use]
    pub fn refused(mut self, reason: &str) -> Self {
        self.outcome = Outcome::Refused;
        self.reason = Some(reason.to_owned());
        self
    }

    /// Marks it failed for a technical `reason`.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> Self {
        self.outcome = Outcome::Failed;
        self.reason = Some(reason.to_owned());
        self
    }

    /// Names the account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        // What a stranger typed lands here too: bounded, so that nobody fills the trail, and
        // without the control characters that PostgreSQL refuses or a terminal obeys.
        let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        self.account = Some(account.chars().take(256).map(shown).collect());
        self
    }

    /// Names the connector.
    #[must_use]
    pub fn connector(mut self, connector: &str) -> Self {
        self.connector = Some(connector.to_owned());
        self
    }

    /// Names the client.
    #[must_use]
    pub fn client(mut self, client: &str) -> Self {
        self.client = Some(client.to_owned());
        self
    }

    /// Adds where the request came from.
    #[must_use]
    pub fn from_request(mut self, origin: &Origin) -> Self {
        self.ip = origin.ip.map(|ip| ip.to_string());
        self.request_id = Some(origin.request_id.clone());
        self
    }

    /// Adds a further fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// Writes the event to the log. The store's copy is written by the call that changes the state.
    pub fn log(&self) {
        tracing::info!(
            target: "audit",
            event = %self.event,
            outcome = self.outcome.as_str(),
            reason = self.reason.as_deref(),
            account = self.account.as_deref(),
            connector = self.connector.as_deref(),
            client = self.client.as_deref(),
            ip = self.ip.as_deref(),
            request_id = self.request_id.as_deref(),
            detail = %serde_json::Value::Object(self.detail.clone()),
            "audit event"
        );
    }
}

/// Where a request came from; every audited call takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Source address, after the trusted proxies were taken off. `None` for the command line.
    pub ip: Option<IpAddr>,
    /// Id shown to the person and written to the log.
    pub request_id: String,
    /// `User-Agent`, cut at 256 characters.
    pub user_agent: Option<String>,
}

impl Origin {
    /// The command line of this machine.
    #[must_use]
    pub fn command_line(request_id: String) -> Self {
        Self { ip: None, request_id, user_agent: None }
    }
}
