//! The OAuth provider of GitLab, as Mattermost and other programs speak it: who the person is.
//!
//! What such a client reads it trusts: the number is the person for ever, the address counts as
//! verified, and a disabled account is switched on again by a sign-in. So a [`Person`] exists only
//! for an active account with a verified address, and nothing else makes the answer of
//! `/api/v4/user`. User names are in [`username`].

pub mod username;

use serde_json::{Value, json};

use super::acr::AuthenticationContext;
use super::issuer::Issuer;
use crate::store::{AccountRecord, SessionRecord};

/// Path of the authorization endpoint.
pub const AUTHORIZATION_PATH: &str = "/oauth/authorize";
/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Path of the answer to "who is this?".
pub const USER_PATH: &str = "/api/v4/user";

/// Longest address that Mattermost takes, in bytes.
const LONGEST_EMAIL: usize = 128;
/// Longest first or last name that Mattermost takes, in characters.
const LONGEST_NAME_PART: usize = 64;

/// Why an account's e-mail address will not do. The client takes the address as proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmailProblem {
    /// There is none.
    Missing,
    /// Neither a connector nor an administrator vouches for it.
    Unverified,
    /// It is longer than 128 bytes.
    TooLong,
}

impl EmailProblem {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "email_missing",
            Self::Unverified => "email_unverified",
            Self::TooLong => "email_too_long",
        }
    }
}

/// A person whom a client of kind gitlab may be told of.
#[derive(Clone, Debug)]
pub struct Person<'a> {
    account: &'a AccountRecord,
    email: &'a str,
}

impl<'a> Person<'a> {
    /// Judges the account's address. Whether the account is active is judged with its session.
    ///
    /// # Errors
    /// Says what is wrong with the address.
    pub fn of(account: &'a AccountRecord) -> Result<Self, EmailProblem> {
        // The normalised form is the unique one, and the one that Mattermost stores.
        let email = account.email_key.as_deref().filter(|email| !email.is_empty());
        let email = email.ok_or(EmailProblem::Missing)?;
        if !account.email_verified {
            return Err(EmailProblem::Unverified);
        }
        if email.len() > LONGEST_EMAIL {
            return Err(EmailProblem::TooLong);
        }
        Ok(Self { account, email })
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> &AccountRecord {
        self.account
    }

    /// The address, lower case, unique over all accounts.
    #[must_use]
    pub const fn email(&self) -> &str {
        self.email
    }

    /// The answer of `GET /api/v4/user`. `username` is the person's name at this client
    /// ([`username`]). Beside what Mattermost reads it has what other programs expect of GitLab.
    #[must_use]
    pub fn user_json(&self, username: &str, session: &SessionRecord, issuer: &Issuer) -> Value {
        let account = self.account;
        let two_factors =
            AuthenticationContext::of_session(&session.acr) == AuthenticationContext::Aal2;
        json!({
            "id": account.numeric_id,
            "username": username,
            "login": username,
            "name": name(account, username),
            "email": self.email,
            "commit_email": self.email,
            "public_email": "",
            "confirmed_at": account.created_at.rfc3339(),
            "created_at": account.created_at.rfc3339(),
            "state": "active",
            "locked": false,
            "bot": false,
            "external": account.roles.iter().any(|role| role == "guest"),
            "avatar_url": null,
            "web_url": issuer.endpoint("/account"),
            "website_url": "",
            "bio": "",
            "location": null,
            "organization": null,
            "job_title": account.position.as_deref().unwrap_or_default(),
            "preferred_language": account.locale.as_deref().unwrap_or("en"),
            "identities": [],
            "two_factor_enabled": two_factors,
            "can_create_group": false,
            "can_create_project": false,
            "projects_limit": 0,
        })
    }
}

/// The full name: Mattermost takes the first word as the first name and the rest as the last name.
fn name(account: &AccountRecord, username: &str) -> String {
    let words = |text: &Option<String>| -> Vec<String> {
        let text = text.as_deref().unwrap_or_default();
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let mut all = [words(&account.first_name), words(&account.last_name)].concat();
    if all.is_empty() {
        all = words(&account.nickname);
    }
    if all.is_empty() {
        return username.to_owned();
    }
    let last = all.split_off(1).join(" ");
    let cut = |text: &str| -> String { text.chars().take(LONGEST_NAME_PART).collect() };
    let first = cut(&all.concat());
    let last = cut(&last);
    if last.is_empty() { first } else { format!("{first} {}", last.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::handoff::claims::tests::account;
    use crate::handoff::client_session::tests::client_session;

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    fn issuer() -> Issuer {
        Issuer::new(&url::Url::parse("https://sso.example.com").unwrap())
    }

    fn with(change: impl FnOnce(&mut AccountRecord)) -> AccountRecord {
        let mut account = account();
        change(&mut account);
        account
    }

    #[test]
    fn nobody_is_told_of_without_a_verified_address() {
        let problem = |change: fn(&mut AccountRecord)| Person::of(&with(change)).map(drop);
        assert_eq!(problem(|_| ()), Ok(()));
        assert_eq!(problem(|a| a.email_key = None), Err(EmailProblem::Missing));
        assert_eq!(problem(|a| a.email_key = Some(String::new())), Err(EmailProblem::Missing));
        assert_eq!(problem(|a| a.email_verified = false), Err(EmailProblem::Unverified));
        let long = |a: &mut AccountRecord| a.email_key = Some(format!("{}@b.cd", "a".repeat(124)));
        assert_eq!(problem(long), Err(EmailProblem::TooLong));
    }

    #[test]
    fn the_answer_has_what_mattermost_and_others_read() {
        let account = with(|a| {
            a.numeric_id = 9_007_199_254_740_991;
            a.email_key = Some("alice@example.com".to_owned());
        });
        let user =
            Person::of(&account).unwrap().user_json("alice", &client_session(NOW), &issuer());
        assert_eq!(user["id"].as_i64(), Some(9_007_199_254_740_991), "a number, not a text");
        for (field, value) in [
            ("username", "alice"),
            ("login", "alice"),
            ("email", "alice@example.com"),
            ("name", "Alice Archer"),
            ("state", "active"),
            ("web_url", "https://sso.example.com/account"),
        ] {
            assert_eq!(user[field], value, "{field}");
        }
        assert_eq!(user["avatar_url"], Value::Null);
        assert_eq!(user["two_factor_enabled"], true);
    }

    #[test]
    fn names_fit_mattermost() {
        let of = |first: &str, last: &str, nick: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let account = with(|a| {
                (a.first_name, a.last_name, a.nickname) = (some(first), some(last), some(nick));
            });
            name(&account, "user")
        };
        assert_eq!(of("Jane", "van Doe", ""), "Jane van Doe");
        assert_eq!(of("", "", "Jay  Dee"), "Jay Dee");
        assert_eq!(of("", "", ""), "user");
        assert_eq!(of(" Zoë\n", "", ""), "Zoë");
        let long = of(&"f".repeat(100), &"l".repeat(100), "");
        assert_eq!(long, format!("{} {}", "f".repeat(64), "l".repeat(64)));
    }
}
