//! The signature of a webhook, by Standard Webhooks (<https://www.standardwebhooks.com>): HMAC
//! with SHA-256 over `ID.TIMESTAMP.BODY`, so that neither body nor time can be exchanged.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Marks a secret that is written as base64.
const PREFIX: &str = "whsec_";

/// Values of the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookHeaders {
    /// The event's id, the same at every attempt.
    pub id: String,
    /// Seconds since the epoch, of this attempt.
    pub timestamp: String,
    /// `v1,` and the MAC in base64.
    pub signature: String,
}

/// Signs an attempt to deliver `body`.
#[must_use]
pub fn sign(secret: &Secret, event: &str, body: &str, now: Timestamp) -> WebhookHeaders {
    let id = format!("evt_{event}");
    let timestamp = now.seconds().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key_bytes(secret));
    let mut context = hmac::Context::with_key(&key);
    for part in [id.as_str(), ".", &timestamp, ".", body] {
        context.update(part.as_bytes());
    }
    let signature = format!("v1,{}", STANDARD.encode(context.sign().as_ref()));
    WebhookHeaders { id, timestamp, signature }
}

/// `whsec_` and base64 stand for the decoded bytes, any other text for itself.
fn key_bytes(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let text = secret.expose();
    let decoded = text.strip_prefix(PREFIX).and_then(|coded| STANDARD.decode(coded).ok());
    Zeroizing::new(decoded.unwrap_or_else(|| text.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_shows() {
        // The example of the specification's reference libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key_bytes(&secret));
        let signed =
            hmac::sign(&key, b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}");
        assert_eq!(
            STANDARD.encode(signed.as_ref()),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn every_part_is_under_the_signature() {
        let secret = Secret::new("a secret of the tests".to_owned());
        let now = Timestamp::from_seconds(1_764_000_000);
        let first = sign(&secret, "ab", "{}", now);
        assert_eq!((first.id.as_str(), first.timestamp.as_str()), ("evt_ab", "1764000000"));
        assert!(first.signature.starts_with("v1,"));
        let later = now + std::time::Duration::from_secs(1);
        let other = Secret::new("another secret".to_owned());
        for changed in [
            sign(&secret, "ac", "{}", now),
            sign(&secret, "ab", "{ }", now),
            sign(&secret, "ab", "{}", later),
            sign(&other, "ab", "{}", now),
        ] {
            assert_ne!(changed.signature, first.signature);
        }
    }
}
