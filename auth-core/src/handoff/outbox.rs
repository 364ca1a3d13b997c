//! From an event to what each client is told of it, by which way, and when it is tried again.
//!
//! A client may listen in three ways ([`Channel`]). All are told at least once and in the order of
//! the changes of one person; what is told names people and sessions by their ids only. The same
//! text goes to webhooks and into the stream of events.

use std::fmt;
use std::time::Duration;

use openidconnect::SubjectIdentifier;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::store::{AccountRecord, NewDelivery, OutboxEventKind, OutboxEventRecord};

/// Deliveries that may wait for one destination; those beyond are given up at once.
pub const QUEUE_LENGTH: u64 = 100_000;

/// How a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// By a logout token, OpenID Connect Back-Channel Logout 1.0.
    BackchannelLogout,
    /// By calls of Mattermost's REST API.
    Mattermost,
    /// The site itself, by a signed post: changes of people's protection, for it to tell them.
    Notice,
    /// By a signed post, Standard Webhooks.
    Webhook,
}

impl Channel {
    /// Every way.
    pub const ALL: [Self; 4] =
        [Self::BackchannelLogout, Self::Mattermost, Self::Notice, Self::Webhook];

    /// The word in destinations and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackchannelLogout => "backchannel",
            Self::Mattermost => "mattermost",
            Self::Notice => "notice",
            Self::Webhook => "webhook",
        }
    }

    /// How long a delivery is tried before it is given up. A revoked session must end in the chat
    /// server however long that was down, so Mattermost has the longest.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::BackchannelLogout | Self::Notice | Self::Webhook => {
                Duration::from_secs(24 * 3600)
            }
            Self::Mattermost => Duration::from_secs(30 * 24 * 3600),
        }
    }

    const fn longest_pause(self) -> Duration {
        match self {
            Self::BackchannelLogout | Self::Notice | Self::Webhook => Duration::from_secs(3600),
            Self::Mattermost => Duration::from_secs(300),
        }
    }
}

/// A client and a way to tell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// How.
    pub channel: Channel,
    /// Whom.
    pub client: String,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel.as_str(), self.client)
    }
}

impl Destination {
    /// Whether this event is to be told there.
    #[must_use]
    pub fn wants(&self, event: &OutboxEventRecord) -> bool {
        let of_another = event.client.as_ref().is_some_and(|client| *client != self.client);
        if of_another {
            return false;
        }
        let is_security = event.kind == OutboxEventKind::SecurityChanged;
        if is_security || self.channel == Channel::Notice {
            // How somebody is protected is no client's business.
            return is_security && self.channel == Channel::Notice;
        }
        match self.channel {
            Channel::Webhook => true,
            Channel::BackchannelLogout => event.kind == OutboxEventKind::SessionRevoked,
            // Of one session it knows nothing: its own cannot be told apart.
            Channel::Mattermost => event.kind != OutboxEventKind::SessionRevoked,
            Channel::Notice => false,
        }
    }
}

/// The deliveries that an event means for these destinations.
///
/// # Errors
/// When the event has no JSON form.
pub fn fan_out(
    event: &OutboxEventRecord,
    destinations: &[Destination],
    now: Timestamp,
) -> Result<Vec<NewDelivery>, serde_json::Error> {
    let body = serde_json::to_string(event)?;
    let wanting = destinations.iter().filter(|destination| destination.wants(event));
    Ok(wanting.map(|to| delivery(to, &order_of(event), body.clone(), now)).collect())
}

/// A delivery that is due now.
#[must_use]
pub fn delivery(to: &Destination, subject: &str, body: String, now: Timestamp) -> NewDelivery {
    NewDelivery {
        destination: to.to_string(),
        subject: subject.to_owned(),
        body,
        created_at: now,
        due_at: now,
        // Dead ones stay on their list for as long again.
        expires_at: now + to.channel.patience() + Duration::from_secs(30 * 24 * 3600),
        dead: None,
    }
}

/// What keeps its order: the person, or everybody.
fn order_of(event: &OutboxEventRecord) -> String {
    event.account.map_or_else(|| "*".to_owned(), |account| account.to_string())
}

/// How a client knows the person of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownAs {
    /// As every client with public subjects does: beside the subject it hears the numeric id.
    Public(SubjectIdentifier),
    /// By a subject of its sector alone. The numeric id is one for all clients, and would tell two
    /// of them that they speak of one person (OpenID Connect Core 1.0 section 8.1).
    Pairwise(SubjectIdentifier),
}

/// What a client is told of an event; `person` is whom it is about, `None` for everybody.
#[must_use]
pub fn told(event: &OutboxEventRecord, person: Option<&KnownAs>) -> Value {
    let mut about = serde_json::Map::new();
    if let Some(KnownAs::Public(subject) | KnownAs::Pairwise(subject)) = person {
        about.insert("account".to_owned(), json!(subject));
    }
    if let (Some(KnownAs::Public(_)), Some(numeric_id)) = (person, event.numeric_id) {
        about.insert("numeric_id".to_owned(), json!(numeric_id));
    }
    if let Some(session) = event.session {
        about.insert("session".to_owned(), json!(session));
    }
    if event.kind == OutboxEventKind::SessionsRevoked {
        about.insert("everybody".to_owned(), json!(event.account.is_none()));
    }
    if let Some(reason) = &event.reason {
        about.insert("reason".to_owned(), json!(reason));
    }
    json!({ "type": event.kind.as_str(), "timestamp": event.at.rfc3339(), "data": about })
}

