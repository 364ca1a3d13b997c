//! WHO: the only place that can make a [`VerifiedIdentity`].
//!
//! A connector checks what a person presented (a password against a directory, an assertion,
//! an ID token) and says who that is at that connector. Whether the person may come in is
//! decided later, by [`crate::account`].

#[cfg(feature = "ldap")]
pub mod ldap;
#[cfg(feature = "oidc")]
pub mod oidc;
pub mod password;
pub mod redirect;
#[cfg(feature = "saml")]
pub mod saml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Id of the built-in connector of local passwords.
pub const LOCAL: &str = "local";

/// What a connector says of a person beside the stable subject. Plain data, not a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// User name at the connector.
    pub username: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Whether the connector vouches for the address.
    pub email_verified: bool,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Nickname or display name.
    pub nickname: Option<String>,
    /// Position, e.g. a job title.
    pub position: Option<String>,
    /// BCP 47 language tag.
    pub locale: Option<String>,
    /// Group names or DNs, as the connector gives them.
    pub groups: Vec<String>,
    /// Roles by the connector's own filters: `guest`, `administrator`; none means `member`.
    pub roles: Vec<String>,
    /// Further mapped attributes, by claim name.
    pub claims: BTreeMap<String, Vec<String>>,
}

/// Proof that a connector verified who somebody is, just now.
///
/// Only the connectors of this module can make one, and only at the end of their check.
///
/// ```compile_fail
/// use auth_core::connector::{Profile, VerifiedIdentity};
/// let forged = VerifiedIdentity {
///     connector: "corp".into(),
///     subject: "x".into(),
///     profile: Profile::default(),
///     amr: vec![],
///     at: auth_core::clock::Timestamp::from_millis(0),
///     upstream: None,
/// };
/// ```
///
/// ```compile_fail
/// let forged: auth_core::connector::VerifiedIdentity = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Debug)]
pub struct VerifiedIdentity {
    connector: String,
    subject: String,
    profile: Profile,
    amr: Vec<String>,
    at: Timestamp,
    password_changed_at: Option<String>,
    upstream: Option<UpstreamSession>,
}

/// What an identity provider said of its own session with the person.
#[derive(Debug)]
pub struct UpstreamSession {
    /// The name under which sign-outs that come from there speak of the person, where that is not
    /// the stable subject (a NameID).
    pub name: Option<String>,
    /// When the session there ends; ours may not last longer (`SessionNotOnOrAfter`).
    pub ends_at: Option<Timestamp>,
    /// The session's name there (`sid`, `SessionIndex`), for sign-outs that come from there.
    pub index: Option<String>,
    /// What the provider wants back when the person signs out here: the ID token, or a
    /// `SamlSession` as JSON.
    pub hint: Option<Secret>,
    /// How the person proved there who they are: values of `amr` and `acr`, or SAML
    /// authentication context classes. Whether one counts as a second factor is decided by
    /// [`crate::factor::UpstreamFactors`].
    pub methods: Vec<String>,
}

impl VerifiedIdentity {
    fn new(
        connector: &str,
        subject: String,
        profile: Profile,
        amr: &[&str],
        at: Timestamp,
    ) -> Self {
        Self {
            connector: connector.to_owned(),
            subject,
            profile,
            amr: amr.iter().map(|&method| method.to_owned()).collect(),
            at,
            password_changed_at: None,
            upstream: None,
        }
    }

    /// With what the connector says of the last change of the password.
    #[cfg(feature = "ldap")]
    fn with_password_changed_at(self, password_changed_at: Option<String>) -> Self {
        Self { password_changed_at, ..self }
    }

    #[cfg(any(feature = "oidc", feature = "saml"))]
    fn with_upstream(self, upstream: UpstreamSession) -> Self {
        Self { upstream: Some(upstream), ..self }
    }

    /// The connector that verified it.
    #[must_use]
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// The stable subject at that connector.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What else the connector says of the person.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How it was verified, RFC 8176.
    #[must_use]
    pub fn amr(&self) -> &[String] {
        &self.amr
    }

