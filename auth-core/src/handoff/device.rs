//! The device authorization grant, RFC 8628: codes, what a poll is answered, and how long all
//! of it lasts.
//!
//! A user code has 8 letters of 20: 34 bits, far more than the few guesses that a signed-in person
//! has while it is valid.

use std::time::Duration;

use super::client::Client;
use super::oauth_error::{OAuthError, OAuthErrorCode};
use super::scope::Scope;
use crate::clock::Timestamp;
use crate::key_ring::HashKey;
use crate::random::Random;
use crate::secret::{Token, TokenHash};
use crate::store::{DeviceGrantRecord, DeviceGrantState, ThrottleRule};

/// Value of `grant_type`.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The page where a person types the user code.
pub const VERIFICATION_PATH: &str = "/device";
/// How long a device waits for its person.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// How long a device waits between two questions.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// User codes that one account may try in a row.
pub const GUESSES: ThrottleRule = ThrottleRule { limit: 10, lockout: Duration::from_secs(15 * 60) };
/// Devices that one source may begin in a row: each is a row in the store.
pub const BEGINS: ThrottleRule = ThrottleRule { limit: 60, lockout: Duration::from_secs(60) };

/// Consonants without those that look like another letter or a digit (section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// A code that a person types, in its plain form `BCDFGHJK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// Draws one.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut code = String::with_capacity(LENGTH);
        while code.len() < LENGTH {
            let mut bytes = [0; 16];
            random.fill(&mut bytes);
            // 240 is the largest multiple of 20 in a byte: above it some letters would come more
            // often.
            let letters = bytes.into_iter().filter(|byte| *byte < 240);
            let letters = letters.filter_map(|byte| ALPHABET.get(usize::from(byte) % 20));
            code.extend(letters.take(LENGTH - code.len()).map(|letter| char::from(*letter)));
        }
        Self(code)
    }

    /// Reads what a person typed: case, blanks and punctuation do not count.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        if typed.len() > 64 {
            return None;
        }
        let code: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_ascii_punctuation())
            .map(|c| c.to_ascii_uppercase())
            .collect();
        let good = code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte));
        good.then_some(Self(code))
    }

    /// As it is shown: `BCDF-GHJK`.
    #[must_use]
    pub fn shown(&self) -> String {
        let (first, second) = self.0.split_at(LENGTH / 2);
        format!("{first}-{second}")
    }

    /// What the store keeps. The code is short, so a plain hash of it could be turned back.
    #[must_use]
    pub fn hash(&self, key: &HashKey) -> TokenHash {
        TokenHash::from_bytes(key.hash("device user code", &[self.0.as_bytes()]))
    }
}

/// Hash of the authorization code that stands for an approved device code. No code that a client
/// can present at the authorization code grant has it.
#[must_use]
pub fn code_hash(device_code: TokenHash) -> TokenHash {
    let mut input = b"device:".to_vec();
    input.extend_from_slice(device_code.as_bytes());
    TokenHash::of(&input)
}

/// What a device gets when it asks to be let in.
#[derive(Debug)]
pub struct DeviceAuthorization {
    /// For the device.
    pub device_code: Token,
    /// For the person.
    pub user_code: UserCode,
    /// Where to type it.
    pub verification_uri: String,
}

impl DeviceAuthorization {
    /// The JSON body of section 3.2; it holds a secret.
    #[must_use]
    pub fn body(&self) -> zeroize::Zeroizing<String> {
        let shown = self.user_code.shown();
        zeroize::Zeroizing::new(
            serde_json::json!({
                "device_code": self.device_code.expose(),
                "user_code": shown,
                "verification_uri": self.verification_uri,
                "verification_uri_complete": format!("{}?user_code={shown}", self.verification_uri),
                "expires_in": LIFETIME.as_secs(),
                "interval": INTERVAL.as_secs(),
            })
            .to_string(),
        )
    }
}

/// The scope that a device asks for, narrowed to what its client may have.
///
/// # Errors
/// `unauthorized_client` or `invalid_scope`.
pub fn requested_scope(client: &Client, scope: Option<&str>) -> Result<Scope, OAuthError> {
    if !client.allows_device_authorization() {
        return Err(OAuthError::new(
            OAuthErrorCode::UnauthorizedClient,
            "this client may not use the device authorization grant",
        ));
    }
    let invalid = OAuthError::new(
        OAuthErrorCode::InvalidScope,
        "scope holds nothing that this client may have",
    );
    let asked = Scope::parse(scope.unwrap_or(super::scope::OPENID)).ok_or(invalid.clone())?;
    let granted = client.narrow_scope(&asked);
    if granted.is_empty() { Err(invalid) } else { Ok(granted) }
}

