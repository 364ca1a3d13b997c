//! A login between two requests: its stored state and the check that it is this browser's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::flow::{FirstFactor, FirstFactorState};
use super::step::StepName;
use crate::clock::Timestamp;
use crate::secret::{Token, TokenHash};
use crate::store::{AccountId, LoginRecord, SessionId};

/// What a login is begun with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// What is to happen afterwards; opaque to the flow (an authorization request as JSON).
    pub continuation: Option<String>,
    /// Client that asked, for rules and audit events.
    pub client: Option<String>,
    /// The client's name for people.
    pub client_name: Option<String>,
    /// Connectors through which the client lets people in; `None` for all.
    pub connectors: Option<Vec<String>>,
    /// Whether the client asked for two factors.
    pub two_factors: bool,
    /// What to put into the user name field.
    pub login_hint: Option<String>,
    /// Whether an identity provider has to ask anew (`prompt=login`, `ForceAuthn`).
    #[serde(default)]
    pub fresh: bool,
    /// Only this account may end the login (re-authentication).
    pub account: Option<AccountId>,
    /// The login is not to sign in, but to link what it proves to the account of this session.
    #[serde(default)]
    pub link: Option<SessionId>,
    /// The page of ours that it was begun from; none for the account's page.
    #[serde(default)]
    pub page: Option<OwnPage>,
    /// What an identity provider that began by itself named as the goal: a client's id, or nothing
    /// that counts.
    #[serde(default)]
    pub start_at: Option<String>,
}

/// A page of ours that a login leads back to. A closed list: no address comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnPage {
    /// Ways to sign in.
    Identities,
}

/// Where a login stands.
#[derive(Debug)]
pub enum Stage {
    /// Nothing is proved yet.
    Credentials,
    /// Nothing is proved yet; the browser was sent to an identity provider.
    Away {
        /// The connector that sent it there.
        connector: String,
        /// What that connector wants back, sealed.
        sealed: Vec<u8>,
    },
    /// An identity provider's answer came by a request without the browser's cookie and was
    /// verified; it counts for nothing until this browser redeems it.
    Returned {
        /// The connector that verified it.
        connector: String,
        /// What it verified, sealed.
        sealed: Vec<u8>,
    },
    /// An identity provider began by itself, and what it sent was verified. No browser holds this
    /// login: the first one that shows its handle gets another one, at [`Stage::Offered`].
    Unsolicited {
        /// The connector that verified it.
        connector: String,
        /// What it verified, sealed.
        sealed: Vec<u8>,
    },
    /// What came unasked waits for the person to say that they want it.
    Offered {
        /// The connector that verified it.
        connector: String,
        /// Whom it names, for the question.
        name: String,
        /// What it verified, sealed.
        sealed: Vec<u8>,
    },
    /// No login: the browser was sent to an identity provider to sign out there too. No browser
    /// holds it.
    SigningOut {
        /// The connector.
        connector: String,
        /// The ID of our message, which the answer has to name.
        message_id: String,
    },
    /// The first factor is proved, the second is asked for.
    Factor(FirstFactor),
    /// The first factor is proved, a second one is being set up; its seed is sealed.
    Enrolment {
        /// The first factor.
        first: FirstFactor,
        /// The seed that the next valid code confirms.
        sealed_seed: Vec<u8>,
    },
    /// It made this session, once.
    Completed(SessionId),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
enum StoredStage {
    Credentials,
    Away { connector: String, sealed: Vec<u8> },
    Returned { connector: String, sealed: Vec<u8> },
    Unsolicited { connector: String, sealed: Vec<u8> },
    Offered { connector: String, name: String, sealed: Vec<u8> },
    SigningOut { connector: String, message_id: String },
    Factor { first: FirstFactorState },
    Enrolment { first: FirstFactorState, sealed_seed: Vec<u8> },
    Completed { session: SessionId },
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredState {
    request: LoginRequest,
    /// A passkey ceremony that this login waits for, sealed; beside any stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ceremony: Option<String>,
    #[serde(flatten)]
    stage: StoredStage,
}

/// Why a presented handle gives no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PendingLoginError {
    /// Its time is over.
    #[error("login expired")]
    Expired,
    /// It was begun in another browser.
    #[error("login belongs to another browser")]
    OtherBrowser,
    /// There is none with this handle.
    #[error("no such login")]
    Unknown,
    /// The stored state cannot be read.
    #[error("stored login state cannot be read")]
    Unreadable,
}

impl PendingLoginError {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "login_expired",
            Self::OtherBrowser => "login_of_another_browser",
            Self::Unknown => "login_unknown",
            Self::Unreadable => "login_unreadable",
        }
    }
}

