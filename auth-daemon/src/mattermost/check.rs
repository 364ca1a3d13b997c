//! Says step by step what the token may do, and whether both sides' settings fit together.
//! Nothing is changed on the server.

use auth_core::handoff::client::Client;
use serde_json::{Value, json};

use super::api::Api;

/// One step.
pub(crate) struct CheckStep {
    /// What was looked at.
    pub(crate) step: &'static str,
    /// Whether it is well.
    pub(crate) ok: bool,
    /// What was found.
    pub(crate) detail: String,
    /// How to mend it.
    pub(crate) repair: &'static str,
}

impl CheckStep {
    /// The step as JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "step": self.step, "ok": self.ok, "detail": self.detail,
            "repair": if self.ok { "" } else { self.repair },
        })
    }
}

/// Looks at the server.
pub(crate) async fn check(api: Api<'_>, client: &Client) -> Vec<CheckStep> {
    let mut steps = Vec::new();
    let mut step = |step, ok, detail: String, repair| {
        steps.push(CheckStep { step, ok, detail, repair });
    };
    let me = match api.me().await {
        Ok(me) => me,
        Err(error) => {
            let repair = "check mattermost.url and mattermost.token; personal access tokens need \
                          ServiceSettings.EnableUserAccessTokens = true";
            step("token", false, error.to_string(), repair);
            return steps;
        }
    };
    step("token", true, format!("it is {}'s", me.username), "");
    step(
        "administrator",
        me.is_system_admin(),
        format!("roles: {}", me.roles),
        "give the account the role system_admin: the push deactivates accounts and ends sessions",
    );
    step(
        "own_account",
        me.auth_service != "gitlab",
        format!(
            "signs in by {:?}",
            if me.auth_service.is_empty() { "password" } else { &me.auth_service }
        ),
        "use an account with a password of its own: one that signs in through this daemon could \
         be deactivated by it, and the token with it",
    );
    match api.users(0).await {
        Ok(users) => step("list_users", true, format!("{} on the first page", users.len()), ""),
        Err(error) => step("list_users", false, error.to_string(), "see `administrator`"),
    }
    match api.client_config().await {
        Ok(config) => {
            let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
            let version = text("Version").to_owned();
            step("version", !version.is_empty(), version, "is this a Mattermost server?");
            let site = text("SiteURL").trim_end_matches('/').to_owned();
            let wanted = format!("{site}/signup/gitlab/complete");
            step(
                "redirect_uri",
                !site.is_empty() && client.allows_redirect_uri(&wanted),
                wanted,
                "set ServiceSettings.SiteURL there, and list exactly this in redirect_uris",
            );
            let shown = text("EnableSignUpWithGitLab") == "true";
            step(
                "button",
                shown,
                format!("EnableSignUpWithGitLab is {:?}", text("EnableSignUpWithGitLab")),
                "set GitLabSettings.Enable; from version 11 on without a licence the button stays \
                 hidden: give people the link SITE/oauth/gitlab/login (docs/mattermost.md)",
            );
        }
        Err(error) => step("settings", false, error.to_string(), "is this a Mattermost server?"),
    }
    for rule in &api.target.memberships {
        let team = match api.team_id(&rule.team).await {
            Ok(team) => team,
            Err(error) => {
                let detail = format!("team {:?}: {error}", rule.team);
                step("membership", false, detail, "write the name as it stands in the team's URL");
                continue;
            }
        };
        for channel in &rule.channels {
            if let Err(error) = api.channel_id(&team, channel).await {
                let detail = format!("channel {channel:?} of team {:?}: {error}", rule.team);
                step("membership", false, detail, "write the name as it stands in its URL");
            }
        }
    }
    steps
}
