//! `[[client]]`: chat servers and other relying parties.

pub(crate) mod delivery;
pub(crate) mod kind;
mod protocol;
mod raw;
mod redirect_uri;

use std::time::Duration;

use auth_core::secret::Secret;

use super::session::SessionKind;
use delivery::{Mattermost, Webhook};
use kind::{ClientKind, IdTokenAlgorithm, SubjectType, TokenEndpointAuthMethod};
pub(in crate::config) use protocol::check_claims;
pub(in crate::config) use raw::RawClient;

/// A chat server or other relying party of the file.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its id.
    pub(crate) id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// By which protocol it is served.
    pub(crate) kind: ClientKind,
    /// Redirect URIs, compared exactly; a loopback one of a public client matches any port
    /// (RFC 8252 section 7.3).
    pub(crate) redirect_uris: Vec<String>,
    /// Where a sign-out may return to, compared exactly.
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// Where a sign-in at it begins.
    pub(crate) initiate_login_uri: Option<String>,
    /// Whether it is a public client (RFC 6749 section 2.1): it has no secret, PKCE alone binds
    /// its codes.
    pub(crate) public: bool,
    /// Its secret; `None` for a public client and for one with keys.
    pub(crate) secret: Option<Secret>,
    /// Its public keys, for `private_key_jwt`.
    pub(crate) jwks: Option<serde_json::Value>,
    /// Hosts behind the reverse proxy.
    pub(crate) hosts: Vec<String>,
    /// How it proves who it is; without it `client_secret_basic` and `client_secret_post` are both
    /// taken.
    pub(crate) token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// Algorithm of its ID tokens.
    pub(crate) id_token_algorithm: IdTokenAlgorithm,
    /// Scopes that it may ask for; `None`: all.
    pub(crate) scopes: Option<Vec<String>>,
    /// Groups that it is told of; `None`: all.
    pub(crate) groups: Option<Vec<String>>,
    /// Only people of one of these groups may sign in to it; `None`: everybody.
    pub(crate) allowed_groups: Option<Vec<String>>,
    /// Claims that it is told of; `None`: all that the scope grants.
    pub(crate) claims: Option<Vec<String>>,
    /// What `sub` is.
    pub(crate) subject_type: SubjectType,
    /// Whether a refreshed answer holds an ID token; `None`: it does.
    pub(crate) id_token_on_refresh: Option<bool>,
    /// Whether it may use the device authorization grant; `None`: a public one may.
    pub(crate) device_authorization: Option<bool>,
    /// Only people of these connectors may sign in to it; `None`: everybody.
    pub(crate) connectors: Option<Vec<String>>,
    /// Lifetime of its access tokens; `None`: by its kind.
    pub(crate) access_token_lifetime: Option<Duration>,
    /// How long a refresh token is good while nobody uses it; `None`: as long as the session.
    pub(crate) refresh_token_lifetime: Option<Duration>,
    /// What sort of session it gets.
    pub(crate) session_kind: SessionKind,
    /// How long its sessions last; `None`: by their kind.
    pub(crate) session_lifetime: Option<Duration>,
    /// Its sessions end after so long without use; `None`: never.
    pub(crate) session_idle_timeout: Option<Duration>,
    /// Where logout tokens are posted.
    pub(crate) backchannel_logout_uri: Option<String>,
    /// Where events are posted.
    pub(crate) webhook: Option<Webhook>,
    /// The API of the Mattermost server that it is.
    pub(crate) mattermost: Option<Mattermost>,
}
