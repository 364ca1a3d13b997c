//! Moving existing Mattermost accounts over: who is whom, as a plan that a person reads first.
//!
//! This is the only place where accounts of both sides are ever matched by their address, and only
//! where it is unique and proved on both sides. System administrators and bots are left out unless
//! named. Whatever is not certain is a collision and stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AUTH_SERVICE, RemoteUser};
use crate::account::email_key;
use crate::store::{AccountId, AccountRecord, ClientAccountRecord};

/// What is to be done, and what is not and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptionPlan {
    /// The client.
    pub client: String,
    /// The server that was read.
    pub server: String,
    /// When, RFC 3339.
    pub made_at: String,
    /// Accounts that will sign in through us.
    pub adopt: Vec<Adoption>,
    /// Accounts that a person has to look at; nothing is done with them.
    pub collisions: Vec<NotAdopted>,
    /// Accounts that are left as they are on purpose.
    pub left_out: Vec<NotAdopted>,
}

/// One account there, and the one here that it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adoption {
    /// There.
    pub mattermost: RemoteSide,
    /// Here.
    pub account: OwnSide,
}

/// An account there, as the plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteSide {
    /// Its id.
    pub id: String,
    /// User name.
    pub username: String,
    /// Address.
    pub email: String,
    /// How it signs in; empty for a password.
    pub auth_service: String,
    /// Roles.
    pub roles: String,
}

/// An account here, as the plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSide {
    /// Its id.
    pub id: AccountId,
    /// Its number.
    pub numeric_id: i64,
    /// User name.
    pub username: String,
    /// Address.
    pub email: String,
}

/// An account there that is not adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotAdopted {
    /// There.
    pub mattermost: RemoteSide,
    /// The account here that it might be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<OwnSide>,
    /// Why not.
    pub reason: String,
}

/// What a person decided beforehand.
#[derive(Clone, Debug, Default)]
pub struct AdoptionChoices {
    /// User names of system administrators and bots there that are to be adopted all the same.
    pub include: Vec<String>,
    /// Whether an address counts that Mattermost never saw proved.
    pub accept_unverified: bool,
}

impl From<&RemoteUser> for RemoteSide {
    fn from(user: &RemoteUser) -> Self {
        Self {
            id: user.id.clone(),
            username: user.username.clone(),
            email: user.email.clone(),
            auth_service: user.auth_service.clone(),
            roles: user.roles.clone(),
        }
    }
}

impl From<&AccountRecord> for OwnSide {
    fn from(account: &AccountRecord) -> Self {
        Self {
            id: account.id,
            numeric_id: account.numeric_id,
            username: account.username.clone(),
            email: account.email_key.clone().unwrap_or_default(),
        }
    }
}

/// Fills the three lists of a plan.
#[must_use]
pub fn plan(
    users: &[RemoteUser],
    accounts: &[AccountRecord],
    known: &[ClientAccountRecord],
    choices: &AdoptionChoices,
) -> AdoptionPlan {
    let sides = Sides::new(users, accounts, known);
    let mut plan = AdoptionPlan::default();
    for user in users {
        let account = email_key(&user.email).and_then(|key| sides.accounts.get(&key).copied());
        let not = |reason: &str| NotAdopted {
            mattermost: user.into(),
            account: account.map(OwnSide::from),
            reason: reason.to_owned(),
        };
        if let Some(reason) = sides.leaves_out(user, account, choices) {
            plan.left_out.push(not(reason));
        } else if let Some(reason) = sides.collides(user, account, choices) {
            plan.collisions.push(not(reason));
        } else if let Some(account) = account {
            plan.adopt.push(Adoption { mattermost: user.into(), account: account.into() });
        } else {
            plan.left_out.push(not("no_account_here"));
        }
    }
    plan
}

/// Both sides, ready to be asked.
struct Sides<'a> {
    accounts: BTreeMap<String, &'a AccountRecord>,
    addresses_there: BTreeMap<String, usize>,
    remote_of: BTreeMap<AccountId, &'a str>,
    account_of: BTreeMap<&'a str, AccountId>,
}

impl<'a> Sides<'a> {
    fn new(
        users: &[RemoteUser],
        accounts: &'a [AccountRecord],
        known: &'a [ClientAccountRecord],
    ) -> Self {
        let with_address = accounts.iter().filter_map(|one| Some((one.email_key.clone()?, one)));
        let mut addresses_there = BTreeMap::new();
        for key in users.iter().filter_map(|user| email_key(&user.email)) {
            *addresses_there.entry(key).or_insert(0) += 1;
        }
        let pairs =
            || known.iter().filter_map(|one| Some((one.account, one.remote_id.as_deref()?)));
        Self {
            accounts: with_address.collect(),
            addresses_there,
            remote_of: pairs().collect(),
            account_of: pairs().map(|(account, remote)| (remote, account)).collect(),
        }
    }

