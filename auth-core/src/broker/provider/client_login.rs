//! Client authentication at the token, introspection and revocation endpoints.

use std::sync::Arc;

use super::Provider;
use crate::audit::{AuditRecord, Origin};
use crate::clock::Timestamp;
use crate::handoff::client::{Client, ClientCredentials};
use crate::handoff::oauth_error::OAuthError;
use crate::handoff::parameters::Parameters;

impl Provider {
    /// The client that sent this request.
    ///
    /// A wrong secret of a known client goes into the audit trail; an unknown id, which anybody
    /// can send in any number, only into the log.
    pub(super) async fn authenticate_client(
        &self,
        authorization: Option<&str>,
        form: &Parameters<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<Client>, OAuthError> {
        let credentials = ClientCredentials::read(authorization, form)?;
        let Some(client) = self.find_client(credentials.id()).await? else {
            AuditRecord::new(now, "client.authentication_refused")
                .refused("client_unknown")
                .from_request(origin)
                .log();
            return Err(credentials.refusal());
        };
        if let Err(failure) = client.authenticate(&credentials) {
            let event = AuditRecord::new(now, "client.authentication_refused")
                .refused(failure.as_str())
                .client(client.id())
                .from_request(origin);
            self.note(event).await;
            return Err(credentials.refusal());
        }
        Ok(client)
    }
}
