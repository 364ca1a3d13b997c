//! Where a client is told of changes: its webhook, and the API of a Mattermost server.

use std::path::PathBuf;

use auth_core::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::SecretText;

/// Where events are posted (Standard Webhooks).
#[derive(Debug)]
pub(crate) struct Webhook {
    /// The URL.
    pub(crate) url: Url,
    /// Signs the events.
    pub(crate) secret: Secret,
}

/// A Mattermost server's API.
#[derive(Debug)]
pub(crate) struct Mattermost {
    /// The server's URL, with the path below which it lives, if any.
    pub(crate) url: Url,
    /// Access token of an administrator's account there.
    pub(crate) token: Secret,
    /// Whether an account is made there just before its first sign-in.
    pub(crate) create_accounts: bool,
    /// Memberships by group.
    pub(crate) memberships: Vec<Membership>,
}

/// What members of a group belong to.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// The group as the connector gives it.
    pub(crate) group: String,
    /// The team's name in URLs.
    pub(crate) team: String,
    /// Names of channels of that team in URLs.
    pub(crate) channels: Vec<String>,
}

/// Where events are posted: account disabled, enabled or changed, sessions ended. Signed as
/// Standard Webhooks say; retried for a day.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawWebhook {
    /// The URL.
    #[schemars(extend("x-required" = true))]
    url: Option<String>,
    /// Secret that signs the events: `whsec_` and base64, or any text.
    secret: Option<SecretText>,
    /// A file that holds `secret`.
    secret_file: Option<PathBuf>,
}

/// The API of a Mattermost server, for clients of kind `gitlab`: deactivates and reactivates
/// accounts there, ends sessions, and brings nickname, position, locale and memberships up to
/// date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawMattermost {
    /// The server's URL (its Site URL).
    #[schemars(extend("x-required" = true))]
    url: Option<String>,
    /// Access token of an administrator's account there.
    token: Option<SecretText>,
    /// A file that holds `token`.
    token_file: Option<PathBuf>,
    /// Make a person's account there just before the first sign-in, so that it is known from then
    /// on. Without it, only adopted accounts are pushed to.
    create_accounts: bool,
    /// What members of a group belong to there. Only what was added so is taken away again.
    membership: Vec<RawMembership>,
}

/// What members of a group belong to on the Mattermost server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawMembership {
    /// The group as the connector gives it (`user show` lists them).
    #[schemars(extend("x-required" = true))]
    group: Option<String>,
    /// Name of the team, as in its URL.
    #[schemars(extend("x-required" = true))]
    team: Option<String>,
    /// Names of channels of that team, as in their URLs.
    channels: Vec<String>,
}

impl Default for RawMattermost {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            token_file: None,
            create_accounts: true,
            membership: Vec::new(),
        }
    }
}

impl RawWebhook {
    pub(in crate::config::sections) fn resolve(
        self,
        at: &KeyPath,
        problems: &mut Problems,
    ) -> Option<Webhook> {
        let url = endpoint(at, self.url.as_deref(), problems);
        let given = self.secret.is_some() || self.secret_file.is_some();
        let secret = problems.secret(at, "secret", self.secret, self.secret_file.as_deref());
        if !given {
            problems.missing(
                &at.key("secret_file"),
                "the receiver knows by it that an event is ours: `openssl rand -base64 32`",
            );
        }
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < 24) {
            problems.warning(
                &at.key("secret"),
                "is shorter than 24 characters and may be guessed",
                "make one with `openssl rand -base64 32`",
            );
        }
        Some(Webhook { url: url?, secret: secret? })
    }
}

impl RawMattermost {
    pub(super) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Option<Mattermost> {
        let url = endpoint(at, self.url.as_deref(), problems);
        if url.as_ref().is_some_and(|url| url.query().is_some()) {
            problems.error(&at.key("url"), "has a query", "give the server's Site URL");
        }
        let given = self.token.is_some() || self.token_file.is_some();
        let token = problems.secret(at, "token", self.token, self.token_file.as_deref());
        if !given {
            problems.missing(
                &at.key("token_file"),
                "give a personal access token of a system administrator there",
            );
        }
        let memberships = self
            .membership
            .into_iter()
            .enumerate()
            .filter_map(|(index, raw)| raw.resolve(&at.key("membership").index(index), problems))
            .collect();
        Some(Mattermost {
            url: url?,
            token: token?,
            create_accounts: self.create_accounts,
            memberships,
        })
    }
}

impl RawMembership {
    fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Option<Membership> {
        let group = self.group.filter(|group| !group.is_empty());
        if group.is_none() {
            problems.missing(&at.key("group"), "name the group as `user show` lists it");
        }
        if self.team.is_none() {
            problems.missing(&at.key("team"), "name the team as it stands in its URL");
        }
        let names = self.team.iter().map(|team| (at.key("team"), team));
        let channels = self.channels.iter().enumerate();
        let channels = channels.map(|(index, name)| (at.key("channels").index(index), name));
        for (at, name) in names.chain(channels) {
            if !is_name(name) {
                problems.error(
                    &at,
                    "is no name of a team or channel",
                    "write it as in its URL: a-z, 0-9, - and _",
                );
            }
        }
        Some(Membership { group: group?, team: self.team?, channels: self.channels })
    }
}

/// Whether it is a name as it stands in a URL of Mattermost; so it needs no escaping in a path.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn endpoint(at: &KeyPath, url: Option<&str>, problems: &mut Problems) -> Option<Url> {
    match url {
        Some(url) => problems.endpoint(&at.key("url"), url),
        None => {
            problems.missing(&at.key("url"), "give an https URL");
            None
        }
    }
}
