//! The sessions API for a chat server that speaks no OpenID Connect: it redeems its code for a
//! session with one token, asks whether sessions stand, and prolongs and ends them.
//!
//! The token is opaque, stands for the session as long as that lives, and is never rotated. A
//! client sees sessions of its own only; whatever else it asks about looks the same as nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::{Client, ClientKind, SessionKind};
use super::introspection::is_active;
use super::scope::{self, Scope};
use crate::clock::Timestamp;
use crate::store::{AccessTokenStatus, AccountRecord, SessionRecord};

/// Tokens that may be checked at once.
pub const MOST_TOKENS: usize = 1000;

/// `POST /api/v1/sessions/exchange`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The code of the authorization answer.
    pub code: String,
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// The PKCE verifier, where the request had a challenge.
    #[serde(default)]
    pub code_verifier: Option<String>,
    /// What kind of session it is to be; default the client's `session_kind`.
    #[serde(default)]
    pub kind: Option<SessionKind>,
}

/// `POST /api/v1/sessions/check`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Tokens of sessions, 1000 at most.
    pub tokens: Vec<String>,
}

/// `POST /api/v1/sessions/extend`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// The session's token.
    pub token: String,
}

/// `POST /api/v1/sessions/list`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Whose.
    pub account: AccountReference,
}

/// `POST /api/v1/sessions/revoke`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The token of the session to end.
    #[serde(default)]
    pub token: Option<String>,
    /// Whose sessions at this client to end.
    #[serde(default)]
    pub account: Option<AccountReference>,
    /// Signs the person out everywhere: browsers and other chat servers too.
    #[serde(default)]
    pub all: bool,
}

/// An account as a chat server names it: by its id or user name, or by the object that it got.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum AccountReference {
    /// Id or user name.
    Name(String),
    /// The object of an answer.
    Told {
        /// The account's id.
        id: String,
    },
}

impl AccountReference {
    /// Id or user name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Told { id } => id,
        }
    }
}

/// What a chat server is told of a person. The names are those of `user show`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Stable id.
    pub id: String,
    /// Stable number.
    pub numeric_id: i64,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the address was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Nickname.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// Position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Locale, BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
}

/// Whether one session stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether it does. All else is null where it does not.
    pub active: bool,
    /// Handle of the session; no secret.
    pub session: Option<String>,
    /// Whose it is.
    pub account: Option<AccountView>,
    /// When it ends if nobody extends it, RFC 3339.
    pub expires_at: Option<String>,
}

/// One session of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Handle; no secret.
    pub session: String,
    /// `web`, `mobile`, `desktop` or `sso`.
    pub kind: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Last use, RFC 3339.
    pub last_seen_at: String,
    /// When it ends if nobody extends it, RFC 3339.
    pub expires_at: String,
    /// Source address of the browser.
    pub ip: Option<String>,
    /// `User-Agent` of the browser.
    pub user_agent: Option<String>,
}

impl Listed {
    /// The entry of a session.
    #[must_use]
    pub fn of(session: &SessionRecord) -> Self {
        Self {
            session: session.id.to_string(),
            kind: session.kind.clone(),
            created_at: session.created_at.rfc3339(),
            last_seen_at: session.last_seen_at.rfc3339(),
            expires_at: ends_at(session).rfc3339(),
            ip: session.ip.clone(),
            user_agent: session.user_agent.clone(),
        }
    }
}

/// When a session ends if nobody uses it any more.
#[must_use]
pub fn ends_at(session: &SessionRecord) -> Timestamp {
    match u64::try_from(session.idle_timeout_millis) {
        Ok(idle) if idle > 0 => {
            session.expires_at.min(session.last_seen_at + Duration::from_millis(idle))
        }
        _ => session.expires_at,
    }
}

/// Whether use at `now` is worth a write: once a minute is enough, more often only where the idle
/// limit is so short that a minute counts.
#[must_use]
pub fn wants_touch(session: &SessionRecord, now: Timestamp) -> bool {
    let minute = Duration::from_secs(60);
    let worth = match u64::try_from(session.idle_timeout_millis) {
        Ok(idle) if idle > 0 => minute.min(Duration::from_millis(idle / 8)),
        _ => minute,
    };
    now.since(session.last_seen_at) >= worth
}

/// Whether the session behind a token stands for `client`: it is the client's, live, and the
/// person may still come in.
#[must_use]
pub fn stands(status: &AccessTokenStatus, client: &Client, now: Timestamp) -> bool {
    is_active(status, now)
        && status.session.client.as_deref() == Some(client.id())
        && client.allows_connector(&status.session.connector)
        && client.allows_groups(&status.account.groups)
}

/// What `client` is told of a session that stands.
#[must_use]
pub fn standing(session: &SessionRecord, account: &AccountRecord, client: &Client) -> Standing {
    let granted = client.narrow_scope(&Scope::of_stored(&session.scope));
    Standing {
        active: true,
        session: Some(session.id.to_string()),
        account: Some(view(account, client, &granted)),
        expires_at: Some(ends_at(session).rfc3339()),
    }
}

