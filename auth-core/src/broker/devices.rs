//! What a browser keeps after a login: that it is known for the name, and that its device is
//! remembered after a second factor was passed on it.

use super::sign_in::At;
use super::{Broker, BrokerError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::login::flow::AAL2;
use crate::login::{self, CompletedLogin, KnownBrowser, TypedName};
use crate::secret::Token;
use crate::store::{DeviceId, DeviceRecord};

/// What a browser says of itself when it answers a login's form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Device<'a> {
    /// An earlier [`Completed::known_browser`](super::Completed::known_browser): attempts from a
    /// browser on which the person signed in before are counted apart from strangers'.
    pub known: Option<&'a str>,
    /// The token of an earlier [`RememberedDevice`], from the device cookie.
    pub token: Option<&'a Token>,
    /// Whether the person asks for this device to be remembered.
    pub remember: bool,
}

/// A device that was remembered: its token belongs into the browser's device cookie.
#[derive(Debug)]
pub struct RememberedDevice {
    /// The token; the store keeps its hash only.
    pub token: Token,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Broker {
    /// Whether somebody signed in with this name on this browser before.
    pub(super) async fn known_browser(
        &self,
        name: &TypedName,
        at: &At<'_>,
    ) -> Result<Option<KnownBrowser>, BrokerError> {
        let Some(cookie) = at.device.known else { return Ok(None) };
        Ok(KnownBrowser::recognise(self.hash_key().await?, cookie, name))
    }

    /// What the browser is to keep, so that it is known the next time. The login is over already:
    /// a browser that is not remembered is only a stranger again.
    pub(super) async fn remember_browser(
        &self,
        completed: &CompletedLogin,
        at: &At<'_>,
    ) -> Option<String> {
        let name = completed.typed_name()?;
        match self.hash_key().await {
            Ok(key) => Some(login::remember(key, at.device.known, name, self.random.as_ref())),
            Err(error) => {
                tracing::error!(%error, "a browser was not remembered");
                None
            }
        }
    }

    /// Remembers the device of a login that passed two factors, if its person asked for it. The
    /// login is over already: a device that could not be remembered is only asked again.
    pub(super) async fn remember_device(
        &self,
        completed: &CompletedLogin,
        at: &At<'_>,
    ) -> Option<RememberedDevice> {
        self.add_device(completed, at).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a device was not remembered");
            None
        })
    }

    async fn add_device(
        &self,
        completed: &CompletedLogin,
        at: &At<'_>,
    ) -> Result<Option<RememberedDevice>, BrokerError> {
        let lasts = self.settings.mfa.remember_device.filter(|_| at.device.remember);
        let Some(lasts) = lasts.filter(|_| completed.acr() == AAL2) else { return Ok(None) };
        let account = completed.account();
        let token = Token::generate(self.random.as_ref());
        let record = DeviceRecord {
            id: DeviceId(self.new_id(at.now)),
            token: token.hash(),
            account: account.id,
            created_at: at.now,
            last_used_at: None,
            expires_at: at.now + lasts,
            ip: at.origin.ip.map(|ip| ip.to_string()),
            user_agent: at.origin.user_agent.clone(),
        };
        let expires_at = record.expires_at;
        let event = AuditRecord::new(at.now, "device.remembered")
            .account(&account.username)
            .from_request(at.origin)
            .with("device", record.id.to_string())
            .with("until", expires_at.rfc3339());
        self.store.add_device(record, vec![event.clone()]).await?;
        event.log();
        Ok(Some(RememberedDevice { token, expires_at }))
    }
}
