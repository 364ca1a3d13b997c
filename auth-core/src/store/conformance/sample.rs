//! Sample records. `n` makes a record unlike the others of its kind; no field has its default.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::audit::{AuditRecord, Outcome};
use crate::clock::Timestamp;
use crate::secret::TokenHash;
use crate::store::{
    AccessTokenRecord, AccountId, AccountRecord, ClientRecord, CodeRecord, CookieRecord,
    DeviceGrantRecord, DeviceGrantState, DeviceId, DeviceRecord, EnrolmentRecord, FactorId,
    FactorKind, FactorRecord, IdentityRecord, LoginRecord, PasswordRecord, PendingMetadata,
    PushedRequestRecord, RefreshTokenRecord, SamlKeyRecord, SamlMetadataRecord, SessionId,
    SessionRecord, SigningKeyRecord,
};

/// Seconds of a day.
pub(super) const DAY: u64 = 24 * 60 * 60;

/// When sample sessions, codes and tokens were made, in seconds for [`at`].
pub(super) const ISSUED: u64 = 1000;

/// A moment `seconds` after the suite's beginning; never a whole second, to catch lost precision.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_123) + Duration::from_secs(seconds)
}

/// A hash that differs for each kind and number.
pub(super) fn hash(kind: &str, n: u32) -> TokenHash {
    TokenHash::of(format!("{kind} {n}").as_bytes())
}

/// A UUID of the form of version 7; grows with `n`.
fn uuid(kind: u8, n: u32) -> Uuid {
    let millis = 0x0198_f3c1_0000_u128 + u128::from(n);
    Uuid::from_u128(millis << 80 | 0x7abc_u128 << 64 | 0x9def_u128 << 48 | u128::from(kind))
}

pub(super) fn account_id(n: u32) -> AccountId {
    AccountId(uuid(0xa1, n))
}

pub(super) fn session_id(n: u32) -> SessionId {
    SessionId(uuid(0x5e, n))
}

pub(super) fn factor_id(n: u32) -> FactorId {
    FactorId(uuid(0xfa, n))
}

pub(super) fn account(n: u32) -> AccountRecord {
    AccountRecord {
        id: account_id(n),
        // The store has to set these two itself.
        numeric_id: 777_000 + i64::from(n),
        version: 55,
        username: format!("Person{n:05}"),
        username_key: format!("person{n:05}"),
        email: Some(format!("Person{n:05}@Example.org")),
        email_key: Some(format!("person{n:05}@example.org")),
        email_verified: true,
        first_name: Some(format!("Zoë {n}")),
        last_name: Some(format!("O'Neil \"Łęcki\" {n}")),
        nickname: Some(format!("🦊 {n}")),
        position: Some(format!("Head of\tTesting {n}")),
        locale: Some(format!("de-CH-x-{n}")),
        active: true,
        inactive_reason: None,
        roles: vec!["member".to_owned(), format!("role-{n}")],
        groups: vec![format!("cn=chat {n},dc=example,dc=org"), "a, \"b\" {c}".to_owned()],
        created_at: at(100),
        updated_at: at(101),
        last_login_at: Some(at(102)),
        checked_at: Some(at(103)),
    }
}

/// The account with every field that an update may change changed.
pub(super) fn changed(account: &AccountRecord, n: u32) -> AccountRecord {
    AccountRecord {
        id: account.id,
        numeric_id: account.numeric_id,
        created_at: account.created_at,
        version: account.version,
        email_verified: !account.email_verified,
        roles: vec!["guest".to_owned(), "administrator".to_owned()],
        groups: vec!["new".to_owned()],
        updated_at: at(201),
        last_login_at: Some(at(202)),
        checked_at: Some(at(203)),
        ..self::account(n)
    }
}

pub(super) fn identity(account: AccountId, n: u32) -> IdentityRecord {
    IdentityRecord {
        connector: format!("corp-{n}"),
        subject: format!("Subject/{n}"),
        account,
        linked_at: at(110),
    }
}

pub(super) fn password(account: AccountId, n: u32) -> PasswordRecord {
    PasswordRecord {
        account,
        hash: format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ${n}"),
        changed_at: at(120),
    }
}

