//! Whether a new identity may be linked to an account that is there already.
//!
//! Four ways, and no other: the signed-in person links it (fresh proof of both sides), an
//! administrator does, both sides carry a directory's stable id, or a connector that hands out a
//! domain's addresses vouches for one that the account is vouched for too. That two addresses are
//! the same proves nothing by itself: an address can be claimed, given up and given to another.

use std::time::Duration;

use super::rules::ConnectorRules;
use crate::clock::Timestamp;
use crate::connector::VerifiedIdentity;
use crate::store::{AccountRecord, IdentityRecord, SessionRecord};

/// How old a signed-in person's own proof may be when they change what protects their account: link
/// another identity, add a factor, remove one.
pub const FRESH_PROOF: Duration = Duration::from_secs(5 * 60);

/// Why an identity is not linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkRefusal {
    /// The connector does not hand out addresses of this domain.
    NotAuthoritative,
    /// The connector does not vouch for the address.
    UpstreamUnverified,
    /// Nobody vouches for the account's address.
    LocalUnverified,
    /// The account's address came from a connector that does not hand out its domain.
    LocalNotVouched,
    /// The account is another person's of the same connector: the address changed hands.
    AddressReassigned,
    /// The account has a second factor, which an address cannot stand for.
    FactorNotProved,
    /// The account is not active.
    Inactive,
    /// The identity is linked to another account.
    LinkedElsewhere,
    /// The person's own proof is too old.
    StaleSession,
    /// Another session than the one that asked.
    OtherSession,
}

impl LinkRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAuthoritative => "connector_not_authoritative",
            Self::UpstreamUnverified => "upstream_address_unverified",
            Self::LocalUnverified => "local_address_unverified",
            Self::LocalNotVouched => "local_address_not_vouched_for",
            Self::AddressReassigned => "address_reassigned",
            Self::FactorNotProved => "second_factor_not_proved",
            Self::Inactive => "account_inactive",
            Self::LinkedElsewhere => "identity_linked_elsewhere",
            Self::StaleSession => "session_not_fresh",
            Self::OtherSession => "another_session",
        }
    }
}

/// The account that holds the address of a new identity.
#[derive(Debug)]
pub struct AddressHolder<'a> {
    /// The account.
    pub account: &'a AccountRecord,
    /// Its identities.
    pub identities: &'a [IdentityRecord],
    /// Whether it has a second factor.
    pub has_factor: bool,
}

/// Whether the identity may be linked to the account with the same verified address.
/// `vouches` says of each connector whether its word on this address counts: local accounts,
/// directories, and connectors that hand out its domain.
///
/// # Errors
/// What is missing.
pub fn link_by_address(
    identity: &VerifiedIdentity,
    rules: &ConnectorRules,
    holder: &AddressHolder<'_>,
    vouches: impl Fn(&str) -> bool,
) -> Result<(), LinkRefusal> {
    let profile = identity.profile();
    if !profile.email.as_deref().is_some_and(|address| rules.is_authoritative_for(address)) {
        return Err(LinkRefusal::NotAuthoritative);
    }
    if !profile.email_verified {
        return Err(LinkRefusal::UpstreamUnverified);
    }
    if !holder.account.active {
        return Err(LinkRefusal::Inactive);
    }
    if !holder.account.email_verified {
        return Err(LinkRefusal::LocalUnverified);
    }
    if holder.identities.iter().any(|known| known.connector == identity.connector()) {
        return Err(LinkRefusal::AddressReassigned);
    }
    if !holder.identities.iter().all(|known| vouches(&known.connector)) {
        return Err(LinkRefusal::LocalNotVouched);
    }
    if holder.has_factor {
        return Err(LinkRefusal::FactorNotProved);
    }
    Ok(())
}

/// The identity that an account's profile comes from: the one that was linked first, or, where the
/// administrator joined its connector with a directory (`directory_of`), the one at that directory.
/// Further ones sign in and change nothing, so that nobody renames themselves, or joins groups, by
/// linking an identity that says so.
#[must_use]
pub fn leading_identity<'r>(
    identities: &[IdentityRecord],
    directory_of: impl Fn(&str) -> Option<&'r str>,
) -> Option<&IdentityRecord> {
    let first = identities.iter().min_by(|a, b| {
        (a.linked_at, &a.connector, &a.subject).cmp(&(b.linked_at, &b.connector, &b.subject))
    })?;
    let directory = directory_of(&first.connector);
    let joined = identities.iter().find(|known| Some(&*known.connector) == directory);
    Some(joined.unwrap_or(first))
}

/// Whether the person of `session` may link and unlink identities now: they proved who they are a
/// moment ago, with their second factor if they have one. `two_factors` says whether the session
/// came from two.
///
/// # Errors
/// When they have to prove it anew.
pub fn may_change_identities(
    session: &SessionRecord,
    two_factors: bool,
    has_factor: bool,
    now: Timestamp,
) -> Result<(), LinkRefusal> {
    if now.since(session.authenticated_at) > FRESH_PROOF {
        return Err(LinkRefusal::StaleSession);
    }
    if has_factor && !two_factors {
        return Err(LinkRefusal::FactorNotProved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::store::AccountId;

    #[test]
    fn one_identity_leads_the_profile() {
        let identity = |connector: &str, at: i64| IdentityRecord {
            connector: connector.to_owned(),
            subject: format!("{connector}-1"),
            account: AccountId(Uuid::from_u128(1)),
            linked_at: Timestamp::from_seconds(at),
        };
        let joined = |connector: &str| (connector == "okta").then_some("corp");
        let leader = |identities: &[IdentityRecord]| {
            leading_identity(identities, joined).map(|leader| leader.connector.clone())
        };
        assert_eq!(leader(&[]), None);
        assert_eq!(leader(&[identity("okta", 5)]).as_deref(), Some("okta"));
        // The first one leads, in whatever order they come.
        let two = [identity("github", 9), identity("okta", 5)];
        assert_eq!(leader(&two).as_deref(), Some("okta"));
        // A directory that the first one's connector is joined with leads, whenever it came.
        let three = [identity("okta", 5), identity("github", 9), identity("corp", 20)];
        assert_eq!(leader(&three).as_deref(), Some("corp"));
        // Who merely linked a directory's identity takes nothing from it.
        let own = [identity("github", 5), identity("corp", 20), identity("okta", 30)];
        assert_eq!(leader(&own).as_deref(), Some("github"));
    }
}
