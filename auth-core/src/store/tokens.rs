//! What a chat server holds: authorization codes, access tokens and refresh tokens, by hash only.

use async_trait::async_trait;

use super::{AccountId, AccountRecord, SessionId, SessionRecord, StoreError};
use crate::audit::AuditRecord;
use crate::clock::Timestamp;
use crate::secret::TokenHash;

/// An authorization code, RFC 6749 section 4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRecord {
    /// SHA-256 of the code.
    pub hash: TokenHash,
    /// Client it was made for.
    pub client: String,
    /// Account it stands for.
    pub account: AccountId,
    /// Browser session it came from.
    pub session: SessionId,
    /// Redirect URI of the authorization request, compared exactly at the token endpoint.
    pub redirect_uri: String,
    /// S256 code challenge, RFC 7636.
    pub code_challenge: Option<String>,
    /// Nonce of the authorization request.
    pub nonce: Option<String>,
    /// Granted scope, space separated.
    pub scope: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The client session that it was redeemed for; a second redemption ends that one.
    pub redeemed_for: Option<SessionId>,
}

/// An access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenRecord {
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// The client session it belongs to.
    pub session: SessionId,
    /// Its scope, space separated.
    pub scope: String,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A refresh token; its family is the client session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshTokenRecord {
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// The client session it belongs to.
    pub session: SessionId,
    /// The token that it succeeded.
    pub predecessor: Option<TokenHash>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was first used.
    pub used_at: Option<Timestamp>,
}

/// Tokens of one answer of the token endpoint.
#[derive(Clone, Debug)]
pub struct TokenIssue {
    /// The access token.
    pub access: AccessTokenRecord,
    /// The refresh token, where the client gets one.
    pub refresh: Option<RefreshTokenRecord>,
}

/// What came of redeeming a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeRedemption {
    /// The session and tokens were written, once.
    Redeemed,
    /// It was redeemed before, for this session. Nothing was written.
    AlreadyRedeemed(SessionId),
    /// There is no such code, or the browser session or account behind it ended. Nothing written.
    Refused,
}

/// An access token with all that decides whether it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenStatus {
    /// The token.
    pub token: AccessTokenRecord,
    /// Its session.
    pub session: SessionRecord,
    /// Its account.
    pub account: AccountRecord,
}

/// A refresh token with all that decides whether it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshTokenStatus {
    /// The token.
    pub token: RefreshTokenRecord,
    /// Its session (the family).
    pub session: SessionRecord,
    /// Its account.
    pub account: AccountRecord,
    /// Whether any token that succeeded it was used.
    pub successor_used: bool,
}

/// One refresh, to be written only if what was read still holds.
#[derive(Clone, Debug)]
pub struct RefreshRotation {
    /// The presented token.
    pub presented: TokenHash,
    /// True: it must be unused, and is used from now on. False: it must be used, and no token
    /// that succeeded it may be (a sibling is issued).
    pub first_use: bool,
    /// When.
    pub now: Timestamp,
    /// The new tokens.
    pub issue: TokenIssue,
    /// What to write into the trail (a sibling is audited, an ordinary rotation is not).
    pub audit: Vec<AuditRecord>,
}

/// Codes and tokens.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Adds a code.
    async fn add_code(&self, code: CodeRecord) -> Result<(), StoreError>;

    /// A code by hash, used or not, expired or not.
    async fn code(&self, hash: TokenHash) -> Result<Option<CodeRecord>, StoreError>;

    /// Redeems a code once: marks it used and writes the client session and its tokens, unless
    /// the browser session behind it is revoked or the account inactive.
    async fn redeem_code(
        &self,
        hash: TokenHash,
        session: SessionRecord,
        issue: TokenIssue,
        audit: Vec<AuditRecord>,
    ) -> Result<CodeRedemption, StoreError>;

    /// An access token and what it hangs on, expired or revoked or not. May come from a cache
    /// that is never older than the last revocation on this node, or one second on others.
    async fn access_token(&self, hash: TokenHash) -> Result<Option<AccessTokenStatus>, StoreError>;

    /// A refresh token and what it hangs on, read afresh.
    async fn refresh_token(
        &self,
        hash: TokenHash,
    ) -> Result<Option<RefreshTokenStatus>, StoreError>;

    /// Rotates a refresh token, and notes the session's use. `false`, and nothing written, when
    /// what was read no longer holds (see [`RefreshRotation::first_use`]) or the session or its
    /// browser session is revoked or the account inactive.
    async fn rotate_refresh_token(&self, rotation: RefreshRotation) -> Result<bool, StoreError>;

    /// Removes one access token (RFC 7009); no error when there is none.
    async fn remove_access_token(
        &self,
        hash: TokenHash,
        audit: Vec<AuditRecord>,
    ) -> Result<(), StoreError>;
}
