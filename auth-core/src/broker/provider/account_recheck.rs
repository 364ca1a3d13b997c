//! The question that goes to a person's connector before a refresh is granted.

use async_trait::async_trait;

use crate::store::AccountRecord;

/// What became of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecheckVerdict {
    /// Nothing has to be asked yet, or nothing changed.
    Unchanged,
    /// Still welcome; the account as it is now.
    Updated(Box<AccountRecord>),
    /// Not welcome any more; the word for the audit trail. Sessions were ended where need be.
    Refused {
        /// Why, e.g. `gone`, `account_disabled`, `password_changed`.
        reason: String,
    },
    /// The connector did not answer, and the grace for that is over.
    Unavailable,
}

/// Asks the connector of an account again when its last answer is too old.
#[async_trait]
pub trait AccountRecheck: Send + Sync {
    /// Whether the person who came in through `connector` may still come in.
    async fn recheck(&self, account: &AccountRecord, connector: &str) -> RecheckVerdict;
}
