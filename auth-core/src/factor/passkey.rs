//! Passkeys and security keys: WebAuthn (W3C level 3) by `webauthn-rs`.
//!
//! User verification is always asked for and checked, so a passkey alone is two factors. A ceremony
//! has two halves: what the browser is given, and a state that the caller keeps sealed until the
//! answer comes. An answer proves nothing until the store has consumed the challenge and taken the
//! counter ([`FactorStore::use_passkey`](crate::store::FactorStore::use_passkey)).
//!
//! The relying party is the host of the public URL; passkeys of one host are nothing at another.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, CredentialID, DiscoverableAuthentication, Passkey, PasskeyAuthentication,
    PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Webauthn,
    WebauthnBuilder, WebauthnError,
};

use crate::secret::TokenHash;

/// What can be done with passkeys at one site.
#[derive(Debug)]
pub struct Passkeys {
    webauthn: Webauthn,
    passwordless: bool,
}

/// Why passkeys cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("passkeys need a host name in public_url (an IP address is none): {0}")]
pub struct NoPasskeys(String);

/// A ceremony between two requests. Holds the challenge, so the caller seals it.
#[derive(Serialize, Deserialize)]
pub struct Ceremony {
    /// What the browser is given, as JSON.
    options: Value,
    state: CeremonyState,
}

#[derive(Serialize, Deserialize)]
enum CeremonyState {
    Registration(PasskeyRegistration),
    Authentication(PasskeyAuthentication),
    Discoverable(DiscoverableAuthentication),
}

/// A credential as it is stored: public key, counter, properties. The store keeps it sealed.
#[derive(Serialize, Deserialize)]
pub struct StoredPasskey(Passkey);

/// An answer whose signature was right. Only [`Passkeys`] makes one, and it proves nothing until
/// the store has consumed its challenge.
///
/// ```compile_fail
/// let forged = auth_core::factor::passkey::SignedChallenge { challenge: todo!() };
/// ```
#[must_use = "the challenge has to be consumed in the store"]
pub struct SignedChallenge {
    challenge: TokenHash,
    result: AuthenticationResult,
}

/// Why an answer is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasskeyRefusal {
    /// It cannot be read.
    Malformed,
    /// It is of another ceremony, site or credential, or its signature is wrong.
    Wrong,
    /// The authenticator did not verify its user.
    UserNotVerified,
    /// The counter did not grow: there are two copies of the key.
    CounterBehind,
    /// The credential is there already.
    Known,
}

impl PasskeyRefusal {
    /// The word in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "passkey_malformed",
            Self::Wrong => "passkey_wrong",
            Self::UserNotVerified => "passkey_user_not_verified",
            Self::CounterBehind => "passkey_counter_behind",
            Self::Known => "passkey_known",
        }
    }

    fn of(error: &WebauthnError) -> Self {
        match error {
            WebauthnError::UserNotVerified => Self::UserNotVerified,
            WebauthnError::CredentialPossibleCompromise => Self::CounterBehind,
            WebauthnError::CredentialExcludedFromRequest => Self::Known,
            _ => Self::Wrong,
        }
    }
}

impl Passkeys {
    /// Passkeys of the site at `public_url`, which people know as `name`.
    ///
    /// # Errors
    /// When the URL's host is an IP address.
    pub fn new(public_url: &Url, name: &str, passwordless: bool) -> Result<Self, NoPasskeys> {
        let host = public_url.domain().ok_or_else(|| NoPasskeys(public_url.to_string()))?;
        let webauthn = WebauthnBuilder::new(host, public_url)
            .and_then(|builder| builder.rp_name(name).build())
            .map_err(|error| NoPasskeys(error.to_string()))?;
        Ok(Self { webauthn, passwordless })
    }

    /// Whether a passkey may stand in for the password.
    #[must_use]
    pub const fn is_passwordless(&self) -> bool {
        self.passwordless
    }

    /// Begins to register a passkey for an account that has `known` ones.
    ///
    /// # Errors
    /// When a name is empty.
    pub fn begin_registration(
        &self,
        account: Uuid,
        username: &str,
        display_name: &str,
        known: &[StoredPasskey],
    ) -> Result<Ceremony, PasskeyRefusal> {
        let known: Vec<CredentialID> = known.iter().map(|key| key.0.cred_id().clone()).collect();
        let (options, state) = self
            .webauthn
            .start_passkey_registration(account, username, display_name, Some(known))
            .map_err(|error| PasskeyRefusal::of(&error))?;
        let mut options = json_of(&options)?;
        if self.passwordless {
            // Only a key that the authenticator finds by itself can name its account.
            let selection = options
                .pointer_mut("/publicKey/authenticatorSelection")
                .and_then(Value::as_object_mut);
            if let Some(selection) = selection {
                selection.insert("residentKey".to_owned(), "preferred".into());
            }
        }
        Ok(Ceremony { options, state: CeremonyState::Registration(state) })
    }

