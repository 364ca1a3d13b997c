//! Telling a person that their account's protection changed.
//!
//! The change and its audit event are one transaction, so a sender that reads the trail (an outbox,
//! a webhook) misses none. [`SecurityNotice`] is the seam for one that is told at once, such as an
//! e-mail; what it does cannot undo the change.

use async_trait::async_trait;

use crate::audit::AuditRecord;
use crate::store::AccountRecord;

/// Somebody who is told of changes to an account's factors, devices and password.
#[async_trait]
pub trait SecurityNotice: Send + Sync {
    /// Called after the change is durable. `event` is its audit event: `factor.added`,
    /// `factor.removed`, `factor.renamed`, `factor.recovery_codes_replaced`, `device.forgotten`,
    /// `account.password_changed`, `account.factors_reset`.
    async fn security_changed(&self, account: &AccountRecord, event: &AuditRecord);
}
