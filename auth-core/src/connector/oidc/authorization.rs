//! The request that the browser carries to the provider, and the answer that it brings back.
//!
//! Authorization code with PKCE (RFC 7636, S256) and a nonce. The state is the login's own token:
//! good for this departure and this browser only. The issuer parameter (RFC 9207) is compared when
//! it is there, and has to be there when the provider says that it sends it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::discovery::same_issuer;
use super::refusal::{OidcRefusal, Rejection};
use super::settings::OidcSettings;
use crate::clock::Timestamp;
use crate::connector::redirect::DepartureRequest;
use crate::random::Random;

/// Parameters that a connection's own ones may not replace.
const OWN: &[&str] = &[
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "max_age",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// What is kept while the browser is away.
#[derive(Debug, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct AwayState {
    /// Bound into the ID token.
    pub(super) nonce: String,
    /// Proves to the token endpoint that the code was asked for by us.
    pub(super) verifier: String,
    /// The issuer that the browser was sent to.
    pub(super) issuer: String,
    /// Whether its answers name it.
    pub(super) names_itself: bool,
    /// Whether a new proof was asked for.
    pub(super) fresh: bool,
    /// When the browser left.
    #[zeroize(skip)]
    pub(super) at: Timestamp,
}

/// What the browser brought back to the callback, as it stands in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// The login's token.
    pub state: Option<String>,
    /// The authorization code.
    pub code: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// The same in words, by the provider.
    pub error_description: Option<String>,
    /// Who answers (RFC 9207).
    pub issuer: Option<String>,
}

impl CallbackAnswer {
    /// Reads the pairs of a query. Parameters that we do not know are passed over (RFC 6749
    /// section 4.1.2); one that we know and that is there twice makes the whole answer unreadable.
    #[must_use]
    pub fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut answer = Self::default();
        for (name, value) in pairs {
            let field = match name {
                "state" => &mut answer.state,
                "code" => &mut answer.code,
                "error" => &mut answer.error,
                "error_description" => &mut answer.error_description,
                "iss" => &mut answer.issuer,
                _ => continue,
            };
            if field.is_some() || value.len() > 8192 {
                return None;
            }
            *field = Some(value.to_owned());
        }
        Some(answer)
    }

    /// The code, when the answer is of the provider that the browser was sent to and is no error.
    ///
    /// # Errors
    /// The rule that it breaks, or the provider's error.
    pub(super) fn code(&self, away: &AwayState) -> Result<&str, Rejection> {
        match &self.issuer {
            Some(issuer) if !same_issuer(issuer, &away.issuer) => {
                return Err(Rejection::because(OidcRefusal::ResponseIssuer, &**issuer));
            }
            None if away.names_itself => {
                return Err(Rejection::because(OidcRefusal::ResponseIssuer, "no iss"));
            }
            _ => {}
        }
        match (&self.code, &self.error) {
            (Some(code), None) if !code.is_empty() => Ok(code),
            (None, Some(error)) => {
                let rule = match error.as_str() {
                    "access_denied"
                    | "login_required"
                    | "interaction_required"
                    | "consent_required"
                    | "account_selection_required" => OidcRefusal::DeniedUpstream,
                    _ => OidcRefusal::ErrorUpstream,
                };
                let words = self.error_description.as_deref().unwrap_or_default();
                Err(Rejection::because(rule, format!("{error}: {words}")))
            }
            _ => Err(OidcRefusal::MalformedResponse.into()),
        }
    }
}

/// The way to the provider, and what to keep meanwhile.
pub(super) fn depart(
    settings: &OidcSettings,
    endpoint: &Url,
    issuer: &str,
    names_itself: bool,
    request: DepartureRequest<'_>,
    random: &dyn Random,
    now: Timestamp,
) -> (Url, AwayState) {
    let away = AwayState {
        nonce: fresh_text(random),
        verifier: fresh_text(random),
        issuer: issuer.to_owned(),
        names_itself,
        fresh: request.fresh,
        at: now,
    };
    let challenge =
        PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(away.verifier.clone()));
    let mut url = endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", settings.redirect_uri.as_str())
            .append_pair("scope", &settings.scopes.join(" "))
            .append_pair("state", request.state)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        if settings.plain.is_none() {
            query.append_pair("nonce", &away.nonce);
            if request.fresh {
                query.append_pair("prompt", "login").append_pair("max_age", "0");
            }
        }
        if let Some(hint) = request.login_hint {
            query.append_pair("login_hint", hint);
        }
        if let [only] = settings.hosted_domains.as_slice() {
            query.append_pair("hd", only);
        }
        for (name, value) in &settings.authorization_parameters {
            let is_ours = OWN.contains(&name.as_str()) || (request.fresh && name == "prompt");
            if !is_ours {
                query.append_pair(name, value);
            }
        }
    }
    (url, away)
}

/// Whether a connection may add this parameter to the authorization request.
#[must_use]
pub fn is_own_parameter(name: &str) -> bool {
    OWN.contains(&name)
}

/// 256 random bits as text: long enough for a PKCE verifier (43 characters at least).
fn fresh_text(random: &dyn Random) -> String {
    let mut bytes = [0u8; 32];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
