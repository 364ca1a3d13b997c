//! Making, replacing, withdrawing and listing signing keys.

use std::time::Duration;

use serde::Serialize;

use super::key_cabinet::{schedule, seal_context};
use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::signing_key::SigningKey;
use crate::handoff::signing_key_set::{
    KeySchedule, NewKey, RotationCause, may_retire, plan_rotation,
};
use crate::secret::TokenHash;
use crate::store::SigningKeyRecord;

/// How long a node that died while it made a key keeps the others from making it.
const ROTATION_MARK: Duration = Duration::from_secs(600);

/// What a signing key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, its time to sign has not come.
    Waiting,
    /// Signs.
    Signing,
    /// Published so that what it signed can be verified.
    Replaced,
    /// Not published any more.
    Retired,
}

/// A signing key as `key list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyListing {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: String,
    /// What it does now.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
    /// When it was withdrawn.
    pub retired_at: Option<Timestamp>,
}

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationReport {
    /// Keys that were made.
    pub created: Vec<KeySchedule>,
    /// Ids of keys that were withdrawn.
    pub retired: Vec<String>,
    /// Keys that wait for their time to sign, the new ones included.
    pub waiting: Vec<KeySchedule>,
}

/// Why a key command was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyCommandError {
    /// There is no such key, or it is retired already.
    #[error("no published signing key has the id {kid:?}")]
    Unknown {
        /// The id.
        kid: String,
    },
    /// Nothing could be signed without it.
    #[error(
        "signing key {kid:?} is the only one of its algorithm that signs: run `key rotate`, and \
         retire it when the new key signs"
    )]
    LastSigner {
        /// The id.
        kid: String,
    },
    /// Something broke.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl Provider {
    /// Makes the first key of each algorithm that has none. Two nodes that start at once make
    /// one: the store adds a key only when there is none, and both read back what it holds.
    pub(super) async fn ensure_signing_keys(&self) -> Result<(), ProviderError> {
        let now = self.clock.now();
        let missing =
            plan_rotation(&self.schedules().await?, self.rotation, RotationCause::Schedule, now)
                .create
                .into_iter()
                .filter(|new| new.active_from == now);
        for new in missing {
            let (record, event) = self.make_key(new, None, now).await?;
            if self.store.add_signing_key(record, true, vec![event.clone()]).await? {
                event.log();
            }
        }
        self.reload_signing_keys(now).await.map(drop)
    }

    /// Replaces the keys that are due and withdraws those that are over; to be called by a job
    /// once an hour or so.
    ///
    /// # Errors
    /// When the store or the crypto library fails.
    pub async fn rotate_due_signing_keys(
        &self,
        origin: &Origin,
    ) -> Result<RotationReport, ProviderError> {
        self.rotate_keys(RotationCause::Schedule, origin).await
    }

    /// Makes a successor of every key now; it signs a day later.
    ///
    /// # Errors
    /// When the store or the crypto library fails.
    pub async fn rotate_signing_keys(
        &self,
        origin: &Origin,
    ) -> Result<RotationReport, ProviderError> {
        self.rotate_keys(RotationCause::Demand, origin).await
    }

    /// Withdraws a key from the JWKS; what it signed is not verified any more.
    ///
    /// # Errors
    /// When there is no such key, or nothing could be signed without it.
    pub async fn retire_signing_key(
        &self,
        kid: &str,
        origin: &Origin,
    ) -> Result<(), KeyCommandError> {
        let now = self.clock.now();
        let schedules = self.schedules().await?;
        let unknown = || KeyCommandError::Unknown { kid: kid.to_owned() };
        if !schedules.iter().any(|key| key.kid == kid) {
            return Err(unknown());
        }
        if !may_retire(&schedules, kid, now) {
            return Err(KeyCommandError::LastSigner { kid: kid.to_owned() });
        }
        if !self.retire(kid, now, origin).await? {
            return Err(unknown());
        }
        self.reload_signing_keys(now).await?;
        Ok(())
    }

    /// All signing keys, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_signing_keys(&self) -> Result<Vec<KeyListing>, ProviderError> {
        let now = self.clock.now();
        let signing = self.reload_signing_keys(now).await?;
        let signs = |record: &SigningKeyRecord| {
            schedule(record)
                .and_then(|schedule| signing.signer(schedule.algorithm, now))
                .is_some_and(|signer| signer.kid() == record.kid)
        };
        let records = self.store.signing_keys().await?;
        Ok(records
            .into_iter()
            .map(|record| KeyListing {
                state: if record.retired_at.is_some() {
                    KeyState::Retired
                } else if record.active_from > now {
                    KeyState::Waiting
                } else if signs(&record) {
                    KeyState::Signing
                } else {
                    KeyState::Replaced
                },
                kid: record.kid,
                algorithm: record.algorithm,
                created_at: record.created_at,
                active_from: record.active_from,
                retired_at: record.retired_at,
            })
            .collect())
    }

    async fn rotate_keys(
        &self,
        cause: RotationCause,
        origin: &Origin,
    ) -> Result<RotationReport, ProviderError> {
        let now = self.clock.now();
        let schedules = self.schedules().await?;
        let plan = plan_rotation(&schedules, self.rotation, cause, now);
        let mut report = RotationReport::default();
        for new in plan.create {
            if !self.may_create(new, &schedules, now).await? {
                continue;
            }
            let (record, event) = self.make_key(new, Some(origin), now).await?;
            report.created.extend(schedule(&record));
            self.store.add_signing_key(record, false, vec![event.clone()]).await?;
            event.log();
        }
        for kid in plan.retire {
            if self.retire(&kid, now, origin).await? {
                report.retired.push(kid);
            }
        }
        self.reload_signing_keys(now).await?;
        report.waiting = self.schedules().await?;
        report.waiting.retain(|key| key.active_from > now);
        Ok(report)
    }

    /// Whether this process makes the successor of what it planned for: on several nodes one of
    /// them does. The mark names the keys that the plan saw, so a plan that another node has
    /// overtaken meets that node's mark.
    async fn may_create(
        &self,
        new: NewKey,
        planned_for: &[KeySchedule],
        now: Timestamp,
    ) -> Result<bool, ProviderError> {
        let mut own: Vec<&str> = planned_for
            .iter()
            .filter(|key| key.algorithm == new.algorithm)
            .map(|key| key.kid.as_str())
            .collect();
        own.sort();
        // A mark goes only when the store is purged, so it names the minutes too: a node that
        // died in between blocks its successors no longer than that.
        let window = now.millis() / i64::try_from(ROTATION_MARK.as_millis()).unwrap_or(i64::MAX);
        let successor_of = format!("{} {window}", own.join(" "));
        let key = TokenHash::of(successor_of.as_bytes());
        Ok(self.store.first_seen("signing_key_rotation", key, now + ROTATION_MARK).await?)
    }

    async fn retire(
        &self,
        kid: &str,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<bool, ProviderError> {
        let event = AuditRecord::new(now, "key.retired").from_request(origin).with("kid", kid);
        let retired = self.store.retire_signing_key(kid, now, vec![event.clone()]).await?;
        if retired {
            event.log();
        }
        Ok(retired)
    }

    async fn make_key(
        &self,
        new: NewKey,
        origin: Option<&Origin>,
        now: Timestamp,
    ) -> Result<(SigningKeyRecord, AuditRecord), ProviderError> {
        // A 2048 bit key takes long enough to hold up other requests.
        let key = tokio::task::spawn_blocking(move || SigningKey::generate(new.algorithm))
            .await
            .map_err(|error| ProviderError::Task(error.to_string()))??;
        let kid = key.kid().to_owned();
        let sealed = self.ring.seal(seal_context(&kid), &key.to_pkcs8()?, self.random.as_ref());
        let name = if origin.is_some() { "key.rotated" } else { "key.created" };
        let mut event = AuditRecord::new(now, name)
            .with("kid", kid.as_str())
            .with("algorithm", new.algorithm.as_str())
            .with("active_from", new.active_from.rfc3339());
        if let Some(origin) = origin {
            event = event.from_request(origin);
        }
        let record = SigningKeyRecord {
            kid,
            algorithm: new.algorithm.as_str().to_owned(),
            sealed,
            created_at: now,
            active_from: new.active_from,
            retired_at: None,
        };
        Ok((record, event))
    }

    /// The dates of the unretired keys.
    async fn schedules(&self) -> Result<Vec<KeySchedule>, ProviderError> {
        let records = self.store.signing_keys().await?;
        Ok(records
            .iter()
            .filter(|record| record.retired_at.is_none())
            .filter_map(schedule)
            .collect())
    }
}
