//! What comes after a factor was proved: another one, enrolment, or the end.
//!
//! The decision takes proofs by value, so a path that skips a factor cannot be written:
//! [`FirstFactor`] comes from an admitted [`VerifiedIdentity`] or from a stored step that only
//! such a proof could have written, [`PassedFactor`] from the store's atomic consumption of a code.

use serde::{Deserialize, Serialize};

use super::TypedName;
use crate::clock::Timestamp;
use crate::connector::VerifiedIdentity;
use crate::factor::{MfaPolicy, PassedFactor, Postponed, TrustedDevice, UpstreamFactors};
use crate::store::{AccountId, AccountRecord};

/// Authentication context class of one factor.
pub const AAL1: &str = "urn:auth:aal1";
/// Authentication context class of two factors.
pub const AAL2: &str = "urn:auth:aal2";

/// Proof that a first factor was verified and that its account is let in.
///
/// ```compile_fail
/// let forged: auth_core::login::FirstFactor = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Debug)]
pub struct FirstFactor(FirstFactorState);

/// The stored form of a [`FirstFactor`]; private to the login, so that only a login record found
/// by its handle and its browser gives one back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FirstFactorState {
    account: AccountId,
    connector: String,
    subject: String,
    amr: Vec<String>,
    at: Timestamp,
    #[serde(default)]
    upstream: Option<UpstreamNote>,
    #[serde(default)]
    typed_name: Option<TypedName>,
}

/// What is kept of an identity provider's own session until ours is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamNote {
    /// The name under which sign-outs that come from there speak of the person.
    pub subject: String,
    /// The session's name there.
    pub index: Option<String>,
    /// What is wanted back at a sign-out, sealed.
    pub sealed_hint: Option<Vec<u8>>,
    /// How the person proved there who they are: `amr`, `acr` or authentication context classes.
    pub methods: Vec<String>,
    /// When the session there ends.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
}

impl FirstFactor {
    /// Binds a verified identity to the account that it was admitted to. `None` when the account
    /// is not active.
    pub(crate) fn admitted(identity: &VerifiedIdentity, account: &AccountRecord) -> Option<Self> {
        account.active.then(|| {
            Self(FirstFactorState {
                account: account.id,
                connector: identity.connector().to_owned(),
                subject: identity.subject().to_owned(),
                amr: identity.amr().to_vec(),
                at: identity.at(),
                upstream: None,
                typed_name: None,
            })
        })
    }

    /// With the name that was typed beside the right password.
    pub(crate) fn with_typed_name(mut self, name: Option<TypedName>) -> Self {
        self.0.typed_name = name;
        self
    }

    /// With what the identity provider said of its own session.
    pub(crate) fn with_upstream(mut self, note: Option<UpstreamNote>) -> Self {
        self.0.upstream = note;
        self
    }

    /// How the person proved at an identity provider who they are; empty for other connectors.
    #[must_use]
    pub fn upstream_methods(&self) -> &[String] {
        self.0.upstream.as_ref().map_or(&[], |note| &note.methods)
    }

    pub(super) const fn from_state(state: FirstFactorState) -> Self {
        Self(state)
    }

    pub(super) fn into_state(self) -> FirstFactorState {
        self.0
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.0.account
    }

    /// The connector that verified it.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.0.connector
    }

    /// When it was verified.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.0.at
    }
}

/// What is asked of this login beyond its first factor, and what answers it already.
#[derive(Debug)]
pub struct Demand<'a> {
    /// The policy after all its rules.
    pub policy: MfaPolicy,
    /// Whether the client asked for two factors (`acr_values`).
    pub two_factors_asked: bool,
    /// Whether the account has a confirmed second factor.
    pub enrolled: bool,
    /// What of the connector's own methods counts as a second factor.
    pub upstream: Option<&'a UpstreamFactors>,
    /// The browser is one that the account's person asked to be remembered on.
    pub trusted_device: Option<TrustedDevice>,
}