/// Whether a polled grant may be redeemed now; `grant` is as it was before this poll.
///
/// # Errors
/// What the device is told, section 3.5.
pub fn judge_poll(
    grant: &DeviceGrantRecord,
    client: &Client,
    now: Timestamp,
) -> Result<(), OAuthError> {
    let error = |code, text| Err(OAuthError::new(code, text));
    if grant.client != client.id() {
        return Err(OAuthError::invalid_grant());
    }
    if grant.expires_at <= now {
        return error(OAuthErrorCode::ExpiredToken, "nobody answered in time: begin anew");
    }
    if grant.polled_at.is_some_and(|before| now.since(before) < INTERVAL) {
        return error(OAuthErrorCode::SlowDown, "wait longer between two questions");
    }
    match grant.state {
        DeviceGrantState::Approved => Ok(()),
        DeviceGrantState::Denied => error(OAuthErrorCode::AccessDenied, "the person refused"),
        DeviceGrantState::Pending => {
            error(OAuthErrorCode::AuthorizationPending, "the person has not answered yet")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::client::ClientSettings;
    use crate::handoff::client::tests::{confidential, public, settings};
    use crate::random::SystemRandom;

    const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

    #[test]
    fn user_codes_are_read_as_people_type_them() {
        let code = UserCode::generate(&SystemRandom::new());
        let shown = code.shown();
        assert_eq!((shown.len(), shown.chars().nth(4)), (9, Some('-')));
        for typed in
            [shown.clone(), shown.to_lowercase(), shown.replace('-', " "), format!(" {shown}\n")]
        {
            assert_eq!(UserCode::parse(&typed), Some(code.clone()), "{typed:?}");
        }
        for typed in ["", "BCDF", "BCDF-GHJA", "BCDF-GHJK-L", &"B".repeat(65)] {
            assert_eq!(UserCode::parse(typed), None, "{typed:?}");
        }
        assert_ne!(code, UserCode::generate(&SystemRandom::new()));
    }

    #[test]
    fn public_clients_may_and_others_where_they_are_told_so() {
        let granted = |client: &Client| requested_scope(client, Some("openid nonsense"));
        assert_eq!(granted(&public(settings("tool"))).unwrap().to_string(), "openid");
        let code = |client: &Client| granted(client).unwrap_err().code();
        assert_eq!(code(&confidential(settings("chat"))), OAuthErrorCode::UnauthorizedClient);
        let set = |value| ClientSettings { device_authorization: Some(value), ..settings("chat") };
        assert!(granted(&confidential(set(true))).is_ok());
        assert_eq!(code(&public(set(false))), OAuthErrorCode::UnauthorizedClient);
        let error = requested_scope(&public(settings("tool")), Some("nonsense")).unwrap_err();
        assert_eq!(error.code(), OAuthErrorCode::InvalidScope);
    }

    #[test]
    fn polls_are_answered_by_section_3_5() {
        let client = public(settings("tool"));
        let grant = DeviceGrantRecord {
            hash: TokenHash::of(b"device"),
            user_code: TokenHash::of(b"user"),
            client: "tool".to_owned(),
            scope: "openid".to_owned(),
            ip: None,
            user_agent: None,
            state: DeviceGrantState::Approved,
            created_at: NOW,
            expires_at: NOW + LIFETIME,
            polled_at: None,
        };
        let check = |change: fn(&mut DeviceGrantRecord), expected: Option<OAuthErrorCode>| {
            let mut changed = grant.clone();
            change(&mut changed);
            let judged = judge_poll(&changed, &client, NOW).err().map(|error| error.code());
            assert_eq!(judged, expected, "{changed:?}");
        };
        check(|_| (), None);
        check(|g| g.polled_at = Some(NOW - INTERVAL), None);
        check(|g| g.polled_at = Some(NOW), Some(OAuthErrorCode::SlowDown));
        check(|g| g.client = "other".into(), Some(OAuthErrorCode::InvalidGrant));
        check(|g| g.expires_at = NOW, Some(OAuthErrorCode::ExpiredToken));
        check(|g| g.state = DeviceGrantState::Denied, Some(OAuthErrorCode::AccessDenied));
        check(|g| g.state = DeviceGrantState::Pending, Some(OAuthErrorCode::AuthorizationPending));
    }
}
