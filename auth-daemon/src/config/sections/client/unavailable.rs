//! Settings that this version reads and judges but does not act upon. A client that relies on one
//! is refused: a security setting that is silently ignored is worse than none.

use super::kind::ClientKind;
use super::raw::RawClient;
use crate::config::finding::{KeyPath, Problems};

pub(super) fn refuse(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    if raw.kind == ClientKind::Gitlab {
        problems.error(
            &at.key("kind"),
            format!("clients of kind \"{}\" are not available in this version", raw.kind.as_str()),
            "use another kind, or remove the client",
        );
    }
    let keys = [
        ("backchannel_logout_uri", raw.backchannel_logout_uri.is_some()),
        ("webhook", raw.webhook.is_some()),
        ("mattermost", raw.mattermost.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_used)| *is_used) {
        problems.error(
            &at.key(key),
            "is not available in this version: nothing would act upon it",
            "remove it",
        );
    }
}
