//! The device authorization grant: a device asks, a person answers, the device gets its tokens.

use std::sync::Arc;

use super::redeem::JudgedCode;
use super::{Provider, ProviderError};
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::Client;
use crate::handoff::device::{
    self, BEGINS, DeviceAuthorization, GUESSES, LIFETIME, UserCode, VERIFICATION_PATH, code_hash,
    judge_poll,
};
use crate::handoff::oauth_error::{OAuthError, OAuthErrorCode};
use crate::handoff::parameters::Parameters;
use crate::handoff::token::TokenResponse;
use crate::login::throttle::source_network;
use crate::secret::Token;
use crate::session::Session;
use crate::store::{
    AccountId, Attempt, CodeRecord, DeviceAnswer, DeviceGrantRecord, DeviceGrantState,
};

/// What a person is asked about a device.
#[derive(Clone, Debug)]
pub struct DevicePrompt {
    /// The client that runs on the device.
    pub client: Arc<Client>,
    /// The device.
    pub grant: DeviceGrantRecord,
    /// The code as it is shown.
    pub user_code: String,
}

/// What became of a typed user code.
#[derive(Debug)]
pub enum DeviceLookup {
    /// A device waits under it.
    Found(Box<DevicePrompt>),
    /// No device waits under it.
    Unknown,
    /// Too many codes were tried; not before this moment.
    Locked(Timestamp),
}

/// How often a fresh user code may be taken already.
const ROUNDS: usize = 5;

impl Provider {
    /// Begins the grant for a device.
    ///
    /// # Errors
    /// What the device is told.
    pub async fn begin_device_authorization(
        &self,
        authorization: Option<&str>,
        pairs: &[(String, String)],
        origin: &Origin,
    ) -> Result<DeviceAuthorization, OAuthError> {
        let now = self.clock.now();
        let form = Parameters::new(pairs);
        let client = self.authenticate_client(authorization, &form, origin, now).await?;
        if form.any_repeated().is_some() {
            return Err(OAuthError::invalid_request("a parameter is repeated"));
        }
        let scope = device::requested_scope(&client, form.get("scope"))?;
        let key = format!("device:{}", source_network(origin.ip));
        let counted = self.store.count_attempt(&key, BEGINS, now).await;
        if let Attempt::Locked { .. } = counted.map_err(ProviderError::from)? {
            return Err(OAuthError::new(
                OAuthErrorCode::SlowDown,
                "too many devices from this source: try again in a minute",
            ));
        }
        let device_code = Token::generate(self.random.as_ref());
        for _ in 0..ROUNDS {
            let user_code = UserCode::generate(self.random.as_ref());
            let record = DeviceGrantRecord {
                hash: device_code.hash(),
                user_code: user_code.hash(self.hash_key().await?),
                client: client.id().to_owned(),
                scope: scope.to_string(),
                ip: origin.ip.map(|ip| ip.to_string()),
                user_agent: origin.user_agent.clone(),
                state: DeviceGrantState::Pending,
                created_at: now,
                expires_at: now + LIFETIME,
                polled_at: None,
            };
            if self.store.add_device_grant(record).await.map_err(ProviderError::from)? {
                let verification_uri = self.issuer.endpoint(VERIFICATION_PATH);
                return Ok(DeviceAuthorization { device_code, user_code, verification_uri });
            }
        }
        Err(ProviderError::Contention("the user code").into())
    }

    /// Looks for the device that waits under what a person typed. Each try counts, for a code is
    /// short; a found one clears the count.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look_for_device(
        &self,
        typed: &str,
        session: &Session,
    ) -> Result<DeviceLookup, ProviderError> {
        let now = self.clock.now();
        let key = guesses_of(session.account().id);
        if let Attempt::Locked { until } = self.store.count_attempt(&key, GUESSES, now).await? {
            return Ok(DeviceLookup::Locked(until));
        }
        let Some(user_code) = UserCode::parse(typed) else { return Ok(DeviceLookup::Unknown) };
        let hash = user_code.hash(self.hash_key().await?);
        let found = self.store.device_grant(hash).await?;
        let waiting = |grant: &DeviceGrantRecord| {
            grant.state == DeviceGrantState::Pending && now < grant.expires_at
        };
        let Some(grant) = found.filter(waiting) else { return Ok(DeviceLookup::Unknown) };
        let client = self.find_client(&grant.client).await?;
        let Some(client) = client.filter(|client| client.allows_device_authorization()) else {
            return Ok(DeviceLookup::Unknown);
        };
        self.store.clear_attempts(&[key]).await?;
        let user_code = user_code.shown();
        Ok(DeviceLookup::Found(Box::new(DevicePrompt { client, grant, user_code })))
    }

    /// Writes a person's answer; `false` when it was answered before, expired, or the person may
    /// not sign in to the client.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn answer_device(
        &self,
        prompt: &DevicePrompt,
        approve: bool,
        session: &Session,
        origin: &Origin,
    ) -> Result<bool, ProviderError> {
        let now = self.clock.now();
        let (client, grant) = (&prompt.client, &prompt.grant);
        let name = if approve { "device.approved" } else { "device.denied" };
        let event = AuditRecord::new(now, name)
            .account(&session.account().username)
            .connector(&session.record().connector)
            .client(client.id())
            .from_request(origin)
            .with("device_ip", grant.ip.clone());
        if !approve {
            let answer = DeviceAnswer::Deny;
            return self.write_device_answer(grant, answer, event).await;
        }
        let welcome = client.allows_connector(&session.record().connector)
            && client.allows_groups(&session.account().groups);
        if !welcome {
            self.note(event.refused("not_allowed_at_client")).await;
            return Ok(false);
        }
        let code = CodeRecord {
            hash: code_hash(grant.hash),
            client: client.id().to_owned(),
            account: session.account().id,
            session: session.id(),
            redirect_uri: String::new(),
            code_challenge: None,
            nonce: None,
            scope: grant.scope.clone(),
            created_at: now,
            expires_at: grant.expires_at,
            redeemed_for: None,
        };
        self.write_device_answer(grant, DeviceAnswer::Approve(Box::new(code)), event).await
    }

    async fn write_device_answer(
        &self,
        grant: &DeviceGrantRecord,
        answer: DeviceAnswer,
        event: AuditRecord,
    ) -> Result<bool, ProviderError> {
        let written =
            self.store.answer_device_grant(grant.hash, answer, vec![event.clone()]).await?;
        if written {
            event.log();
        }
        Ok(written)
    }

    /// Answers a device that asks for its tokens.
    pub(super) async fn redeem_device_code(
        &self,
        client: &Client,
        presented: &Token,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenResponse, OAuthError> {
        let hash = presented.hash();
        let found = self.store.poll_device_grant(hash, now).await.map_err(ProviderError::from)?;
        let grant = found.ok_or(OAuthError::invalid_grant())?;
        judge_poll(&grant, client, now)?;
        let code = self.store.code(code_hash(hash)).await.map_err(ProviderError::from)?;
        // A device that lost its answer begins anew; nobody else is signed out by that.
        let code = code.filter(|code| code.redeemed_for.is_none());
        let code = code.ok_or(OAuthError::invalid_grant())?;
        match self.origin_of(&code, client, now).await? {
            Ok((browser, account)) => {
                let judged = JudgedCode { code, browser, account };
                self.issue_session(client, &judged, origin, now).await
            }
            Err(refusal) => {
                self.refuse_code(client, refusal, origin, now).await?;
                Err(OAuthError::invalid_grant())
            }
        }
    }
}

fn guesses_of(account: AccountId) -> String {
    format!("device-code:{account}")
}