    /// Why nobody would expect this account to be adopted.
    fn leaves_out(
        &self,
        user: &RemoteUser,
        account: Option<&AccountRecord>,
        choices: &AdoptionChoices,
    ) -> Option<&'static str> {
        let is_named = choices.include.iter().any(|name| *name == user.username);
        let adopted = self.account_of.get(user.id.as_str());
        if adopted.is_some() && adopted == account.map(|account| &account.id) {
            Some("adopted_already")
        } else if user.is_bot && !is_named {
            Some("bot")
        } else if user.is_system_admin() && !is_named {
            Some("system_administrator")
        } else if user.delete_at != 0 {
            Some("deactivated_there")
        } else {
            None
        }
    }

    /// Why this account cannot be adopted although it looks as if it should.
    fn collides(
        &self,
        user: &RemoteUser,
        account: Option<&AccountRecord>,
        choices: &AdoptionChoices,
    ) -> Option<&'static str> {
        if self.account_of.contains_key(user.id.as_str()) {
            return Some("is_another_accounts_already");
        }
        let account = account?;
        let key = account.email_key.as_deref().unwrap_or_default();
        if !matches!(user.auth_service.as_str(), "" | "email" | AUTH_SERVICE) {
            Some("signs_in_by_another_method")
        } else if self.addresses_there.get(key).is_some_and(|count| *count > 1) {
            Some("address_of_several_there")
        } else if self.remote_of.contains_key(&account.id) {
            Some("account_has_another_user_already")
        } else if !account.active {
            Some("account_inactive_here")
        } else if !account.email_verified {
            Some("address_unverified_here")
        } else if !user.email_verified && !choices.accept_unverified {
            Some("address_unverified_there")
        } else {
            None
        }
    }
}

/// Whether what the plan says of one account still holds, just before it is carried out.
///
/// # Errors
/// The word for what changed.
pub fn still_holds(
    adoption: &Adoption,
    user: &RemoteUser,
    account: Option<&AccountRecord>,
) -> Result<(), &'static str> {
    let account = account.ok_or("account_gone_here")?;
    if OwnSide::from(account) != adoption.account {
        Err("account_changed_here")
    } else if !account.active {
        Err("account_inactive_here")
    } else if !account.email_verified {
        Err("address_unverified_here")
    } else if RemoteSide::from(user) != adoption.mattermost || user.delete_at != 0 {
        Err("user_changed_there")
    } else {
        Ok(())
    }
}

