//! Answers of `access_token`, kept while nothing can have changed them.
//!
//! Every change that touches an account's tokens, sessions or the account itself gets a number
//! from one counter, and is noted in the slot of that account (or for all). An answer carries the
//! counter's value from before it was read and is good while its slot holds no later number: so
//! a change that was committed before the read began is in the answer, and any other ends it.
//!
//! Changes on other nodes come through the [`super::listener`]. Answers are given only up to
//! [`FRESH_MILLIS`] after the sending of the last heartbeat that came back through it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use auth_core::secret::TokenHash;
use auth_core::store::{AccessTokenStatus, AccountId};
use moka::sync::Cache;

/// Answers are good so long after the last heartbeat that came back.
pub(super) const FRESH_MILLIS: u64 = 1000;
/// Answers kept at most.
const ENTRIES: u64 = 20_000;
/// Facts that end no token (last use) are read again so often.
const LIFETIME: Duration = Duration::from_secs(60);
/// Accounts share so many slots; two in one slot only cost a read.
const SLOTS: usize = 4096;

/// The cache of one node.
pub(super) struct TokenCache {
    answers: Cache<TokenHash, std::sync::Arc<Answer>>,
    changes: AtomicU64,
    of_all: AtomicU64,
    of_accounts: Box<[AtomicU64]>,
    started: Instant,
    fresh_until: AtomicU64,
    asked: AtomicBool,
}

struct Answer {
    read_at: u64,
    status: AccessTokenStatus,
}

impl TokenCache {
    /// An empty cache, not usable before the first heartbeat.
    pub(super) fn new() -> Self {
        Self {
            answers: Cache::builder().max_capacity(ENTRIES).time_to_live(LIFETIME).build(),
            changes: AtomicU64::new(0),
            of_all: AtomicU64::new(0),
            of_accounts: std::iter::repeat_with(|| AtomicU64::new(0)).take(SLOTS).collect(),
            started: Instant::now(),
            fresh_until: AtomicU64::new(0),
            asked: AtomicBool::new(false),
        }
    }

    /// The answer for this token, if it is certainly still true.
    pub(super) fn get(&self, hash: &TokenHash) -> Option<AccessTokenStatus> {
        self.asked.store(true, Ordering::Relaxed);
        if !self.is_fresh() {
            return None;
        }
        let answer = self.answers.get(hash)?;
        self.is_current(&answer).then(|| answer.status.clone())
    }

    /// The number of the last change; to be taken before an answer is read.
    pub(super) fn sequence(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Keeps an answer that was read after `read_at` was taken.
    pub(super) fn keep(&self, hash: TokenHash, read_at: u64, status: &AccessTokenStatus) {
        let answer = Answer { read_at, status: status.clone() };
        if self.is_fresh() && self.is_current(&answer) {
            self.answers.insert(hash, std::sync::Arc::new(answer));
        }
    }

    /// Ends the answers of an account. To be called after a change was committed, before it is
    /// told.
    pub(super) fn account_changed(&self, account: AccountId) {
        let number = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(slot) = self.slot(account) {
            slot.fetch_max(number, Ordering::SeqCst);
        } else {
            self.of_all.fetch_max(number, Ordering::SeqCst);
        }
    }

    /// Ends all answers.
    pub(super) fn everything_changed(&self) {
        let number = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        self.of_all.fetch_max(number, Ordering::SeqCst);
    }

    /// Milliseconds on the clock by which heartbeats are measured.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A heartbeat sent at `sent` (of [`TokenCache::millis`]) came back: every change that was
    /// committed before it was sent has been noted.
    pub(super) fn heard(&self, sent: u64) {
        let until = sent.min(self.millis()).saturating_add(FRESH_MILLIS);
        self.fresh_until.fetch_max(until, Ordering::SeqCst);
    }

    /// Changes of other nodes do not arrive any more.
    pub(super) fn deaf(&self) {
        self.fresh_until.store(0, Ordering::SeqCst);
    }

    /// Whether an answer was asked for since the last call of this.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    fn is_fresh(&self) -> bool {
        self.millis() < self.fresh_until.load(Ordering::SeqCst)
    }

