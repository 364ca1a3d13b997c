//! The shell: load, decide, save, audit. No rules of its own.
//!
//! [`Broker`] signs people in and keeps their browser sessions ([`sign_in`], [`browser_session`]),
//! and does what an administrator asks for ([`accounts`], [`sessions`]). [`provider`] hands
//! sessions to chat servers. Both work on one store and hold no state that another node would
//! need.

pub mod accounts;
mod admission;
pub mod browser_session;
mod devices;
mod dialogue;
mod directory_facts;
mod directory_person;
mod enrolment;
mod first_factor;
mod grace;
mod hash_key;
pub mod identities;
mod identity_moves;
pub mod migration;
mod notice;
#[cfg(feature = "oidc")]
pub mod oidc;
mod own_enrolment;
mod own_password;
#[cfg(feature = "passkey")]
mod passkeys;
#[cfg(feature = "passkey")]
mod passwordless;
pub mod provider;
mod recheck;
#[cfg_attr(
    not(any(feature = "oidc", feature = "saml")),
    expect(dead_code, reason = "without a protocol nobody comes back from anywhere")
)]
mod redirect;
#[cfg(feature = "saml")]
pub mod saml;
#[cfg(feature = "saml")]
pub mod saml_cabinet;
#[cfg(feature = "saml")]
pub mod saml_logout;
#[cfg(feature = "saml")]
mod saml_offer;
mod second_factor;
mod security;
pub mod sessions;
pub mod sign_in;
mod source_limit;
mod totp_import;
mod upstream;
#[cfg(not(feature = "passkey"))]
mod without_passkeys;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::{Builder, Uuid};

use crate::account::RoleRule;
use crate::account::rules::ConnectorRules;
use crate::audit::AuditRecord;
use crate::clock::{Clock, SystemClock, Timestamp};
#[cfg(feature = "ldap")]
use crate::connector::ldap::LdapConnector;
use crate::connector::password::PasswordConnector;
use crate::connector::redirect::RedirectConnector;
use crate::factor::MfaSettings;
use crate::key_ring::KeyRing;
use crate::login::PendingLoginError;
use crate::random::{Random, SystemRandom};
use crate::session::SessionLifetime;
use crate::store::{Store, StoreError, ThrottleRule};
use source_limit::SourceLimit;

pub use devices::{Device, RememberedDevice};
pub use dialogue::{Completed, CredentialsPrompt, Event, Notice, Step};
pub use enrolment::Enrolment;
pub use notice::SecurityNotice;
pub use own_enrolment::Confirmation;
pub use own_password::PasswordChange;
pub use recheck::RecheckTimes;
pub use second_factor::FactorMethods;
pub use security::SecurityOverview;
pub use totp_import::{ImportedLine, TotpImport};

/// What the broker does beyond its parts.
#[derive(Debug)]
pub struct BrokerSettings {
    /// Lifetimes of browser sessions.
    pub session: SessionLifetime,
    /// How long a login may take from its first page to its end.
    pub login_lifetime: Duration,
    /// Attempts in a row for one name from one source, and how long the door stays shut.
    pub throttle: ThrottleRule,
    /// Refused logins in a row from one source address before it has to wait.
    pub source_burst: u32,
    /// Time in which a source address wins back one refused login.
    pub source_refill: Duration,
    /// A refusal of credentials never answers sooner, so that its timing tells nothing.
    pub refusal_floor: Duration,
    /// Second factor: policy, rules and parameters.
    pub mfa: MfaSettings,
    /// When each directory is asked again before a refresh, by its id.
    pub recheck: HashMap<String, RecheckTimes>,
    /// Who gets an account through which connector, by its id; without rules everybody whom the
    /// connector verified.
    pub rules: HashMap<String, ConnectorRules>,
    /// From groups and attributes to roles.
    pub role_rules: Vec<RoleRule>,
    /// Which domain's people sign in through which connector: domain and id.
    pub home_realms: Vec<(String, String)>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            session: SessionLifetime {
                idle_timeout: Duration::from_secs(8 * 3600),
                absolute_timeout: Duration::from_secs(30 * 24 * 3600),
            },
            login_lifetime: Duration::from_secs(15 * 60),
            throttle: ThrottleRule { limit: 10, lockout: Duration::from_secs(15 * 60) },
            source_burst: 100,
            source_refill: Duration::from_secs(2),
            refusal_floor: Duration::from_millis(300),
            mfa: MfaSettings::default(),
            recheck: HashMap::new(),
            rules: HashMap::new(),
            role_rules: Vec::new(),
            home_realms: Vec::new(),
        }
    }
}