/// What `client` is told of a person.
#[must_use]
pub fn view(account: &AccountRecord, client: &Client, granted: &Scope) -> AccountView {
    let mut view = AccountView {
        id: account.id.to_string(),
        numeric_id: account.numeric_id,
        ..AccountView::default()
    };
    let told =
        |claim: &str, value: &Option<String>| value.clone().filter(|_| client.is_told(claim));
    if granted.contains(scope::PROFILE) {
        view.username = told("preferred_username", &Some(account.username.clone()));
        view.first_name = told("given_name", &account.first_name);
        view.last_name = told("family_name", &account.last_name);
        view.nickname = told("nickname", &account.nickname);
        view.position = told("position", &account.position);
        view.locale = told("locale", &account.locale);
    }
    if granted.contains(scope::EMAIL) {
        view.email = told("email", &account.email);
        view.email_verified = view.email.as_ref().map(|_| account.email_verified);
    }
    if granted.contains(scope::GROUPS) {
        let groups = account.groups.iter().filter(|group| client.is_told_group(group));
        view.groups = client.is_told("groups").then(|| groups.cloned().collect());
        view.roles = client.is_told("roles").then(|| account.roles.clone());
    }
    view
}

/// Whether the client is one of the sessions API.
#[must_use]
pub fn is_for(client: &Client) -> bool {
    client.kind() == ClientKind::SessionApi
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, settings};
    use crate::handoff::client_session::tests::client_session;
    use crate::secret::TokenHash;
    use crate::store::AccessTokenRecord;

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn client() -> ClientSettings {
        ClientSettings { kind: ClientKind::SessionApi, ..settings("chat") }
    }

    fn status() -> AccessTokenStatus {
        let session = client_session(NOW);
        let token = AccessTokenRecord {
            hash: TokenHash::of(b"token"),
            session: session.id,
            scope: session.scope.clone(),
            created_at: NOW,
            expires_at: session.expires_at,
        };
        AccessTokenStatus { token, session, account: account() }
    }

    #[test]
    fn a_session_stands_for_its_own_client_while_everything_holds() {
        let check = |change: fn(&mut AccessTokenStatus, &mut ClientSettings), expected: bool| {
            let (mut status, mut settings) = (status(), client());
            change(&mut status, &mut settings);
            assert_eq!(stands(&status, &confidential(settings), NOW), expected);
        };
        check(|_, _| (), true);
        check(|_, client| client.allowed_groups = Some(vec!["STAFF".into()]), true);
        check(|_, client| client.allowed_groups = Some(vec!["admins".into()]), false);
        check(|_, client| client.connectors = Some(vec!["okta".into()]), false);
        check(|_, client| client.id = "other".into(), false);
        check(|status, _| status.account.active = false, false);
        check(|status, _| status.session.revoked_at = Some(NOW), false);
        check(|status, _| status.session.expires_at = NOW, false);
        check(
            |status, _| {
                status.session.idle_timeout_millis = 60_000;
                status.session.last_seen_at = NOW - MINUTE;
            },
            false,
        );
    }

    #[test]
    fn the_end_is_the_earlier_of_both_limits() {
        let mut session = client_session(NOW);
        assert_eq!(ends_at(&session), session.expires_at);
        session.idle_timeout_millis = 60_000;
        assert_eq!(ends_at(&session), NOW + MINUTE);
        session.expires_at = NOW + Duration::from_secs(5);
        assert_eq!(ends_at(&session), session.expires_at);
    }

    #[test]
    fn use_is_written_once_a_minute_or_in_time_for_a_short_limit() {
        let mut session = client_session(NOW);
        assert!(!wants_touch(&session, NOW + Duration::from_secs(59)));
        assert!(wants_touch(&session, NOW + MINUTE));
        session.idle_timeout_millis = 60_000;
        assert!(!wants_touch(&session, NOW + Duration::from_secs(7)));
        assert!(wants_touch(&session, NOW + Duration::from_secs(8)));
    }

    #[test]
    fn what_is_told_follows_scope_and_filters() {
        let all = Scope::parse("profile email groups").unwrap();
        let everything = view(&account(), &confidential(client()), &all);
        assert_eq!(everything.username.as_deref(), Some("Alice"));
        assert_eq!(everything.email_verified, Some(true));
        assert_eq!(everything.groups.as_ref().map(Vec::len), Some(2));
        let nothing = view(&account(), &confidential(client()), &Scope::default());
        assert_eq!(serde_json::to_value(&nothing).unwrap().as_object().unwrap().len(), 2);
        let narrow = ClientSettings {
            claims: Some(vec!["preferred_username".into(), "groups".into()]),
            groups: Some(vec!["staff".into()]),
            ..client()
        };
        let narrow = view(&account(), &confidential(narrow), &all);
        assert_eq!((narrow.email, narrow.first_name, narrow.roles), (None, None, None));
        assert_eq!(narrow.groups, Some(vec!["staff".to_owned()]));
    }

    #[test]
    fn accounts_are_named_in_three_ways() {
        for (json, name) in [
            (serde_json::json!({ "account": "alice" }), "alice"),
            (serde_json::json!({ "account": { "id": "x", "email": "e" } }), "x"),
        ] {
            let list: List = serde_json::from_value(json).unwrap();
            assert_eq!(list.account.as_str(), name);
        }
    }
}