pub(super) fn login(n: u32) -> LoginRecord {
    LoginRecord {
        handle: hash("login handle", n),
        browser: hash("login browser", n),
        version: 7,
        state: format!("{{\"step\":\"password\",\"n\":{n}}}"),
        created_at: at(300),
        expires_at: at(900),
    }
}

/// A browser's session: issued at [`ISSUED`], idle after 1 hour, over after 1 day.
pub(super) fn browser_session(account: AccountId, n: u32) -> SessionRecord {
    SessionRecord {
        id: session_id(n),
        account,
        client: None,
        parent: None,
        kind: "browser".to_owned(),
        connector: format!("corp-{n}"),
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        acr: "urn:auth:aal2".to_owned(),
        scope: String::new(),
        authenticated_at: at(ISSUED - 5),
        created_at: at(ISSUED),
        last_seen_at: at(ISSUED + 1),
        idle_timeout_millis: 3_600_000,
        expires_at: at(ISSUED + DAY),
        ip: Some(format!("2001:db8::{n:x}")),
        user_agent: Some(format!("Browser/{n}")),
        revoked_at: None,
        revoked_reason: None,
    }
}

/// A chat server's session that came from `parent`: over after 30 days, never idle before 10.
pub(super) fn client_session(parent: &SessionRecord, n: u32) -> SessionRecord {
    SessionRecord {
        id: session_id(n),
        account: parent.account,
        client: Some("chat".to_owned()),
        parent: Some(parent.id),
        kind: "mobile".to_owned(),
        scope: "openid offline_access".to_owned(),
        created_at: at(ISSUED + 2),
        last_seen_at: at(ISSUED + 3),
        idle_timeout_millis: 864_000_000,
        expires_at: at(ISSUED + 30 * DAY),
        ..browser_session(parent.account, n)
    }
}

/// A code that expires a minute after [`ISSUED`].
pub(super) fn code(browser: &SessionRecord, n: u32) -> CodeRecord {
    CodeRecord {
        hash: hash("code", n),
        client: "chat".to_owned(),
        account: browser.account,
        session: browser.id,
        redirect_uri: format!("https://chat.example.org/callback?n={n}"),
        code_challenge: Some(format!("challenge-{n}")),
        nonce: Some(format!("nonce-{n}")),
        scope: "openid profile".to_owned(),
        created_at: at(ISSUED),
        expires_at: at(ISSUED + 60),
        redeemed_for: None,
    }
}

/// An access token that expires an hour after [`ISSUED`].
pub(super) fn access_token(session: SessionId, n: u32) -> AccessTokenRecord {
    AccessTokenRecord {
        hash: hash("access token", n),
        session,
        scope: format!("openid scope-{n}"),
        created_at: at(ISSUED + 4),
        expires_at: at(ISSUED + 3600),
    }
}

/// An unused refresh token that expires 20 days after [`ISSUED`].
pub(super) fn refresh_token(
    session: SessionId,
    predecessor: Option<TokenHash>,
    n: u32,
) -> RefreshTokenRecord {
    RefreshTokenRecord {
        hash: hash("refresh token", n),
        session,
        predecessor,
        created_at: at(ISSUED + 5),
        expires_at: at(ISSUED + 20 * DAY),
        used_at: None,
    }
}

/// A pushed request that expires a minute after [`ISSUED`].
pub(super) fn pushed_request(n: u32) -> PushedRequestRecord {
    PushedRequestRecord {
        hash: hash("pushed request", n),
        client: format!("chat-{n}"),
        parameters: format!("[[\"scope\",\"openid\"],[\"state\",\"Zoë {n}\"]]"),
        created_at: at(ISSUED),
        expires_at: at(ISSUED + 60),
    }
}

/// A device grant without an answer that expires ten minutes after [`ISSUED`].
pub(super) fn device_grant(n: u32) -> DeviceGrantRecord {
    DeviceGrantRecord {
        hash: hash("device code", n),
        user_code: hash("user code", n),
        client: format!("tool-{n}"),
        scope: format!("openid scope-{n}"),
        ip: Some(format!("2001:db8::{n:x}")),
        user_agent: Some(format!("Tool/{n}")),
        state: DeviceGrantState::Pending,
        created_at: at(ISSUED),
        expires_at: at(ISSUED + 600),
        polled_at: Some(at(ISSUED + 10)),
    }
}

