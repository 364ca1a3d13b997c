//! What a Mattermost server is to be told over its REST API, because it never asks again after a
//! sign-in: who is out, who is back, whose profile changed, who belongs where.
//!
//! A delivery says that something changed; what is done follows from how both sides are at that
//! moment ([`plan`]), so that a late or repeated delivery does no harm. User name, full name and
//! address belong to the sign-in: Mattermost refuses others to change them. Moving existing
//! accounts over is in [`adoption`].

pub mod adoption;
pub mod membership;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::{AccountRecord, OutboxEventKind};

/// `auth_service` of accounts that sign in through us.
pub const AUTH_SERVICE: &str = "gitlab";
/// The role of administrators there.
pub const SYSTEM_ADMIN: &str = "system_admin";

/// Longest nickname there, in characters.
const LONGEST_NICKNAME: usize = 64;
/// Longest position there, in characters.
const LONGEST_POSITION: usize = 128;

/// Languages that Mattermost has texts in (`server/public/shared/i18n`).
const LOCALES: [&str; 22] = [
    "bg", "de", "en", "en-AU", "es", "fa", "fr", "hu", "it", "ja", "ko", "nl", "pl", "pt-BR", "ro",
    "ru", "sv", "tr", "uk", "vi", "zh-CN", "zh-TW",
];

/// An account as Mattermost's API gives it. It never gives `auth_data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteUser {
    /// Its id there.
    pub id: String,
    /// User name.
    pub username: String,
    /// E-mail address.
    pub email: String,
    /// Whether Mattermost saw the address proved.
    pub email_verified: bool,
    /// How it signs in: empty for a password, else `gitlab`, `ldap`, `saml`, …
    pub auth_service: String,
    /// Nickname.
    pub nickname: String,
    /// Position.
    pub position: String,
    /// Language.
    pub locale: String,
    /// Roles, separated by blanks.
    pub roles: String,
    /// When it was deactivated, in milliseconds; 0 for never.
    pub delete_at: i64,
    /// Whether it is a bot's.
    pub is_bot: bool,
}

impl RemoteUser {
    /// Whether it administers the server.
    #[must_use]
    pub fn is_system_admin(&self) -> bool {
        self.roles.split(' ').any(|role| role == SYSTEM_ADMIN)
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// `PUT /users/{id}/active` with false.
    Deactivate,
    /// `PUT /users/{id}/active` with true.
    Activate,
    /// `POST /users/{id}/sessions/revoke/all`.
    EndSessions,
    /// `PUT /users/{id}/patch` with these fields.
    Patch(Map<String, Value>),
}

/// The calls that bring the account there up to date, in order.
///
/// `deactivated_by_us`: whether it was we who made it inactive there. One that an administrator of
/// Mattermost made inactive stays so.
#[must_use]
pub fn plan(
    account: &AccountRecord,
    remote: &RemoteUser,
    deactivated_by_us: bool,
    event: OutboxEventKind,
) -> Vec<Push> {
    let is_active_there = remote.delete_at == 0;
    if !account.active {
        let mut calls = Vec::new();
        if is_active_there {
            calls.push(Push::Deactivate);
        }
        if is_active_there || event == OutboxEventKind::AccountDisabled {
            calls.push(Push::EndSessions);
        }
        return calls;
    }
    let mut calls = Vec::new();
    if !is_active_there {
        if !deactivated_by_us {
            return calls;
        }
        calls.push(Push::Activate);
    }
    if event == OutboxEventKind::SessionsRevoked {
        calls.push(Push::EndSessions);
    }
    let changed = patch(account, remote);
    if !changed.is_empty() {
        calls.push(Push::Patch(changed));
    }
    calls
}

/// What differs of nickname, position and language. What we know nothing of is left to its owner.
fn patch(account: &AccountRecord, remote: &RemoteUser) -> Map<String, Value> {
    let cut = |text: &Option<String>, length| {
        text.as_deref().map(|text| text.chars().take(length).collect::<String>())
    };
    let wanted = [
        ("nickname", cut(&account.nickname, LONGEST_NICKNAME), &remote.nickname),
        ("position", cut(&account.position, LONGEST_POSITION), &remote.position),
        ("locale", account.locale.as_deref().and_then(locale).map(str::to_owned), &remote.locale),
    ];
    let differing = wanted.into_iter().filter_map(|(field, wanted, held)| {
        wanted.filter(|wanted| wanted != held).map(|wanted| (field.to_owned(), wanted.into()))
    });
    differing.collect()
}

/// The language of Mattermost's list that is nearest to a BCP 47 tag.
#[must_use]
pub fn locale(tag: &str) -> Option<&'static str> {
    let tag = tag.replace('_', "-");
    let exact = LOCALES.into_iter().find(|locale| locale.eq_ignore_ascii_case(&tag));
    let language = tag.split('-').next().unwrap_or_default();
    let of_language = || {
        LOCALES.into_iter().find(|locale| {
            let (name, _) = locale.split_once('-').unwrap_or((locale, ""));
            name.eq_ignore_ascii_case(language)
        })
    };
    exact.or_else(of_language)
}