/// What the site is told of a change of an account's protection: whom to tell, and what changed.
#[must_use]
pub fn notice(event: &OutboxEventRecord, account: &AccountRecord) -> Value {
    json!({
        "type": event.kind.as_str(),
        "timestamp": event.at.rfc3339(),
        "data": {
            "account": account.id.to_string(),
            "username": account.username,
            "email": account.email.as_ref().filter(|_| account.email_verified),
            "locale": account.locale,
            "change": event.reason,
        },
    })
}

/// When a failed delivery is tried again; `None` when it is given up.
///
/// `attempts` have been made with this one. The pause doubles from one second on, and is spread by
/// `noise` so that those who failed together do not come back together. What the other side asked
/// for (`Retry-After`) is honoured up to an hour.
#[must_use]
pub fn retry_at(
    channel: Channel,
    created_at: Timestamp,
    attempts: i64,
    retry_after: Option<Duration>,
    noise: u8,
    now: Timestamp,
) -> Option<Timestamp> {
    if now.since(created_at) >= channel.patience() {
        return None;
    }
    let exponent = u32::try_from(attempts.clamp(1, 16) - 1).unwrap_or(0);
    let pause = Duration::from_secs(1_u64 << exponent).min(channel.longest_pause());
    let spread = pause.mul_f64(f64::from(noise) / 1024.0);
    let asked = retry_after.unwrap_or_default().min(Duration::from_secs(3600));
    Some(now + (pause + spread).max(asked))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::handoff::subject;
    use crate::store::{AccountId, SessionId};

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    fn event(kind: OutboxEventKind, client: Option<&str>) -> OutboxEventRecord {
        OutboxEventRecord {
            sequence: 5,
            position: None,
            id: "00".repeat(16),
            at: NOW,
            kind,
            account: Some(AccountId(Uuid::from_u128(42))),
            numeric_id: Some(7),
            client: client.map(str::to_owned),
            session: client.map(|_| SessionId(Uuid::from_u128(9))),
            reason: Some("logout".to_owned()),
        }
    }

    fn all(client: &str) -> Vec<Destination> {
        Channel::ALL.map(|channel| Destination { channel, client: client.to_owned() }).to_vec()
    }

    fn told_where(event: &OutboxEventRecord) -> Vec<String> {
        let destinations = [all("chat"), all("mail")].concat();
        let deliveries = fan_out(event, &destinations, NOW).unwrap();
        assert!(deliveries.iter().all(|one| one.subject == Uuid::from_u128(42).to_string()));
        deliveries.into_iter().map(|one| one.destination).collect()
    }

    #[test]
    fn who_is_told_of_what() {
        let session = event(OutboxEventKind::SessionRevoked, Some("chat"));
        assert_eq!(told_where(&session), ["backchannel:chat", "webhook:chat"]);
        for kind in [
            OutboxEventKind::AccountDisabled,
            OutboxEventKind::AccountEnabled,
            OutboxEventKind::AccountUpdated,
            OutboxEventKind::SessionsRevoked,
        ] {
            let expected = ["mattermost:chat", "webhook:chat", "mattermost:mail", "webhook:mail"];
            assert_eq!(told_where(&event(kind, None)), expected, "{kind}");
        }
        let security = event(OutboxEventKind::SecurityChanged, None);
        assert_eq!(told_where(&security), ["notice:chat", "notice:mail"]);
    }

    #[test]
    fn what_is_told_names_no_more_than_ids() {
        let person = KnownAs::Public(subject::public(AccountId(Uuid::from_u128(42))));
        let value = told(&event(OutboxEventKind::SessionRevoked, Some("chat")), Some(&person));
        assert_eq!(
            value,
            json!({
                "type": "session.revoked",
                "timestamp": NOW.rfc3339(),
                "data": {
                    "account": Uuid::from_u128(42).to_string(),
                    "numeric_id": 7,
                    "session": Uuid::from_u128(9).to_string(),
                    "reason": "logout",
                },
            })
        );
        let mut all = event(OutboxEventKind::SessionsRevoked, None);
        (all.account, all.numeric_id) = (None, None);
        assert_eq!(told(&all, None)["data"], json!({ "everybody": true, "reason": "logout" }));
    }

    #[test]
    fn a_pairwise_client_hears_nothing_that_another_client_hears_too() {
        let own = KnownAs::Pairwise(SubjectIdentifier::new("of this sector".to_owned()));
        let event = event(OutboxEventKind::AccountDisabled, None);
        assert_eq!(
            told(&event, Some(&own))["data"],
            json!({ "account": "of this sector", "reason": "logout" })
        );
    }

    #[test]
    fn pauses_double_are_bounded_and_honour_the_other_side() {
        let pause = |channel, attempts, retry_after: Option<u64>, noise| {
            let asked = retry_after.map(Duration::from_secs);
            retry_at(channel, NOW, attempts, asked, noise, NOW).unwrap().since(NOW).as_secs()
        };
        assert_eq!([1, 2, 3, 4].map(|n| pause(Channel::Webhook, n, None, 0)), [1, 2, 4, 8]);
        assert_eq!(pause(Channel::Webhook, 1000, None, 0), 3600);
        assert_eq!(pause(Channel::Mattermost, 1000, None, 0), 300);
        assert_eq!(pause(Channel::Mattermost, 1000, None, 255), 374, "spread by a quarter");
        assert_eq!(pause(Channel::Mattermost, 1, Some(17), 0), 17);
        assert_eq!(pause(Channel::Mattermost, 1, Some(86_400), 0), 3600);
        let late = NOW + Duration::from_secs(24 * 3600);
        assert_eq!(retry_at(Channel::Webhook, NOW, 3, None, 0, late), None, "given up after a day");
        assert!(retry_at(Channel::Mattermost, NOW, 3, None, 0, late).is_some());
    }
}