    /// Takes the answer of a registration.
    ///
    /// # Errors
    /// [`PasskeyRefusal`].
    pub fn finish_registration(
        &self,
        ceremony: &Ceremony,
        answer: &str,
    ) -> Result<StoredPasskey, PasskeyRefusal> {
        let CeremonyState::Registration(state) = &ceremony.state else {
            return Err(PasskeyRefusal::Wrong);
        };
        let answer: RegisterPublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| PasskeyRefusal::Malformed)?;
        self.webauthn
            .finish_passkey_registration(&answer, state)
            .map(StoredPasskey)
            .map_err(|error| PasskeyRefusal::of(&error))
    }

    /// Begins to ask for one of an account's passkeys.
    ///
    /// # Errors
    /// When there is none.
    pub fn begin_authentication(
        &self,
        known: &[StoredPasskey],
    ) -> Result<Ceremony, PasskeyRefusal> {
        let known: Vec<Passkey> = known.iter().map(|key| key.0.clone()).collect();
        if known.is_empty() {
            // An empty list would ask for anybody's.
            return Err(PasskeyRefusal::Wrong);
        }
        let (options, state) = self
            .webauthn
            .start_passkey_authentication(&known)
            .map_err(|error| PasskeyRefusal::of(&error))?;
        let state = CeremonyState::Authentication(state);
        Ok(Ceremony { options: json_of(&options)?, state })
    }

    /// Begins to ask for anybody's passkey that its authenticator finds by itself.
    ///
    /// # Errors
    /// None is known.
    pub fn begin_discoverable(&self) -> Result<Ceremony, PasskeyRefusal> {
        let (mut options, state) = self
            .webauthn
            .start_discoverable_authentication()
            .map_err(|error| PasskeyRefusal::of(&error))?;
        // A button asks, not the field of the user name.
        options.mediation = None;
        let state = CeremonyState::Discoverable(state);
        Ok(Ceremony { options: json_of(&options)?, state })
    }

    /// Takes the answer of [`Self::begin_authentication`] or [`Self::begin_discoverable`], judged
    /// against `stored`, the credential that [`Assertion::credential`] named.
    ///
    /// # Errors
    /// [`PasskeyRefusal`].
    pub fn finish_authentication(
        &self,
        ceremony: Ceremony,
        answer: &Assertion,
        stored: &StoredPasskey,
    ) -> Result<SignedChallenge, PasskeyRefusal> {
        let challenge = ceremony.challenge().ok_or(PasskeyRefusal::Malformed)?;
        let result = match ceremony.state {
            CeremonyState::Authentication(state) => {
                self.webauthn.finish_passkey_authentication(&answer.0, &state)
            }
            CeremonyState::Discoverable(state) => {
                self.webauthn.finish_discoverable_authentication_v2(&answer.0, state, &stored.0)
            }
            CeremonyState::Registration(_) => return Err(PasskeyRefusal::Wrong),
        }
        .map_err(|error| PasskeyRefusal::of(&error))?;
        let same = result.cred_id() == stored.0.cred_id();
        if !same {
            Err(PasskeyRefusal::Wrong)
        } else if !result.user_verified() {
            Err(PasskeyRefusal::UserNotVerified)
        } else {
            Ok(SignedChallenge { challenge, result })
        }
    }
}

/// The answer of an authenticator, not judged yet.
pub struct Assertion(PublicKeyCredential);

impl Assertion {
    /// Reads it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn parse(answer: &str) -> Result<Self, PasskeyRefusal> {
        serde_json::from_str(answer).map(Self).map_err(|_| PasskeyRefusal::Malformed)
    }

    /// The credential that it claims to be of, as the store knows it.
    #[must_use]
    pub fn credential(&self) -> TokenHash {
        TokenHash::of(self.0.get_credential_id())
    }

    /// The account that the authenticator stored with the credential.
    #[must_use]
    pub fn account(&self) -> Option<Uuid> {
        self.0.get_user_unique_id().and_then(|bytes| Uuid::from_slice(bytes).ok())
    }
}

impl Ceremony {
    /// What the page's script is given.
    #[must_use]
    pub fn options(&self) -> String {
        self.options.to_string()
    }

    fn challenge(&self) -> Option<TokenHash> {
        let challenge = self.options.pointer("/publicKey/challenge")?.as_str()?;
        Some(TokenHash::of(challenge.as_bytes()))
    }
}

impl StoredPasskey {
    /// What the store finds it by.
    #[must_use]
    pub fn credential(&self) -> TokenHash {
        TokenHash::of(self.0.cred_id())
    }

    /// The counter that it was registered with.
    #[must_use]
    pub fn sign_count(&self) -> i64 {
        self.property("/cred/counter").and_then(|counter| counter.as_i64()).unwrap_or(0)
    }

    /// Whether the private key cannot leave its authenticator.
    #[must_use]
    pub fn is_hardware_bound(&self) -> bool {
        let eligible = self.property("/cred/backup_eligible").and_then(|value| value.as_bool());
        eligible == Some(false)
    }

    /// `webauthn-rs` shows these in the serialised form alone.
    fn property(&self, pointer: &str) -> Option<Value> {
        serde_json::to_value(&self.0).ok()?.pointer(pointer).cloned()
    }

    /// The credential after a use.
    #[must_use]
    pub fn used(&self, signed: &SignedChallenge) -> Self {
        let mut updated = self.0.clone();
        let _ = updated.update_credential(&signed.result);
        Self(updated)
    }
}

impl SignedChallenge {
    /// The challenge, to be consumed.
    #[must_use]
    pub const fn challenge(&self) -> TokenHash {
        self.challenge
    }

    /// The counter that was signed.
    #[must_use]
    pub fn sign_count(&self) -> i64 {
        i64::from(self.result.counter())
    }

    /// Whether the private key cannot leave its authenticator.
    #[must_use]
    pub fn is_hardware_bound(&self) -> bool {
        !self.result.backup_eligible()
    }
}

fn json_of(options: &impl Serialize) -> Result<Value, PasskeyRefusal> {
    serde_json::to_value(options).map_err(|_| PasskeyRefusal::Malformed)
}

impl fmt::Debug for Ceremony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ceremony")
    }
}

impl fmt::Debug for StoredPasskey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPasskey")
    }
}

impl fmt::Debug for SignedChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedChallenge")
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion")
    }
}

#[cfg(test)]
mod tests;
