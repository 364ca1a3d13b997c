//! What a client is told about a person: by granted scope, and by the client's own filters.
//!
//! The ID token and the userinfo endpoint say the same (OpenID Connect Core 1.0 section 5.4).

use chrono::DateTime;
use openidconnect::core::CoreGenderClaim;
use openidconnect::{
    AdditionalClaims, EndUserEmail, EndUserFamilyName, EndUserGivenName, EndUserName,
    EndUserNickname, EndUserUsername, LanguageTag, LocalizedClaim, StandardClaims,
    SubjectIdentifier, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use super::claim_rule::further_claims;
use super::client::Client;
use super::scope::{self, Scope};
use crate::store::{AccountRecord, ClaimMap};

/// Claims about groups and roles; not standardised, but named alike by all larger providers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupClaims {
    /// Groups as the connector gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Roles: `member`, `guest`, `administrator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Further claims: as the connector mapped them, one value as a text and several as a list, and
    /// what the rules of the client give.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// Claims that the broker makes itself, or that others must not write (RFC 7519 section 4.1,
/// OpenID Connect Core 1.0 sections 2 and 5.1, Back-Channel Logout 1.0 section 2.4, RFC 7800, RFC
/// 8693): the configuration refuses them, and a connector's are left out.
const OWN: &[&str] = &[
    "_claim_names",
    "_claim_sources",
    "acr",
    "act",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "c_hash",
    "client_id",
    "cnf",
    "email",
    "email_verified",
    "events",
    "exp",
    "family_name",
    "given_name",
    "groups",
    "iat",
    "iss",
    "jti",
    "locale",
    "may_act",
    "name",
    "nbf",
    "nickname",
    "nonce",
    "preferred_username",
    "roles",
    "s_hash",
    "scope",
    "sid",
    "sub",
    "sub_jwk",
    "updated_at",
];
/// What groups bring; told with the scope of groups, and always as lists.
const OF_GROUPS: &[&str] = &["channels", "teams"];
/// Too large for an ID token, which travels in headers and is kept in sessions.
const PICTURE: &str = "picture";

impl AdditionalClaims for GroupClaims {}

/// The answer of the userinfo endpoint.
pub type UserInfo = UserInfoClaims<GroupClaims, CoreGenderClaim>;

/// Whether a claim is made by the broker itself, so that no rule and no connector may set it.
#[must_use]
pub fn is_own_claim(name: &str) -> bool {
    OWN.contains(&name)
}

/// The standard claims that `scope` grants, without those that `client` is not told.
#[must_use]
pub fn standard_claims(
    account: &AccountRecord,
    subject: &SubjectIdentifier,
    client: &Client,
    scope: &Scope,
) -> StandardClaims<CoreGenderClaim> {
    let mut claims = StandardClaims::new(subject.clone());
    let told =
        |claim: &str, value: Option<&String>| value.filter(|_| client.is_told(claim)).cloned();
    if scope.contains(scope::PROFILE) {
        let name = full_name(account);
        let updated_at = DateTime::from_timestamp(account.updated_at.seconds(), 0);
        claims = claims
            .set_preferred_username(
                told("preferred_username", Some(&account.username)).map(EndUserUsername::new),
            )
            .set_name(told("name", Some(&name)).map(EndUserName::new).map(plain))
            .set_given_name(
                told("given_name", account.first_name.as_ref())
                    .map(EndUserGivenName::new)
                    .map(plain),
            )
            .set_family_name(
                told("family_name", account.last_name.as_ref())
                    .map(EndUserFamilyName::new)
                    .map(plain),
            )
            .set_nickname(
                told("nickname", account.nickname.as_ref()).map(EndUserNickname::new).map(plain),
            )
            .set_locale(told("locale", account.locale.as_ref()).map(LanguageTag::new))
            .set_updated_at(updated_at.filter(|_| client.is_told("updated_at")));
    }
    if scope.contains(scope::EMAIL)
        && let Some(email) = told("email", account.email.as_ref())
    {
        let verified = client.is_told("email_verified").then_some(account.email_verified);
        claims = claims.set_email(Some(EndUserEmail::new(email))).set_email_verified(verified);
    }
    claims
}

/// Whether a client may be told of any claim that a connector mapped, or is told something by one,
/// so that they must be read.
#[must_use]
pub fn tells_connector_claims(client: &Client, scope: &Scope) -> bool {
    if client.claim_rules().iter().any(|rule| rule.claim.is_some()) {
        return true;
    }
    (scope.contains(scope::PROFILE) || scope.contains(scope::GROUPS))
        && client.told_claims().is_none_or(|told| told.iter().any(|name| !is_own_claim(name)))
}

/// The claims about groups that `scope` grants, without the groups that `client` is not told of,
/// and the further ones; the picture only where `with_picture`.
#[must_use]
pub fn group_claims(
    account: &AccountRecord,
    kept: &ClaimMap,
    client: &Client,
    scope: &Scope,
    with_picture: bool,
) -> GroupClaims {
    let of_groups = scope.contains(scope::GROUPS);
    let of_person = scope.contains(scope::PROFILE);
    let told = |name: &str| {
        if OF_GROUPS.contains(&name) {
            of_groups
        } else {
            of_person && !OWN.contains(&name) && (with_picture || name != PICTURE)
        }
    };
    let mut more: BTreeMap<String, Value> = kept
        .iter()
        .filter(|(name, _)| told(name) && client.is_told(name))
        .map(|(name, values)| (name.clone(), claim_value(name, values)))
        .collect();
    // What the administrator says for this client counts more than what a connector sent.
    let by_rule = further_claims(client.claim_rules(), account, kept);
    more.extend(by_rule.into_iter().map(|(name, value)| (name, Value::String(value))));
    if !of_groups {
        return GroupClaims { groups: None, roles: None, more };
    }
    let groups = account.groups.iter().filter(|group| client.is_told_group(group)).cloned();
    GroupClaims {
        groups: client.is_told("groups").then(|| groups.collect()),
        roles: client.is_told("roles").then(|| account.roles.clone()),
        more,
    }
}

fn claim_value(name: &str, values: &[String]) -> Value {
    match values {
        [one] if !OF_GROUPS.contains(&name) => Value::String(one.clone()),
        all => Value::Array(all.iter().cloned().map(Value::String).collect()),
    }
}

/// The answer of the userinfo endpoint.
#[must_use]
pub fn userinfo(
    account: &AccountRecord,
    subject: &SubjectIdentifier,
    more: &ClaimMap,
    client: &Client,
    scope: &Scope,
) -> UserInfo {
    UserInfoClaims::new(
        standard_claims(account, subject, client, scope),
        group_claims(account, more, client, scope, true),
    )
}

fn full_name(account: &AccountRecord) -> String {
    let parts = [account.first_name.as_deref(), account.last_name.as_deref()];
    let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if !name.trim().is_empty() {
        return name;
    }
    account.nickname.clone().unwrap_or_else(|| account.username.clone())
}

fn plain<T>(value: T) -> LocalizedClaim<T> {
    let mut claim = LocalizedClaim::new();
    claim.insert(None, value);
    claim
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, settings};
    use crate::handoff::subject;
    use crate::store::AccountId;

    pub(crate) fn account() -> AccountRecord {
        let at = Timestamp::from_seconds(1_763_000_000);
        AccountRecord {
            id: AccountId(Uuid::from_u128(42)),
            numeric_id: 1,
            username: "Alice".to_owned(),
            username_key: "alice".to_owned(),
            email: Some("alice@example.com".to_owned()),
            email_key: Some("alice@example.com".to_owned()),
            email_verified: true,
            first_name: Some("Alice".to_owned()),
            last_name: Some("Archer".to_owned()),
            nickname: Some("ali".to_owned()),
            position: None,
            locale: Some("de-AT".to_owned()),
            active: true,
            inactive_reason: None,
            roles: vec!["member".to_owned()],
            groups: vec!["staff".to_owned(), "secret".to_owned()],
            created_at: at,
            updated_at: at,
            last_login_at: None,
            checked_at: None,
            version: 1,
        }
    }

    fn told(scope: &str, client: ClientSettings) -> serde_json::Value {
        let scope = Scope::parse(scope).unwrap();
        let more = ClaimMap::from([
            ("department".to_owned(), vec!["42".to_owned()]),
            ("phones".to_owned(), vec!["1".to_owned(), "2".to_owned()]),
            ("teams".to_owned(), vec!["eng".to_owned()]),
            ("picture".to_owned(), vec!["data:,x".to_owned()]),
            // A connector must not say who somebody is.
            ("sub".to_owned(), vec!["mallory".to_owned()]),
            ("email".to_owned(), vec!["mallory@example.com".to_owned()]),
        ]);
        let (account, client) = (account(), confidential(client));
        let in_token = group_claims(&account, &more, &client, &scope, false);
        assert!(!in_token.more.contains_key("picture"), "not in an ID token");
        let subject = subject::public(account.id);
        serde_json::to_value(userinfo(&account, &subject, &more, &client, &scope)).unwrap()
    }

    #[test]
    fn claims_follow_the_scope() {
        let sub = Uuid::from_u128(42).to_string();
        assert_eq!(told("openid", settings("chat")), serde_json::json!({ "sub": sub }));
        assert_eq!(
            told("openid email", settings("chat")),
            serde_json::json!({ "sub": sub, "email": "alice@example.com", "email_verified": true })
        );
        assert_eq!(
            told("openid profile", settings("chat")),
            serde_json::json!({
                "sub": sub, "preferred_username": "Alice", "name": "Alice Archer",
                "given_name": "Alice", "family_name": "Archer", "nickname": "ali",
                "locale": "de-AT", "updated_at": 1_763_000_000, "department": "42",
                "phones": ["1", "2"], "picture": "data:,x",
            })
        );
    }

    #[test]
    fn a_client_is_told_of_its_groups_only() {
        let all = told("openid groups", settings("chat"));
        assert_eq!(all["groups"], serde_json::json!(["staff", "secret"]));
        assert_eq!(all["roles"], serde_json::json!(["member"]));
        assert_eq!(all["teams"], serde_json::json!(["eng"]));
        let narrow = ClientSettings { groups: Some(vec!["staff".to_owned()]), ..settings("chat") };
        assert_eq!(told("openid groups", narrow)["groups"], serde_json::json!(["staff"]));
    }

    #[test]
    fn no_address_means_no_claim_about_one() {
        let account = AccountRecord { email: None, email_verified: false, ..account() };
        let scope = Scope::parse("openid email").unwrap();
        let (subject, client) = (subject::public(account.id), confidential(settings("chat")));
        let claims = standard_claims(&account, &subject, &client, &scope);
        let claims = serde_json::to_value(claims).unwrap();
        assert_eq!(claims.as_object().unwrap().len(), 1);
    }

    #[test]
    fn claims_of_connectors_are_read_only_where_one_may_be_told() {
        let client = |claims: Option<&[&str]>| {
            let claims = claims.map(|all| all.iter().map(|name| (*name).to_owned()).collect());
            confidential(ClientSettings { claims, ..settings("chat") })
        };
        for (scope, claims, read) in [
            ("openid email", None, false),
            ("openid profile", None, true),
            ("openid groups", None, true),
            ("openid profile groups", Some(&["name", "groups"][..]), false),
        ] {
            let scope = Scope::parse(scope).unwrap();
            assert_eq!(
                tells_connector_claims(&client(claims), &scope),
                read,
                "{scope:?} {claims:?}"
            );
            // What is not read would not have been told.
            let more = ClaimMap::from([("department".to_owned(), vec!["42".to_owned()])]);
            let told = group_claims(&account(), &more, &client(claims), &scope, true).more;
            assert!(read || told.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn no_connector_writes_a_claim_of_the_broker() {
        let (account, client) = (account(), confidential(settings("chat")));
        let more = OWN.iter().map(|name| ((*name).to_owned(), vec!["mallory".to_owned()]));
        let scope = Scope::parse("openid profile email groups").unwrap();
        let claims = group_claims(&account, &more.collect(), &client, &scope, true);
        assert_eq!(claims.more, BTreeMap::new());
        // Whatever the broker itself says of a person is on the list.
        let (subject, none) = (subject::public(account.id), ClaimMap::new());
        let own = userinfo(&account, &subject, &none, &client, &scope);
        for name in serde_json::to_value(own).unwrap().as_object().unwrap().keys() {
            assert!(is_own_claim(name), "{name}");
        }
    }

    #[test]
    fn names_fall_back() {
        let nobody = AccountRecord { first_name: None, last_name: None, ..account() };
        assert_eq!(full_name(&nobody), "ali");
        assert_eq!(full_name(&AccountRecord { nickname: None, ..nobody }), "Alice");
    }

    #[test]
    fn a_client_is_told_its_claims_only() {
        let claims = |list: &[&str]| ClientSettings {
            claims: Some(list.iter().map(|name| (*name).to_owned()).collect()),
            ..settings("chat")
        };
        let sub = Uuid::from_u128(42).to_string();
        let all = "openid profile email groups";
        assert_eq!(
            told(all, claims(&["name", "email", "roles"])),
            serde_json::json!({
                "sub": sub, "name": "Alice Archer", "email": "alice@example.com",
                "roles": ["member"],
            })
        );
        assert_eq!(told("openid", claims(&["email"])), serde_json::json!({ "sub": sub }));
    }
}
