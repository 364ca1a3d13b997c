//! One attempt at one delivery, by its channel.

use std::time::Duration;

use auth_core::audit::AuditRecord;
use auth_core::broker::provider::{BackchannelTarget, Provider};
use auth_core::clock::Timestamp;
use auth_core::handoff::outbox::Destination;
use auth_core::handoff::webhook;
use auth_core::reach::Reach;
use auth_core::store::{NewDelivery, OutboxEventRecord};
use reqwest::{Method, StatusCode, header};
use url::Url;

use super::{Targets, WebhookTarget};
use crate::outbound::{Answer, send};

/// No answer that we read is longer; what it says is of no interest.
const ANSWER: usize = 64 * 1024;

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may succeed later.
    Temporary {
        /// The destination asked not to be called again so soon.
        retry_after: Option<Duration>,
        /// What happened.
        error: String,
    },
    /// It never will.
    Permanent(String),
}

impl Failure {
    /// A failure that may pass.
    pub(crate) fn temporary(error: impl Into<String>) -> Self {
        Self::Temporary { retry_after: None, error: error.into() }
    }
}

/// What an attempt leaves behind beside its own end.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// Further deliveries.
    pub(crate) further: Vec<NewDelivery>,
    /// Events for the trail.
    pub(crate) audit: Vec<AuditRecord>,
}

/// Posts a text about an event, signed.
pub(super) async fn post_webhook(
    targets: &Targets,
    target: &WebhookTarget,
    event: &OutboxEventRecord,
    body: String,
    now: Timestamp,
) -> Result<(), Failure> {
    let headers = webhook::sign(&target.secret, &event.id, &body, now);
    let request = targets
        .http
        .request(Method::POST, &target.url, Reach::Local)
        .map_err(Failure::Permanent)?
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", headers.id)
        .header("webhook-timestamp", headers.timestamp)
        .header("webhook-signature", headers.signature)
        .body(body);
    let answer = send(request, ANSWER).await.map_err(Failure::temporary)?;
    judge(&answer, StatusCode::is_success)
}

/// Posts a logout token, OpenID Connect Back-Channel Logout 1.0 section 2.5.
pub(super) async fn post_logout_token(
    targets: &Targets,
    provider: &Provider,
    destination: &Destination,
    listeners: &[BackchannelTarget],
    event: &OutboxEventRecord,
) -> Result<(), Failure> {
    let listener = listeners.iter().find(|one| one.client == destination.client);
    let Some(listener) = listener else {
        return Err(Failure::Permanent("the client takes no logout tokens any more".to_owned()));
    };
    let token = provider.logout_token(&destination.client, event).await;
    let Some(token) = token.map_err(|error| Failure::temporary(error.to_string()))? else {
        return Ok(());
    };
    let url = Url::parse(&listener.uri).map_err(|error| Failure::Permanent(error.to_string()))?;
    let reach = if listener.configured { Reach::Local } else { Reach::Public };
    let request = targets
        .http
        .request(Method::POST, &url, reach)
        .map_err(Failure::Permanent)?
        .form(&[("logout_token", token.as_str())]);
    let answer = send(request, ANSWER).await.map_err(Failure::temporary)?;
    // Section 2.8: 200; frameworks answer 204 for an empty body.
    judge(&answer, |status| matches!(status.as_u16(), 200 | 204))
}

/// What an answer means: everything but a success may be mended over there, except that the
/// address itself is gone.
fn judge(answer: &Answer, good: impl Fn(&StatusCode) -> bool) -> Result<(), Failure> {
    let status = answer.status;
    if good(&status) {
        return Ok(());
    }
    let error = format!("answered {status}");
    if status == StatusCode::GONE {
        return Err(Failure::Permanent(error));
    }
    Err(Failure::Temporary { retry_after: answer.retry_after(), error })
}