    fn is_current(&self, answer: &Answer) -> bool {
        let last =
            self.slot(answer.status.account.id).map_or(0, |slot| slot.load(Ordering::SeqCst));
        answer.read_at >= last && answer.read_at >= self.of_all.load(Ordering::SeqCst)
    }

    fn slot(&self, account: AccountId) -> Option<&AtomicU64> {
        // The low bits of a time-ordered id are its random ones.
        let slot = usize::try_from(account.0.as_u128() % SLOTS as u128).ok()?;
        self.of_accounts.get(slot)
    }
}

#[cfg(test)]
mod tests {
    use auth_core::clock::Timestamp;
    use auth_core::store::{AccessTokenRecord, AccountRecord, SessionId, SessionRecord};
    use uuid::Uuid;

    use super::*;

    const TOKEN: TokenHash = TokenHash::from_bytes([7; 32]);

    fn status(account: u128) -> AccessTokenStatus {
        let at = Timestamp::from_millis(5);
        let id = AccountId(Uuid::from_u128(account));
        let session = SessionId(Uuid::from_u128(9));
        AccessTokenStatus {
            token: AccessTokenRecord {
                hash: TOKEN,
                session,
                scope: "openid".to_owned(),
                created_at: at,
                expires_at: at,
            },
            session: SessionRecord {
                id: session,
                account: id,
                client: None,
                parent: None,
                kind: "web".to_owned(),
                connector: "corp".to_owned(),
                amr: vec![],
                acr: String::new(),
                scope: String::new(),
                authenticated_at: at,
                created_at: at,
                last_seen_at: at,
                idle_timeout_millis: 1,
                expires_at: at,
                ip: None,
                user_agent: None,
                revoked_at: None,
                revoked_reason: None,
            },
            account: AccountRecord {
                id,
                numeric_id: 1,
                username: "a".to_owned(),
                username_key: "a".to_owned(),
                email: None,
                email_key: None,
                email_verified: false,
                first_name: None,
                last_name: None,
                nickname: None,
                position: None,
                locale: None,
                active: true,
                inactive_reason: None,
                roles: vec![],
                groups: vec![],
                created_at: at,
                updated_at: at,
                last_login_at: None,
                checked_at: None,
                version: 1,
            },
        }
    }

    fn listening() -> TokenCache {
        let cache = TokenCache::new();
        cache.heard(cache.millis());
        cache
    }

    #[test]
    fn an_answer_ends_with_a_change_of_its_account_or_of_all() {
        let cache = listening();
        cache.keep(TOKEN, cache.sequence(), &status(1));
        assert!(cache.get(&TOKEN).is_some());
        cache.account_changed(AccountId(Uuid::from_u128(2)));
        assert!(cache.get(&TOKEN).is_some(), "another account");
        cache.account_changed(AccountId(Uuid::from_u128(1)));
        assert!(cache.get(&TOKEN).is_none());
        cache.keep(TOKEN, cache.sequence(), &status(1));
        assert!(cache.get(&TOKEN).is_some());
        cache.everything_changed();
        assert!(cache.get(&TOKEN).is_none());
    }

    #[test]
    fn an_answer_read_before_a_change_is_not_kept() {
        let cache = listening();
        let before = cache.sequence();
        cache.account_changed(AccountId(Uuid::from_u128(1)));
        cache.keep(TOKEN, before, &status(1));
        assert!(cache.get(&TOKEN).is_none());
    }

    #[test]
    fn nothing_is_answered_while_no_heartbeat_comes_back() {
        let cache = TokenCache::new();
        cache.keep(TOKEN, cache.sequence(), &status(1));
        assert!(cache.get(&TOKEN).is_none(), "before the first heartbeat");
        cache.heard(cache.millis());
        cache.keep(TOKEN, cache.sequence(), &status(1));
        assert!(cache.get(&TOKEN).is_some());
        cache.deaf();
        assert!(cache.get(&TOKEN).is_none());
        assert!(cache.take_asked());
        assert!(!cache.take_asked());
    }
}