/// The account to be made there before a first sign-in. It has no password, and belongs to this
/// number for good.
#[must_use]
pub fn new_user(account: &AccountRecord, username: &str, email: &str) -> Value {
    let mut user = serde_json::json!({
        "username": username,
        "email": email,
        "email_verified": true,
        "auth_service": AUTH_SERVICE,
        "auth_data": account.numeric_id.to_string(),
        "first_name": account.first_name.as_deref().unwrap_or_default(),
        "last_name": account.last_name.as_deref().unwrap_or_default(),
    });
    if let Some(members) = user.as_object_mut() {
        members.extend(patch(account, &RemoteUser::default()));
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::claims::tests::account;

    fn remote() -> RemoteUser {
        RemoteUser {
            id: "mm".to_owned(),
            nickname: "ali".to_owned(),
            locale: "de".to_owned(),
            ..RemoteUser::default()
        }
    }

    fn gone() -> RemoteUser {
        RemoteUser { delete_at: 5, ..remote() }
    }

    fn inactive() -> AccountRecord {
        AccountRecord { active: false, ..account() }
    }

    use OutboxEventKind::{AccountDisabled, AccountEnabled, AccountUpdated, SessionsRevoked};

    #[test]
    fn who_is_out_is_out_there() {
        let both = [Push::Deactivate, Push::EndSessions];
        for event in [AccountDisabled, AccountUpdated, SessionsRevoked] {
            assert_eq!(plan(&inactive(), &remote(), false, event), both, "{event}");
        }
        assert_eq!(plan(&inactive(), &gone(), true, AccountDisabled), [Push::EndSessions]);
        assert_eq!(plan(&inactive(), &gone(), true, AccountUpdated), []);
    }

    #[test]
    fn who_is_back_is_back_if_it_was_we() {
        assert_eq!(plan(&account(), &gone(), true, AccountEnabled), [Push::Activate]);
        for event in [AccountEnabled, AccountUpdated, SessionsRevoked] {
            assert_eq!(plan(&account(), &gone(), false, event), [], "an administrator's decision");
        }
    }

    #[test]
    fn a_late_event_does_what_is_right_now() {
        // Disabled and enabled again before the first was delivered.
        assert_eq!(plan(&account(), &remote(), false, AccountDisabled), []);
        assert_eq!(plan(&inactive(), &remote(), false, AccountEnabled).len(), 2);
    }

    #[test]
    fn only_what_differs_and_is_ours_is_patched() {
        let fields = |account: &AccountRecord| {
            let calls = plan(account, &remote(), false, AccountUpdated);
            match calls.as_slice() {
                [] => Value::Null,
                [Push::Patch(fields)] => Value::Object(fields.clone()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(fields(&account()), Value::Null, "de-AT is de there");
        let changed = AccountRecord {
            nickname: Some("n".repeat(100)),
            position: Some("Boss".to_owned()),
            locale: Some("xx".to_owned()),
            ..account()
        };
        let expected = serde_json::json!({ "nickname": "n".repeat(64), "position": "Boss" });
        assert_eq!(fields(&changed), expected);
        let unknown = AccountRecord { nickname: None, locale: None, ..account() };
        assert_eq!(fields(&unknown), Value::Null, "what we do not know stays");
    }

    #[test]
    fn languages_of_mattermosts_list() {
        for (tag, expected) in [
            ("de-AT", Some("de")),
            ("en_au", Some("en-AU")),
            ("pt", Some("pt-BR")),
            ("zh-Hant", Some("zh-CN")),
            ("zh-tw", Some("zh-TW")),
            ("tlh", None),
            ("", None),
        ] {
            assert_eq!(locale(tag), expected, "{tag:?}");
        }
    }

    #[test]
    fn a_new_account_is_bound_to_its_number() {
        let user = new_user(&AccountRecord { numeric_id: 6001, ..account() }, "alice", "a@b.cd");
        assert_eq!((&user["auth_service"], &user["auth_data"]), (&"gitlab".into(), &"6001".into()));
        assert_eq!((&user["username"], &user["email"]), (&"alice".into(), &"a@b.cd".into()));
        assert_eq!((&user["nickname"], &user["locale"]), (&"ali".into(), &"de".into()));
        assert!(user.get("password").is_none());
    }
}
