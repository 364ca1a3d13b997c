//! `[notices]`: who tells people that the protection of their account changed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::client::delivery::{RawWebhook, Webhook};
use crate::config::finding::{KeyPath, Problems};

/// Who tells people of changes of their account's protection: factors, password, recovery codes,
/// ways to sign in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawNotices {
    /// Where each change is posted, with the person's verified address, for a program of yours
    /// that writes to them.
    webhook: Option<RawWebhook>,
}

/// Who tells people of changes.
#[derive(Debug)]
pub(crate) struct Notices {
    /// Where they are posted.
    pub(crate) webhook: Option<Webhook>,
}

impl RawNotices {
    pub(in crate::config) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Notices {
        let webhook = self.webhook;
        Notices { webhook: webhook.and_then(|raw| raw.resolve(&at.key("webhook"), problems)) }
    }
}