    /// What the connector says of the last change of the password; opaque, to be compared.
    #[must_use]
    pub fn password_changed_at(&self) -> Option<&str> {
        self.password_changed_at.as_deref()
    }

    /// When it was verified.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// What an identity provider said of its own session.
    #[must_use]
    pub const fn upstream(&self) -> Option<&UpstreamSession> {
        self.upstream.as_ref()
    }
}

/// Why a connector refused what was presented. The person sees one neutral text for all of them;
/// the word goes into the audit event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Account expired at the connector.
    AccountExpired,
    /// Disabled at the connector.
    AccountDisabled,
    /// Locked at the connector.
    AccountLocked,
    /// More than one entry matches what was typed.
    AmbiguousUser,
    /// Empty password, refused before any bind (RFC 4513 section 5.1.2).
    EmptyPassword,
    /// Logon not permitted at this time.
    LogonHours,
    /// What was typed cannot be a user name or password: NUL, or far too long.
    MalformedInput,
    /// The entry has no value for the id attribute, so no stable subject.
    MissingId,
    /// The entry lacks another attribute that the mapping needs, e.g. a user name.
    MissingAttribute,
    /// Right password, but it has to be changed at the connector first.
    PasswordMustChange,
    /// Right password, but it expired.
    PasswordExpired,
    /// Nobody has that name.
    UnknownUser,
    /// An OpenID provider's answer broke a rule.
    #[cfg(feature = "oidc")]
    Oidc(oidc::OidcRefusal),
    /// Logon not permitted from this workstation.
    Workstation,
    /// Wrong password.
    WrongPassword,
}

impl Refusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountExpired => "account_expired",
            Self::AccountDisabled => "account_disabled",
            Self::AccountLocked => "account_locked",
            Self::AmbiguousUser => "ambiguous_user",
            Self::EmptyPassword => "empty_password",
            Self::LogonHours => "logon_hours",
            Self::MalformedInput => "malformed_input",
            Self::MissingId => "missing_id",
            Self::MissingAttribute => "missing_attribute",
            Self::PasswordMustChange => "password_must_change",
            Self::PasswordExpired => "password_expired",
            Self::UnknownUser => "unknown_user",
            #[cfg(feature = "oidc")]
            Self::Oidc(rule) => rule.as_str(),
            Self::Workstation => "workstation",
            Self::WrongPassword => "wrong_password",
        }
    }
}

/// Why a connector gave no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The credentials were judged and refused.
    #[error("refused: {}", reason.as_str())]
    Refused {
        /// The exact reason.
        reason: Refusal,
        /// More for the audit event, e.g. the two DNs that matched. Never a secret.
        detail: Option<String>,
    },
    /// The connector could not judge: down, busy, timed out, misconfigured. Not a wrong guess.
    #[error("{reason}: {message}")]
    Unavailable {
        /// The word in the audit trail, e.g. `directory_unavailable`, `directory_timeout`.
        reason: &'static str,
        /// What exactly happened, for the log.
        message: String,
    },
}

impl ConnectorError {
    /// A plain refusal.
    #[must_use]
    pub const fn refused(reason: Refusal) -> Self {
        Self::Refused { reason, detail: None }
    }

    /// The word in the audit trail.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { reason, .. } => reason.as_str(),
            Self::Unavailable { reason, .. } => reason,
        }
    }
}

/// What a connector says when it is asked again about a person it verified before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recheck {
    /// Still there and allowed; the profile may have changed.
    Present(Box<Present>),
    /// Gone, disabled, expired or out of the filter: `reason` is the audit word.
    Gone {
        /// Why, e.g. `gone`, `account_disabled`.
        reason: &'static str,
    },
}

/// What a connector says of a person who is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The profile now.
    pub profile: Profile,
    /// What the connector says of the last change of the password; opaque, to be compared.
    pub password_changed_at: Option<String>,
}
