//! Logout messages of the identity provider.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use super::Received;
use crate::clock::Timestamp;
use crate::connector::saml::allowlist;
use crate::connector::saml::assertion::moment;
use crate::connector::saml::code::{SamlCode, SamlRefusal};
use crate::connector::saml::connection::SamlConnection;
use crate::connector::saml::envelope::{SUCCESS, Status};
use crate::connector::saml::legacy::LegacyAlgorithm;
use crate::connector::saml::name_id::NameId;
use crate::connector::saml::redirect_binding::{self, MessageParameter};
use crate::connector::saml::semantics::{Expectation, check_issue_instant, check_issuer};
use crate::connector::saml::unspent::SamlSession;
use crate::connector::saml::verification::{Signed, Verified, verify};
use crate::connector::saml::xml::{DS, Element, Limits, SAML, SAMLP, parse};

/// How long a LogoutRequest without NotOnOrAfter counts.
const MAX_AGE: Duration = Duration::from_secs(600);

/// A LogoutRequest that a pinned key signed, for our address and this moment.
///
/// ```compile_fail
/// let forged = auth_core::connector::saml::LogoutRequest { id: String::new() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRequest {
    id: String,
    name_id: NameId,
    session_indexes: Vec<String>,
    relay_state: Option<String>,
    legacy: BTreeSet<LegacyAlgorithm>,
}

impl LogoutRequest {
    /// Its ID, which the answer names.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose sessions are to end.
    #[must_use]
    pub const fn name_id(&self) -> &NameId {
        &self.name_id
    }

    /// The sessions that are to end; empty: all of the person.
    #[must_use]
    pub fn session_indexes(&self) -> &[String] {
        &self.session_indexes
    }

    /// What has to come back with the answer.
    #[must_use]
    pub fn relay_state(&self) -> Option<&str> {
        self.relay_state.as_deref()
    }

    /// What of its signature was accepted only because `allow_sha1` is set.
    #[must_use]
    pub const fn legacy(&self) -> &BTreeSet<LegacyAlgorithm> {
        &self.legacy
    }

    /// Whether it names this session of the connection: the NameID byte for byte, and one of the
    /// session indexes where it has any. A store finds sessions by the same rule, from
    /// [`NameId::subject`] and the index.
    ///
    /// # Errors
    /// `logout_session` when it does not.
    pub fn check_names(&self, session: &SamlSession) -> Result<(), SamlRefusal> {
        let index = session.session_index.as_ref();
        let named = session.name_id.as_ref() == Some(&self.name_id)
            && (self.session_indexes.is_empty()
                || index.is_some_and(|index| self.session_indexes.contains(index)));
        if named { Ok(()) } else { Err(Self::names_nobody()) }
    }

    /// That no session is named.
    #[must_use]
    pub fn names_nobody() -> SamlRefusal {
        SamlCode::LogoutSession
            .because("no session of this connection has that NameID and session index")
    }
}

/// A LogoutResponse that a pinned key signed, to our pending request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutResponse {
    /// Whether every session at the identity provider and its other applications ended.
    pub complete: bool,
    /// What comes back of ours.
    pub relay_state: Option<String>,
    /// What of its signature was accepted only because `allow_sha1` is set.
    pub legacy: BTreeSet<LegacyAlgorithm>,
}

impl SamlConnection {
    /// Judges a LogoutRequest.
    ///
    /// # Errors
    /// The codes of the strict parse, of signatures and of the redirect binding; `issuer`,
    /// `destination`, `issue_instant`, `expired`, `name_id`.
    pub fn verify_logout_request(
        &self,
        received: Received<'_>,
        now: Timestamp,
    ) -> Result<LogoutRequest, SamlRefusal> {
        let message = Message::verified(self, received, MessageParameter::Request)?;
        let root = parse(&message.document, &Limits::MESSAGE)?;
        allowlist::message(&root, "LogoutRequest")?;
        check_addressee(self, &root, now)?;
        check_age(self, &root, now)?;
        let names: Vec<&Element<'_>> = root.all(SAML, "NameID").collect();
        let [name_id] = names.as_slice() else {
            return Err(SamlCode::NameId.because(format!("{} NameIDs", names.len())));
        };
        let indexes = root.all(SAMLP, "SessionIndex").map(|it| it.text().map(str::to_owned));
        Ok(LogoutRequest {
            id: root.attribute("ID").unwrap_or_default().to_owned(),
            name_id: NameId::read(name_id)?,
            session_indexes: indexes.collect::<Result<_, _>>()?,
            relay_state: message.relay_state,
            legacy: message.legacy,
        })
    }