impl Demand<'_> {
    /// Whether a second factor is wanted. An enrolled person is asked even where the policy is
    /// optional: they chose the protection.
    fn wants_second(&self) -> bool {
        self.two_factors_asked
            || self.policy == MfaPolicy::Required
            || (self.enrolled && self.policy == MfaPolicy::Optional)
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Decision {
    /// Nothing is missing.
    Complete(Box<CompletedLogin>),
    /// The account's second factor is asked for.
    AskFactor(FirstFactor),
    /// A second factor has to be set up first.
    Enrol(FirstFactor),
}

/// Decides after the first factor.
#[must_use]
pub fn after_first_factor(
    first: FirstFactor,
    account: AccountRecord,
    demand: &Demand<'_>,
) -> Option<Decision> {
    if !matches(&first, &account) {
        return None;
    }
    if demand.upstream.is_some_and(|upstream| upstream.satisfied_by(first.upstream_methods())) {
        // The identity provider asked for it and vouches for it.
        return Some(Decision::Complete(Box::new(complete(first, account, AAL2, &["mfa"]))));
    }
    // A device spares what the policy asks for, not what the client does; the class stays that of
    // one factor, for none was passed now.
    let spared = !demand.two_factors_asked
        && demand.trusted_device.as_ref().is_some_and(|device| device.account() == account.id);
    Some(match (demand.wants_second(), demand.enrolled) {
        (true, true) if !spared => Decision::AskFactor(first),
        (true, false) => Decision::Enrol(first),
        (false, _) | (true, true) => {
            Decision::Complete(Box::new(complete(first, account, AAL1, &[])))
        }
    })
}

/// Ends the login after the second factor. `None` when the proof is another account's or the
/// account is no longer active.
#[must_use]
pub fn after_second_factor(
    first: FirstFactor,
    account: AccountRecord,
    passed: &PassedFactor,
) -> Option<CompletedLogin> {
    (matches(&first, &account) && passed.account() == account.id)
        .then(|| complete(first, account, AAL2, passed.amr()))
}

/// Ends the login of a person who put the enrolment off. `None` when the client asked for two
/// factors, the account has one by now, or the proof is another account's.
#[must_use]
pub fn after_postponement(
    first: FirstFactor,
    account: AccountRecord,
    postponed: &Postponed,
    demand: &Demand<'_>,
) -> Option<CompletedLogin> {
    let allowed = !demand.two_factors_asked && !demand.enrolled;
    (allowed && matches(&first, &account) && postponed.account() == account.id)
        .then(|| complete(first, account, AAL1, &[]))
}

/// Ends a login by a passkey alone, which verified its user. `connector` is the one through which
/// the account is let in. `None` when the factor does not stand alone, is another account's, or
/// the account is not active.
#[must_use]
pub fn passwordless(
    passed: &PassedFactor,
    account: AccountRecord,
    connector: &str,
    now: Timestamp,
) -> Option<CompletedLogin> {
    let good = passed.stands_alone() && passed.account() == account.id && account.active;
    good.then(|| CompletedLogin {
        account,
        connector: connector.to_owned(),
        amr: passed.amr().iter().map(|&method| method.to_owned()).collect(),
        acr: AAL2,
        authenticated_at: now,
        upstream: None,
        typed_name: None,
    })
}

fn matches(first: &FirstFactor, account: &AccountRecord) -> bool {
    account.active && account.id == first.0.account
}

fn complete(
    first: FirstFactor,
    account: AccountRecord,
    acr: &'static str,
    second: &[&str],
) -> CompletedLogin {
    let mut amr = first.0.amr;
    for method in second {
        if !amr.iter().any(|known| known == method) {
            amr.push((*method).to_owned());
        }
    }
    CompletedLogin {
        account,
        connector: first.0.connector,
        amr,
        acr,
        authenticated_at: first.0.at,
        upstream: first.0.upstream,
        typed_name: first.0.typed_name,
    }
}

/// Proof that every step that the policy asks of this login was passed. Only this module makes
/// one; a session can be issued from nothing else.
///
/// ```compile_fail
/// fn forge(account: auth_core::store::AccountRecord) -> auth_core::login::CompletedLogin {
///     auth_core::login::CompletedLogin {
///         account,
///         connector: "local".into(),
///         amr: vec![],
///         acr: "urn:auth:aal2",
///         authenticated_at: auth_core::clock::Timestamp::from_millis(0),
///         upstream: None,
///         typed_name: None,
///     }
/// }
/// ```
#[derive(Debug)]
pub struct CompletedLogin {
    account: AccountRecord,
    connector: String,
    amr: Vec<String>,
    acr: &'static str,
    authenticated_at: Timestamp,
    upstream: Option<UpstreamNote>,
    typed_name: Option<TypedName>,
}

impl CompletedLogin {
    /// The same login with its account as it is stored now; `None` when that is another one, or
    /// not active any more.
    pub(crate) fn with_account(&self, account: AccountRecord) -> Option<Self> {
        let good = account.active
            && account.id == self.account.id
            && account.version != self.account.version;
        good.then(|| Self {
            account,
            connector: self.connector.clone(),
            amr: self.amr.clone(),
            acr: self.acr,
            authenticated_at: self.authenticated_at,
            upstream: self.upstream.clone(),
            typed_name: self.typed_name.clone(),
        })
    }

    /// Whose login it was.
    #[must_use]
    pub const fn account(&self) -> &AccountRecord {
        &self.account
    }

    /// Connector of the first factor.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// Authentication methods used, RFC 8176.
    #[must_use]
    pub fn amr(&self) -> Vec<String> {
        self.amr.clone()
    }

    /// Authentication context class reached.
    #[must_use]
    pub const fn acr(&self) -> &'static str {
        self.acr
    }

    /// When the person proved who they are.
    #[must_use]
    pub const fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// What the identity provider said of its own session.
    #[must_use]
    pub const fn upstream(&self) -> Option<&UpstreamNote> {
        self.upstream.as_ref()
    }

    /// The name that was typed beside the password; none where no password was asked for.
    #[must_use]
    pub const fn typed_name(&self) -> Option<&TypedName> {
        self.typed_name.as_ref()
    }
}

#[cfg(test)]
mod tests;
