//! A verified assertion that was not used yet. Who it names stays locked inside until it is
//! redeemed with the proof that nobody used it before.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::code::{SamlCode, SamlRefusal};
use super::name_id::NameId;
use crate::clock::Timestamp;
use crate::connector::{Profile, UpstreamSession, VerifiedIdentity};
use crate::key_ring::{KeyRing, SealContext};
use crate::random::Random;
use crate::replay::{Fresh, ReplayKey};
use crate::secret::{Secret, TokenHash};

/// Proof that an assertion passed every check but one: that it is used for the first time.
///
/// ```compile_fail
/// let forged: auth_core::connector::saml::UnspentAssertion = serde_json::from_str("{}").unwrap();
/// ```
pub struct UnspentAssertion(Content);

/// What was verified.
#[derive(Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) connection: String,
    pub(super) issuer: String,
    pub(super) assertion_id: String,
    pub(super) usable_until: Timestamp,
    pub(super) verified_at: Timestamp,
    pub(super) subject: String,
    pub(super) profile: Profile,
    pub(super) amr: Vec<String>,
    pub(super) session: SamlSession,
}

/// What single logout and session length need to know later. Plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamlSession {
    /// The person's name at the identity provider, exactly as it was sent.
    pub name_id: Option<NameId>,
    /// The session there.
    pub session_index: Option<String>,
    /// When the session there ends; ours may not last longer.
    pub not_on_or_after: Option<Timestamp>,
    /// When the person was authenticated there.
    pub authn_instant: Timestamp,
    /// How: an authentication context class.
    pub authn_context: Option<String>,
}

/// A redeemed assertion: who it is, and the session at the identity provider.
#[derive(Debug)]
pub struct RedeemedAssertion {
    /// Who it is.
    pub identity: VerifiedIdentity,
    /// The session there.
    pub session: SamlSession,
}

impl UnspentAssertion {
    pub(super) const fn new(content: Content) -> Self {
        Self(content)
    }

    /// The connection that it came through.
    #[must_use]
    pub fn connection(&self) -> &str {
        &self.0.connection
    }

    /// What to call the person before anybody is let in. It proves nothing.
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.0.profile.username
    }

    /// What the replay store has to be asked.
    #[must_use]
    pub fn replay_key(&self) -> ReplayKey {
        let mut bytes = Vec::new();
        for part in [&self.0.issuer, &self.0.assertion_id] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        ReplayKey::new("saml", TokenHash::of(&bytes), self.0.usable_until)
    }

    /// Gives the identity for the proof that this very assertion is used for the first time.
    ///
    /// # Errors
    /// `replayed` when the proof is that of another assertion.
    pub fn redeem(self, fresh: Fresh) -> Result<RedeemedAssertion, SamlRefusal> {
        if !fresh.is_of(&self.replay_key()) {
            return Err(SamlCode::Replayed.because("the proof is that of another assertion"));
        }
        let content = self.0;
        let amr: Vec<&str> = content.amr.iter().map(String::as_str).collect();
        let identity = VerifiedIdentity::new(
            &content.connection,
            content.subject,
            content.profile,
            &amr,
            content.verified_at,
        );
        // A logout request names the person exactly as the identity provider did.
        let hint = serde_json::to_string(&content.session).ok().map(Secret::new);
        let identity = identity.with_upstream(UpstreamSession {
            name: content.session.name_id.as_ref().map(NameId::subject),
            ends_at: content.session.not_on_or_after,
            index: content.session.session_index.clone(),
            hint,
            methods: content.session.authn_context.iter().cloned().collect(),
        });
        Ok(RedeemedAssertion { identity, session: content.session })
    }

    /// Seals it for the row of the pending login that it is parked under.
    ///
    /// # Panics
    /// Never: the content always has a JSON form.
    #[must_use]
    #[expect(clippy::expect_used, reason = "strings, lists and numbers always have a JSON form")]
    pub fn seal(&self, ring: &KeyRing, login: &str, random: &dyn Random) -> Vec<u8> {
        let plain = Zeroizing::new(serde_json::to_vec(&self.0).expect("JSON"));
        ring.seal(place(login), &plain, random)
    }

    /// Opens what [`UnspentAssertion::seal`] sealed for the same login. Only the holder of the
    /// key ring can have made it.
    ///
    /// # Errors
    /// `expired` when it lay too long; `structure` when it does not open here.
    pub fn open(
        sealed: &[u8],
        ring: &KeyRing,
        login: &str,
        now: Timestamp,
    ) -> Result<Self, SamlRefusal> {
        let plain = ring
            .open(place(login), sealed)
            .map_err(|error| SamlCode::Structure.because(format!("parked assertion: {error}")))?;
        let content: Content = serde_json::from_slice(&plain)
            .map_err(|error| SamlCode::Structure.because(format!("parked assertion: {error}")))?;
        if now >= content.usable_until {
            return Err(SamlCode::Expired.because("it was parked for too long"));
        }
        Ok(Self(content))
    }
}

impl fmt::Debug for UnspentAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnspentAssertion({})", self.0.connection)
    }
}

const fn place(login: &str) -> SealContext<'_> {
    SealContext { table: "login", column: "saml_assertion", row: login }
}