    /// Judges a LogoutResponse to our request with the ID `pending`.
    ///
    /// # Errors
    /// As for a request; `logout_unexpected` when it answers another, or none is pending; `status`
    /// when the identity provider refused.
    pub fn verify_logout_response(
        &self,
        received: Received<'_>,
        pending: Option<&str>,
        now: Timestamp,
    ) -> Result<LogoutResponse, SamlRefusal> {
        let message = Message::verified(self, received, MessageParameter::Response)?;
        let root = parse(&message.document, &Limits::MESSAGE)?;
        allowlist::message(&root, "LogoutResponse")?;
        check_addressee(self, &root, now)?;
        match (root.attribute("InResponseTo"), pending) {
            (Some(id), Some(pending)) if id == pending => {}
            (id, _) => {
                return Err(SamlCode::LogoutUnexpected.because(format!("it answers {id:?}")));
            }
        }
        let status = Status::read(&root)?;
        let complete = !status.holds(PARTIAL_LOGOUT);
        if !status.begins_with(SUCCESS) {
            status.check()?;
        }
        Ok(LogoutResponse { complete, relay_state: message.relay_state, legacy: message.legacy })
    }
}

/// Verified bytes of a message.
struct Message<'m> {
    document: Cow<'m, [u8]>,
    relay_state: Option<String>,
    legacy: BTreeSet<LegacyAlgorithm>,
}

impl<'m> Message<'m> {
    fn verified(
        connection: &SamlConnection,
        received: Received<'m>,
        parameter: MessageParameter,
    ) -> Result<Self, SamlRefusal> {
        match received {
            Received::Redirect { query } => {
                let keys = connection.pinned_keys();
                let verified =
                    redirect_binding::verify(query, parameter, keys, connection.allowed())?;
                Ok(Self {
                    document: Cow::Owned(verified.document),
                    relay_state: verified.relay_state,
                    legacy: verified.legacy,
                })
            }
            Received::Post { document, relay_state } => {
                let verified = verified_document(connection, document, parameter)?;
                Ok(Self {
                    document: Cow::Owned(verified.bytes.into_bytes()),
                    relay_state: relay_state.map(str::to_owned),
                    legacy: verified.legacy,
                })
            }
        }
    }
}

/// By POST the message itself is signed.
fn verified_document(
    connection: &SamlConnection,
    document: &[u8],
    parameter: MessageParameter,
) -> Result<Verified, SamlRefusal> {
    let root = parse(document, &Limits::MESSAGE)?;
    let local = match parameter {
        MessageParameter::Request => "LogoutRequest",
        MessageParameter::Response => "LogoutResponse",
    };
    allowlist::message(&root, local)?;
    allowlist::check_places_of_signatures(&root, None)?;
    allowlist::children(&root, CHILDREN)?;
    let shape = allowlist::signature_of(&root, connection.allowed())?
        .ok_or_else(|| SamlCode::Unsigned.because(format!("a {local} has to be signed")))?;
    let signed = Signed { shape: &shape, parent: &root, ancestors: Vec::new() };
    let engine = connection.trust().engine.as_ref();
    verify(&root, &[signed], connection.pinned_keys(), engine)
}

/// Issuer, Destination and IssueInstant. A logout message is always signed, so the Destination has
/// to be there (bindings sections 3.4.5.2 and 3.5.5.2).
fn check_addressee(
    connection: &SamlConnection,
    root: &Element<'_>,
    now: Timestamp,
) -> Result<(), SamlRefusal> {
    let expected = connection.expected(Expectation::Unsolicited, now);
    let issuer =
        root.optional(SAML, "Issuer")?.ok_or_else(|| SamlCode::Issuer.because("there is none"))?;
    check_issuer(issuer.text()?, issuer.attribute("Format"), &expected)?;
    let ours = &connection.settings().slo_url;
    match root.attribute("Destination") {
        Some(destination) if destination == ours => {}
        other => {
            return Err(SamlCode::Destination.because(format!("it is {other:?}, ours is {ours:?}")));
        }
    }
    check_issue_instant(root.attribute("IssueInstant"), &expected).map(drop)
}

fn check_age(
    connection: &SamlConnection,
    root: &Element<'_>,
    now: Timestamp,
) -> Result<(), SamlRefusal> {
    let skew = connection.settings().clock_skew;
    let end = match root.attribute("NotOnOrAfter") {
        Some(text) => moment("NotOnOrAfter", text)?,
        None => {
            let issued = root.attribute("IssueInstant").unwrap_or_default();
            moment("IssueInstant", issued)? + MAX_AGE
        }
    };
    if now >= end + skew {
        return Err(SamlCode::Expired.because(format!("it was good until {end}")));
    }
    Ok(())
}

const CHILDREN: &[(&str, &str)] = &[
    (SAML, "Issuer"),
    (DS, "Signature"),
    (SAMLP, "Extensions"),
    (SAMLP, "Status"),
    (SAML, "NameID"),
    (SAMLP, "SessionIndex"),
];

const PARTIAL_LOGOUT: &str = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout";
