//! Subject identifiers: public ones are the account's id, pairwise ones a keyed hash of it for
//! each sector (OpenID Connect Core 1.0 section 8).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::SubjectIdentifier;
use uuid::Uuid;

use crate::key_ring::HashKey;
use crate::store::AccountId;

/// The public subject identifier of an account.
#[must_use]
pub fn public(account: AccountId) -> SubjectIdentifier {
    SubjectIdentifier::new(account.to_string())
}

/// The subject identifier under which `sector` knows the account. Without the key nobody can tell
/// whether two sectors' subjects are one person.
#[must_use]
pub fn pairwise(key: &HashKey, sector: &str, account: AccountId) -> SubjectIdentifier {
    let hash = key.hash("pairwise subject", &[sector.as_bytes(), account.0.as_bytes()]);
    SubjectIdentifier::new(URL_SAFE_NO_PAD.encode(hash))
}

/// The account that a public subject identifier stands for; the inverse of [`public`].
#[must_use]
pub fn account_of_public(subject: &str) -> Option<AccountId> {
    Uuid::try_parse(subject).ok().map(AccountId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn public_subjects_lead_back_to_accounts() {
        let id = AccountId(Uuid::from_u128(42));
        assert_eq!(account_of_public(public(id).as_str()), Some(id));
        assert_eq!(account_of_public("alice"), None);
    }

    #[test]
    fn pairwise_subjects_differ_by_sector_account_and_key() {
        let [key, other] = [0; 2].map(|_| HashKey::generate(&SystemRandom::new()));
        let [alice, bob] = [1, 2].map(|n| AccountId(Uuid::from_u128(n)));
        let subject = pairwise(&key, "chat.example.com", alice);
        assert_eq!(subject, pairwise(&key, "chat.example.com", alice));
        for different in [
            pairwise(&key, "wiki.example.com", alice),
            pairwise(&key, "chat.example.com", bob),
            pairwise(&other, "chat.example.com", alice),
            public(alice),
        ] {
            assert_ne!(subject, different);
        }
        assert_eq!(account_of_public(&subject), None);
    }
}
