//! What may be written in the file: all sections together.

use schemars::JsonSchema;
use serde::Deserialize;

use super::sections::admin::RawAdmin;
use super::sections::claims::RawClaims;
use super::sections::client::RawClient;
use super::sections::directory::RawDirectory;
use super::sections::keys::RawKeys;
use super::sections::listen::RawListen;
use super::sections::login::RawLogin;
use super::sections::mfa::RawMfa;
use super::sections::notices::RawNotices;
use super::sections::oidc::RawOidc;
use super::sections::password::RawPassword;
use super::sections::saml::RawSaml;
use super::sections::session::RawSession;
use super::sections::storage::RawStorage;
use super::sections::throttle::RawThrottle;

/// Configuration of auth-daemon.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "auth-daemon configuration")]
pub(super) struct RawConfig {
    /// Scheme and host (and port) under which browsers and clients reach the daemon, without a
    /// path: the issuer, and the start of every URL it hands out. https; http for localhost and
    /// loopback addresses only.
    #[schemars(extend("x-required" = true))]
    pub(super) public_url: Option<String>,
    pub(super) listen: RawListen,
    pub(super) storage: RawStorage,
    pub(super) keys: RawKeys,
    pub(super) session: RawSession,
    pub(super) password: RawPassword,
    pub(super) login: RawLogin,
    pub(super) throttle: RawThrottle,
    pub(super) mfa: RawMfa,
    /// LDAP and Active Directory servers that people sign in against.
    pub(super) directory: Vec<RawDirectory>,
    /// SAML 2.0 identity providers that people sign in with.
    pub(super) saml: Vec<RawSaml>,
    /// OpenID providers that people sign in with.
    pub(super) oidc: Vec<RawOidc>,
    /// Chat servers and other relying parties.
    pub(super) client: Vec<RawClient>,
    pub(super) claims: RawClaims,
    pub(super) notices: RawNotices,
    pub(super) admin: RawAdmin,
}
