//! Telling others: the worker that brings the outbox's deliveries to webhooks, to relying parties
//! (back-channel logout) and to Mattermost. The rules are in `auth_core::handoff`.

mod attempt;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use auth_core::handoff::mattermost::membership::MembershipRule;
use auth_core::handoff::outbox::{Channel, Destination};
use auth_core::secret::Secret;
use url::Url;

pub(crate) use attempt::{Aftermath, Failure};
pub(crate) use worker::{Worker, observe};

use crate::config;
use crate::outbound::Outbound;

/// In place of a client in the destination of notices: they go to the site itself.
const NOTICES: &str = "site";

/// Where deliveries of the configuration file go, by client.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) http: Outbound,
    pub(crate) webhooks: BTreeMap<String, WebhookTarget>,
    pub(crate) mattermost: BTreeMap<String, Arc<MattermostTarget>>,
    /// Who tells people of changes of their protection.
    pub(crate) notices: Option<WebhookTarget>,
}

/// A webhook.
#[derive(Debug)]
pub(crate) struct WebhookTarget {
    pub(crate) url: Url,
    pub(crate) secret: Secret,
}

/// A Mattermost server's API.
#[derive(Debug)]
pub(crate) struct MattermostTarget {
    /// Its Site URL.
    pub(crate) url: Url,
    pub(crate) token: Secret,
    /// Whether accounts are made there before a first sign-in.
    pub(crate) create_accounts: bool,
    pub(crate) memberships: Vec<MembershipRule>,
}

impl Targets {
    /// Takes the targets, with their secrets, out of the configuration.
    pub(crate) fn take(config: &mut config::Config) -> Self {
        let notices = config.notices.webhook.take();
        let mut targets = Self {
            http: Outbound::default(),
            webhooks: BTreeMap::new(),
            mattermost: BTreeMap::new(),
            notices: notices.map(|config::Webhook { url, secret }| WebhookTarget { url, secret }),
        };
        for client in &mut config.clients {
            if let Some(config::Webhook { url, secret }) = client.webhook.take() {
                targets.webhooks.insert(client.id.clone(), WebhookTarget { url, secret });
            }
            if let Some(server) = client.mattermost.take() {
                targets.mattermost.insert(client.id.clone(), Arc::new(mattermost(server)));
            }
        }
        targets
    }

    /// The destinations of the configuration file.
    fn destinations(&self) -> Vec<Destination> {
        let of = |channel, client: &String| Destination { channel, client: client.clone() };
        let webhooks = self.webhooks.keys().map(|client| of(Channel::Webhook, client));
        let servers = self.mattermost.keys().map(|client| of(Channel::Mattermost, client));
        let notices = self
            .notices
            .iter()
            .map(|_| Destination { channel: Channel::Notice, client: NOTICES.to_owned() });
        webhooks.chain(servers).chain(notices).collect()
    }
}

fn mattermost(server: config::Mattermost) -> MattermostTarget {
    let rule = |one: config::Membership| MembershipRule {
        group: one.group,
        team: one.team,
        channels: one.channels,
    };
    MattermostTarget {
        url: server.url,
        token: server.token,
        create_accounts: server.create_accounts,
        memberships: server.memberships.into_iter().map(rule).collect(),
    }
}