/// A login that this browser began and that is not over.
#[derive(Debug)]
pub struct PendingLogin {
    handle: TokenHash,
    browser: TokenHash,
    version: i64,
    created_at: Timestamp,
    expires_at: Timestamp,
    request: LoginRequest,
    stage: Stage,
    ceremony: Option<Vec<u8>>,
}

impl PendingLogin {
    /// A new login at its first step.
    #[must_use]
    pub(crate) fn begin(
        handle: &Token,
        browser: &Token,
        request: LoginRequest,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            handle: handle.hash(),
            browser: browser.hash(),
            version: 1,
            created_at: now,
            expires_at,
            request,
            stage: Stage::Credentials,
            ceremony: None,
        }
    }

    /// Replaces the sealed ceremony; stored by [`Self::record`].
    pub(crate) fn set_ceremony(&mut self, sealed: Option<Vec<u8>>) {
        self.ceremony = sealed;
    }

    /// The sealed ceremony that it waits for.
    pub(crate) fn ceremony(&self) -> Option<&[u8]> {
        self.ceremony.as_deref()
    }

    /// Judges a record that the store found by the handle's hash.
    pub(crate) fn resume(
        record: Option<LoginRecord>,
        browser: &Token,
        now: Timestamp,
    ) -> Result<Self, PendingLoginError> {
        let record = record.ok_or(PendingLoginError::Unknown)?;
        if record.browser != browser.hash() {
            return Err(PendingLoginError::OtherBrowser);
        }
        Self::read(record, now)
    }

    /// Judges a record for a request that carries no cookie. What is done with it may park or
    /// drop an answer and nothing else: whose browser this is nobody compared.
    #[cfg(feature = "saml")]
    pub(crate) fn without_browser(
        record: Option<LoginRecord>,
        now: Timestamp,
    ) -> Result<Self, PendingLoginError> {
        Self::read(record.ok_or(PendingLoginError::Unknown)?, now)
    }

    fn read(record: LoginRecord, now: Timestamp) -> Result<Self, PendingLoginError> {
        if now >= record.expires_at {
            return Err(PendingLoginError::Expired);
        }
        let state: StoredState =
            serde_json::from_str(&record.state).map_err(|_| PendingLoginError::Unreadable)?;
        let stage = match state.stage {
            StoredStage::Credentials => Stage::Credentials,
            StoredStage::Away { connector, sealed } => Stage::Away { connector, sealed },
            StoredStage::Returned { connector, sealed } => Stage::Returned { connector, sealed },
            StoredStage::Unsolicited { connector, sealed } => {
                Stage::Unsolicited { connector, sealed }
            }
            StoredStage::Offered { connector, name, sealed } => {
                Stage::Offered { connector, name, sealed }
            }
            StoredStage::SigningOut { connector, message_id } => {
                Stage::SigningOut { connector, message_id }
            }
            StoredStage::Factor { first } => Stage::Factor(FirstFactor::from_state(first)),
            StoredStage::Enrolment { first, sealed_seed } => {
                Stage::Enrolment { first: FirstFactor::from_state(first), sealed_seed }
            }
            StoredStage::Completed { session } => Stage::Completed(session),
        };
        Ok(Self {
            handle: record.handle,
            browser: record.browser,
            version: record.version,
            created_at: record.created_at,
            expires_at: record.expires_at,
            request: state.request,
            stage,
            ceremony: state
                .ceremony
                .map(|text| URL_SAFE_NO_PAD.decode(text))
                .transpose()
                .map_err(|_| PendingLoginError::Unreadable)?,
        })
    }

    /// The record to store for this login at `stage`; its version is the expected one.
    pub(crate) fn record(self, stage: Stage) -> Result<LoginRecord, PendingLoginError> {
        let stage = match stage {
            Stage::Credentials => StoredStage::Credentials,
            Stage::Away { connector, sealed } => StoredStage::Away { connector, sealed },
            Stage::Returned { connector, sealed } => StoredStage::Returned { connector, sealed },
            Stage::Unsolicited { connector, sealed } => {
                StoredStage::Unsolicited { connector, sealed }
            }
            Stage::Offered { connector, name, sealed } => {
                StoredStage::Offered { connector, name, sealed }
            }
            Stage::SigningOut { connector, message_id } => {
                StoredStage::SigningOut { connector, message_id }
            }
            Stage::Factor(first) => StoredStage::Factor { first: first.into_state() },
            Stage::Enrolment { first, sealed_seed } => {
                StoredStage::Enrolment { first: first.into_state(), sealed_seed }
            }
            Stage::Completed(session) => StoredStage::Completed { session },
        };
        let ceremony = self.ceremony.map(|sealed| URL_SAFE_NO_PAD.encode(sealed));
        let state = StoredState { request: self.request, ceremony, stage };
        let state = serde_json::to_string(&state).map_err(|_| PendingLoginError::Unreadable)?;
        Ok(LoginRecord {
            handle: self.handle,
            browser: self.browser,
            version: self.version,
            state,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }

    /// Takes the stage out, leaving the rest of the login for [`Self::record`].
    pub(crate) fn take_stage(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Credentials)
    }

    /// The same login after its present step was written.
    pub(crate) fn next_version(&self) -> Self {
        Self {
            handle: self.handle,
            browser: self.browser,
            version: self.version + 1,
            created_at: self.created_at,
            expires_at: self.expires_at,
            request: self.request.clone(),
            stage: Stage::Credentials,
            ceremony: None,
        }
    }

    /// Whether it was begun in this browser.
    #[cfg(feature = "saml")]
    pub(crate) fn is_of(&self, browser: &Token) -> bool {
        self.browser == browser.hash()
    }

    /// Where it stands.
    #[must_use]
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What it was begun with.
    #[must_use]
    pub const fn request(&self) -> &LoginRequest {
        &self.request
    }

    /// When it was begun.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Its version, bound into the form's token.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// Hash of its handle, for binding sealed values to it.
    #[must_use]
    pub const fn handle(&self) -> &TokenHash {
        &self.handle
    }

    /// The step whose form may be answered now.
    #[must_use]
    pub const fn step(&self) -> StepName {
        match self.stage {
            // Who comes back from the identity provider by the browser's button may choose anew.
            Stage::Credentials | Stage::Away { .. } | Stage::Returned { .. } => {
                StepName::Credentials
            }
            Stage::Factor(_) => StepName::Factor,
            Stage::Enrolment { .. } => StepName::Enrolment,
            Stage::Offered { .. } => StepName::Offer,
            // Nothing of these can be answered by a form.
            Stage::Completed(_) | Stage::Unsolicited { .. } | Stage::SigningOut { .. } => {
                StepName::Completed
            }
        }
    }

    /// Whether the client that asked lets people in through `connector`.
    #[must_use]
    pub fn allows_connector(&self, connector: &str) -> bool {
        self.request
            .connectors
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|id| id == connector))
    }
}