/// Why a call gave no answer at all; what a person may see of it is decided at the edge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The form's token is missing, of another browser, or of a step that is over.
    #[error("form token does not fit the login's present step")]
    FormToken,
    /// There is no such login for this browser.
    #[error(transparent)]
    Login(#[from] PendingLoginError),
    /// What the caller asked for names something that is not there or may not be.
    #[error("{what}: {problem}")]
    Invalid {
        /// The thing or setting.
        what: String,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// This source has to wait so long before it may begin another login.
    #[error("too many logins begun by one source; wait {0:?}")]
    TooMany(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed value could not be opened, or something else that must not happen did.
    #[error("{0}")]
    Internal(String),
    /// Password hashing is at its limit; try again later.
    #[error("too many password checks at once")]
    Busy,
}

impl BrokerError {
    /// Whether a person can go on by beginning the login anew.
    #[must_use]
    pub const fn is_stale_login(&self) -> bool {
        matches!(
            self,
            Self::FormToken
                | Self::Login(
                    PendingLoginError::Expired
                        | PendingLoginError::Unknown
                        | PendingLoginError::OtherBrowser
                )
        )
    }
}

/// The connectors that people sign in through, in the order of the login page.
#[derive(Default)]
pub struct Connectors {
    /// Local passwords.
    pub local: Option<PasswordConnector>,
    /// Directories.
    #[cfg(feature = "ldap")]
    pub directories: Vec<LdapConnector>,
    /// Identity providers that the browser is sent to.
    pub redirects: Vec<RedirectConnector>,
    /// Ids in the order of the login page; those that are not named come after.
    pub order: Vec<String>,
}

/// A connector as the login page names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorChoice {
    /// Its id, as in `/login/{connector}`.
    pub id: String,
    /// What people read.
    pub label: String,
    /// What choosing it leads to.
    pub kind: ConnectorKind,
}

/// What choosing a connector leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorKind {
    /// A form for user name and password.
    Credentials,
    /// The identity provider's own pages.
    Redirect,
}

impl Connectors {
    /// What the login page offers, in the configured order; else directories, then identity
    /// providers, then local passwords.
    #[must_use]
    pub fn choices(&self) -> Vec<ConnectorChoice> {
        let mut choices = Vec::new();
        #[cfg(feature = "ldap")]
        for directory in &self.directories {
            choices.push(ConnectorChoice {
                id: directory.id().to_owned(),
                label: directory.label().to_owned(),
                kind: ConnectorKind::Credentials,
            });
        }
        for redirect in self.redirects.iter().filter(|one| one.is_complete()) {
            choices.push(ConnectorChoice {
                id: redirect.id().to_owned(),
                label: redirect.label().to_owned(),
                kind: ConnectorKind::Redirect,
            });
        }
        if self.local.is_some() {
            choices.push(ConnectorChoice {
                id: crate::connector::LOCAL.to_owned(),
                label: "Local account".to_owned(),
                kind: ConnectorKind::Credentials,
            });
        }
        let place = |id: &str| self.order.iter().position(|named| named == id);
        choices.sort_by_key(|choice| place(&choice.id).unwrap_or(usize::MAX));
        choices
    }

    /// The directory with this id.
    #[cfg(feature = "ldap")]
    #[must_use]
    pub fn directory(&self, id: &str) -> Option<&LdapConnector> {
        self.directories.iter().find(|directory| directory.id() == id)
    }
}

/// Signs people in and keeps their sessions. Cheap to share behind an `Arc`.
pub struct Broker {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    ring: Arc<KeyRing>,
    connectors: Connectors,
    settings: BrokerSettings,
    sources: SourceLimit,
    hash_key: hash_key::StoredHashKey,
    notice: Option<Arc<dyn SecurityNotice>>,
    #[cfg(feature = "passkey")]
    passkeys: Option<crate::factor::passkey::Passkeys>,
}

impl Broker {
    /// A broker over `store`, with the system's clock and random generator.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        ring: Arc<KeyRing>,
        connectors: Connectors,
        settings: BrokerSettings,
    ) -> Self {
        let sources = SourceLimit::new(settings.source_burst, settings.source_refill);
        Self {
            store,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom::new()),
            ring,
            connectors,
            settings,
            sources,
            hash_key: hash_key::StoredHashKey::default(),
            notice: None,
            #[cfg(feature = "passkey")]
            passkeys: None,
        }
    }

    /// Tells `notice` of changes to an account's protection.
    #[must_use]
    pub fn with_notice(mut self, notice: Arc<dyn SecurityNotice>) -> Self {
        self.notice = Some(notice);
        self
    }

    /// Replaces clock and random generator.
    #[must_use]
    pub fn with_sources(mut self, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        self.clock = clock;
        self.random = random;
        self
    }

    /// The store it works on.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Its connectors.
    #[must_use]
    pub const fn connectors(&self) -> &Connectors {
        &self.connectors
    }

    /// The connector through which people with this e-mail address sign in, where one is set.
    #[must_use]
    pub fn home_realm(&self, address: &str) -> Option<&str> {
        let domain = crate::account::rules::email_domain(address)?;
        let realms = &self.settings.home_realms;
        realms.iter().find(|(known, _)| *known == domain).map(|(_, connector)| connector.as_str())
    }

    /// Whether any domain's people have a connector of their own.
    #[must_use]
    pub fn has_home_realms(&self) -> bool {
        !self.settings.home_realms.is_empty()
    }

    /// The present moment by its clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Logs and stores an event of which nothing else was written.
    async fn note(&self, event: AuditRecord) -> Result<(), StoreError> {
        event.log();
        self.store.append_audit(vec![event]).await
    }

    /// A new id that grows with time (UUID version 7).
    fn new_id(&self, now: Timestamp) -> Uuid {
        new_id(self.random.as_ref(), now)
    }
}

/// A new id that grows with time (UUID version 7, RFC 9562).
pub(crate) fn new_id(random: &dyn Random, now: Timestamp) -> Uuid {
    let mut bytes = [0u8; 10];
    random.fill(&mut bytes);
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}
