//! `[session]`: how long sessions last.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::finding::{KeyPath, Problems};
use crate::config::values::duration::written;
use crate::config::values::{DAY, DurationText, HOUR, MINUTE};

/// How long sessions last.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawSession {
    /// A browser that does nothing for this long is signed out. At least `1m`: use is noted once
    /// a minute. Default: `8h`, or `absolute_timeout` where that is shorter.
    idle_timeout: Option<DurationText>,
    /// A browser is signed out after this long in any case.
    absolute_timeout: DurationText,
    /// How long the sessions of chat servers last, by the `session_kind` of the client.
    kinds: RawKinds,
}

/// How long the sessions of chat servers last, by the `session_kind` of the client.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawKinds {
    /// Sessions of a web application.
    web: DurationText,
    /// Sessions of a mobile application.
    mobile: DurationText,
    /// Sessions of a desktop application.
    desktop: DurationText,
    /// Sessions that a chat server makes itself after single sign-on.
    sso: DurationText,
}

impl Default for RawSession {
    fn default() -> Self {
        Self { idle_timeout: None, absolute_timeout: "30d".into(), kinds: RawKinds::default() }
    }
}

impl Default for RawKinds {
    fn default() -> Self {
        Self { web: "30d".into(), mobile: "30d".into(), desktop: "30d".into(), sso: "30d".into() }
    }
}

/// What sort of session a client gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionKind {
    /// Of a web application.
    #[default]
    Web,
    /// Of a mobile application.
    Mobile,
    /// Of a desktop application.
    Desktop,
    /// Made by a chat server itself after single sign-on.
    Sso,
}

/// How long sessions last.
#[derive(Debug)]
pub(crate) struct SessionLifetimes {
    /// Idle limit of a browser's session.
    pub(crate) idle_timeout: Duration,
    /// Absolute limit of a browser's session.
    pub(crate) absolute_timeout: Duration,
    /// Sessions of kind `web`.
    pub(crate) web: Duration,
    /// Sessions of kind `mobile`.
    pub(crate) mobile: Duration,
    /// Sessions of kind `desktop`.
    pub(crate) desktop: Duration,
    /// Sessions of kind `sso`.
    pub(crate) sso: Duration,
}

impl RawSession {
    pub(in crate::config) fn resolve(
        self,
        at: &KeyPath,
        problems: &mut Problems,
    ) -> SessionLifetimes {
        let limits = Duration::from_secs(1)..=DAY * 400;
        let idle = self
            .idle_timeout
            .as_ref()
            .and_then(|text| problems.duration(&at.key("idle_timeout"), text, MINUTE..=DAY * 400));
        let absolute =
            problems.duration(&at.key("absolute_timeout"), &self.absolute_timeout, limits.clone());
        if let (Some(idle), Some(absolute)) = (idle, absolute)
            && idle > absolute
        {
            problems.error(
                &at.key("idle_timeout"),
                format!("is longer than absolute_timeout ({})", written(absolute)),
                "make it shorter, or absolute_timeout longer",
            );
        }
        let kinds = at.key("kinds");
        let mut of = |name: &str, text: &DurationText| {
            problems.duration(&kinds.key(name), text, limits.clone()).unwrap_or_default()
        };
        SessionLifetimes {
            idle_timeout: idle.unwrap_or_else(|| absolute.unwrap_or_default().min(HOUR * 8)),
            absolute_timeout: absolute.unwrap_or_default(),
            web: of("web", &self.kinds.web),
            mobile: of("mobile", &self.kinds.mobile),
            desktop: of("desktop", &self.kinds.desktop),
            sso: of("sso", &self.kinds.sso),
        }
    }
}