pub(super) fn cookie(n: u32) -> CookieRecord {
    CookieRecord {
        id_hash: hash("cookie", n),
        data: format!("{{\"handle\":\"{n}\"}}"),
        expires_at: at(400),
    }
}

pub(super) fn factor(account: AccountId, n: u32) -> FactorRecord {
    FactorRecord {
        id: factor_id(n),
        account,
        kind: FactorKind::Totp,
        name: Some(format!("Phone {n}")),
        sealed: vec![0, 255, 1, 128],
        created_at: at(500 + u64::from(n)),
        last_used_at: Some(at(501)),
        last_step: Some(58_800_000),
        credential: None,
        sign_count: None,
    }
}

pub(super) fn passkey(account: AccountId, n: u32) -> FactorRecord {
    FactorRecord {
        kind: FactorKind::Passkey,
        last_step: None,
        credential: Some(hash("credential", n)),
        sign_count: Some(41),
        ..factor(account, n)
    }
}

pub(super) fn device(account: AccountId, n: u32) -> DeviceRecord {
    DeviceRecord {
        id: DeviceId(uuid(0xde, n)),
        token: hash("device", n),
        account,
        created_at: at(510 + u64::from(n)),
        last_used_at: Some(at(520)),
        expires_at: at(900),
        ip: Some(format!("192.0.2.{n}")),
        user_agent: Some(format!("Browser/{n}")),
    }
}

pub(super) fn enrolment(account: AccountId, n: u32) -> EnrolmentRecord {
    EnrolmentRecord {
        handle: hash("enrolment", n),
        account,
        session: session_id(n),
        kind: FactorKind::Totp,
        sealed: vec![0, 253, 4],
        expires_at: at(900),
    }
}

pub(super) fn signing_key(n: u32, algorithm: &str) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: format!("key-{n}"),
        algorithm: algorithm.to_owned(),
        sealed: vec![0, 200, 1, 100],
        created_at: at(600 + u64::from(n)),
        active_from: at(700 + u64::from(n)),
        retired_at: None,
    }
}

pub(super) fn saml_metadata(connection: &str) -> SamlMetadataRecord {
    SamlMetadataRecord {
        connection: connection.to_owned(),
        source: "import".to_owned(),
        document: vec![0, 60, 255],
        accepted_at: at(810),
        checked_at: at(820),
        pending: Some(PendingMetadata { document: vec![7, 0, 254], found_at: at(830) }),
        // The store has to set this itself.
        version: 77,
    }
}

pub(super) fn saml_key(connection: &str, n: u32) -> SamlKeyRecord {
    SamlKeyRecord {
        id: format!("key-{n}"),
        connection: connection.to_owned(),
        certificate: vec![48, 0, 255],
        sealed: vec![1, 0, 200],
        created_at: at(600 + u64::from(n)),
        active_from: at(700 + u64::from(n)),
        retired_at: None,
    }
}

pub(super) fn client(id: &str) -> ClientRecord {
    ClientRecord {
        id: id.to_owned(),
        settings: json!({ "kind": "mattermost", "redirect_uris": [format!("https://{id}/cb")] }),
        sealed_secret: Some(vec![0, 254, 3]),
        created_at: at(800),
        updated_at: at(801),
    }
}

pub(super) fn event(n: u32) -> AuditRecord {
    let detail = json!({
        "session": session_id(n),
        "count": n,
        "share": 0.5,
        "flag": true,
        "none": null,
        "list": ["ä", "\"", "\\", { "deep": [] }],
    });
    AuditRecord {
        at: at(2000 + u64::from(n)),
        event: format!("test.event{n}"),
        outcome: Outcome::Refused,
        reason: Some(format!("reason_{n}")),
        account: Some(format!("Person{n:05}")),
        connector: Some(format!("corp-{n}")),
        client: Some(format!("chat-{n}")),
        ip: Some(format!("192.0.2.{}", n % 250 + 1)),
        request_id: Some(format!("request-{n}")),
        detail: detail.as_object().cloned().unwrap_or_default(),
    }
}