/// What makes a plan unusable as a whole: an account or user stands in it twice.
///
/// # Errors
/// The id that does.
pub fn check_unique(plan: &AdoptionPlan) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for adoption in &plan.adopt {
        for id in [adoption.mattermost.id.clone(), adoption.account.id.to_string()] {
            if !seen.insert(id.clone()) {
                return Err(id);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::handoff::claims::tests::account;

    fn here(n: u128, email: &str) -> AccountRecord {
        AccountRecord {
            id: AccountId(Uuid::from_u128(n)),
            numeric_id: i64::try_from(n).unwrap(),
            email: Some(email.to_owned()),
            email_key: email_key(email),
            ..account()
        }
    }

    fn there(id: &str, email: &str) -> RemoteUser {
        RemoteUser {
            id: id.to_owned(),
            username: format!("user-{id}"),
            email: email.to_owned(),
            email_verified: true,
            roles: "system_user".to_owned(),
            ..RemoteUser::default()
        }
    }

    fn known(account: u128, remote: &str) -> ClientAccountRecord {
        ClientAccountRecord {
            client: "chat".to_owned(),
            account: AccountId(Uuid::from_u128(account)),
            username: None,
            remote_id: Some(remote.to_owned()),
            deactivated: false,
            memberships: "[]".to_owned(),
            updated_at: account_time(),
            version: 1,
        }
    }

    fn account_time() -> crate::clock::Timestamp {
        account().updated_at
    }

    /// What becomes of one user there with the address of account 1.
    fn fate(
        change: impl FnOnce(&mut RemoteUser, &mut AccountRecord),
        known: &[ClientAccountRecord],
        choices: &AdoptionChoices,
    ) -> String {
        let (mut user, mut own) = (there("a", "Jane@example.org"), here(1, "jane@example.org"));
        change(&mut user, &mut own);
        let plan = plan(&[user], &[own, here(2, "other@example.org")], known, choices);
        match (plan.adopt.as_slice(), plan.collisions.as_slice(), plan.left_out.as_slice()) {
            ([_], [], []) => "adopt".to_owned(),
            ([], [one], []) => format!("collision {}", one.reason),
            ([], [], [one]) => format!("left out {}", one.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_becomes_of_an_account() {
        let none = AdoptionChoices::default();
        let plain = |change: fn(&mut RemoteUser, &mut AccountRecord)| fate(change, &[], &none);
        assert_eq!(plain(|_, _| ()), "adopt");
        assert_eq!(plain(|user, _| user.auth_service = "gitlab".into()), "adopt");
        assert_eq!(
            plain(|user, _| user.email = "new@example.org".into()),
            "left out no_account_here"
        );
        assert_eq!(plain(|user, _| user.is_bot = true), "left out bot");
        let admin = |user: &mut RemoteUser, _: &mut AccountRecord| {
            user.roles = "system_user system_admin".to_owned();
        };
        assert_eq!(fate(admin, &[], &none), "left out system_administrator");
        let named = AdoptionChoices { include: vec!["user-a".into()], ..none.clone() };
        assert_eq!(fate(admin, &[], &named), "adopt");
        assert_eq!(plain(|user, _| user.delete_at = 1), "left out deactivated_there");
        let method = "collision signs_in_by_another_method";
        assert_eq!(plain(|user, _| user.auth_service = "ldap".into()), method);
        assert_eq!(plain(|_, own| own.active = false), "collision account_inactive_here");
        let unverified = "collision address_unverified_here";
        assert_eq!(plain(|_, own| own.email_verified = false), unverified);
        let there = |user: &mut RemoteUser, _: &mut AccountRecord| user.email_verified = false;
        assert_eq!(fate(there, &[], &none), "collision address_unverified_there");
        let accepted = AdoptionChoices { accept_unverified: true, ..none.clone() };
        assert_eq!(fate(there, &[], &accepted), "adopt");
        let same = |_: &mut RemoteUser, _: &mut AccountRecord| ();
        assert_eq!(fate(same, &[known(1, "a")], &none), "left out adopted_already");
        let others = "collision is_another_accounts_already";
        assert_eq!(fate(same, &[known(2, "a")], &none), others);
        let another = "collision account_has_another_user_already";
        assert_eq!(fate(same, &[known(1, "b")], &none), another);
    }

    #[test]
    fn one_address_twice_there_is_a_collision_for_both() {
        let users = [there("a", "jane@example.org"), there("b", "JANE@example.org")];
        let plan = plan(&users, &[here(1, "jane@example.org")], &[], &AdoptionChoices::default());
        let reasons: Vec<_> = plan.collisions.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons, ["address_of_several_there"; 2]);
        assert_eq!(plan.adopt, []);
    }

    #[test]
    fn a_plan_is_carried_out_only_while_it_holds() {
        let (user, own) = (there("a", "jane@example.org"), here(1, "jane@example.org"));
        let adoption = Adoption { mattermost: (&user).into(), account: (&own).into() };
        assert_eq!(still_holds(&adoption, &user, Some(&own)), Ok(()));
        assert_eq!(still_holds(&adoption, &user, None), Err("account_gone_here"));
        let renamed = AccountRecord { username: "mallory".into(), ..own.clone() };
        assert_eq!(still_holds(&adoption, &user, Some(&renamed)), Err("account_changed_here"));
        let inactive = AccountRecord { active: false, ..own.clone() };
        assert_eq!(still_holds(&adoption, &user, Some(&inactive)), Err("account_inactive_here"));
        let moved = RemoteUser { email: "other@example.org".into(), ..user.clone() };
        assert_eq!(still_holds(&adoption, &moved, Some(&own)), Err("user_changed_there"));
        let promoted = RemoteUser { roles: "system_admin".into(), ..user };
        assert_eq!(still_holds(&adoption, &promoted, Some(&own)), Err("user_changed_there"));
    }

    #[test]
    fn a_plan_names_nobody_twice() {
        let (user, own) = (there("a", "jane@example.org"), here(1, "jane@example.org"));
        let adoption = Adoption { mattermost: (&user).into(), account: (&own).into() };
        let twice = vec![adoption.clone(), adoption.clone()];
        assert!(check_unique(&AdoptionPlan { adopt: twice, ..AdoptionPlan::default() }).is_err());
        let once = AdoptionPlan { adopt: vec![adoption], ..AdoptionPlan::default() };
        assert_eq!(check_unique(&once), Ok(()));
    }
}
