//! Logout messages of ours. NameID and session index are written by an escaping writer: they came
//! from outside.

use super::judge::LogoutRequest;
use crate::clock::Timestamp;
use crate::connector::saml::code::SamlRefusal;
use crate::connector::saml::connection::SamlConnection;
use crate::connector::saml::envelope::SUCCESS;
use crate::connector::saml::metadata::{Binding, Endpoint};
use crate::connector::saml::outgoing::{Draft, Outgoing, attribute, element, instant, new_id};
use crate::connector::saml::redirect_binding::MessageParameter;
use crate::connector::saml::unspent::SamlSession;
use crate::connector::saml::xml::{SAML, SAMLP, escape_text};
use crate::random::Random;

/// How a logout that the identity provider asked for went here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutResult {
    /// The request could not be fulfilled.
    Failed,
    /// The sessions ended, but a chat server could not be told.
    Partial,
    /// Everything ended.
    Success,
}

impl SamlConnection {
    /// Asks the identity provider to end a session there. `None` when it has no address for that,
    /// or when the session has no NameID.
    ///
    /// # Errors
    /// `engine_failed` when it cannot be signed, `relay_state`.
    pub fn logout_request(
        &self,
        session: &SamlSession,
        relay_state: Option<&str>,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Option<Outgoing>, SamlRefusal> {
        let (Some(endpoint), Some(name_id)) = (self.logout_endpoint(), &session.name_id) else {
            return Ok(None);
        };
        let id = new_id(random);
        let location = &endpoint.location;
        let before = self.begin("LogoutRequest", &id, location.as_str(), None, now);
        let mut after = String::from("<saml:NameID");
        for (name, value) in [
            ("NameQualifier", &name_id.name_qualifier),
            ("SPNameQualifier", &name_id.sp_name_qualifier),
            ("Format", &name_id.format),
        ] {
            if let Some(value) = value {
                attribute(&mut after, name, value);
            }
        }
        after.push('>');
        escape_text(&mut after, &name_id.value);
        after.push_str("</saml:NameID>");
        if let Some(index) = &session.session_index {
            element(&mut after, "samlp:SessionIndex", index);
        }
        after.push_str("</samlp:LogoutRequest>");
        let draft = Draft { id, issued_at: now, before, after };
        let to = (endpoint.binding, location);
        draft.send(self, MessageParameter::Request, to, relay_state, true).map(Some)
    }

    /// Answers the identity provider's request. `None` when it has no address for answers.
    ///
    /// # Errors
    /// `engine_failed` when it cannot be signed.
    pub fn logout_response(
        &self,
        request: &LogoutRequest,
        result: LogoutResult,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Option<Outgoing>, SamlRefusal> {
        let Some(endpoint) = self.logout_endpoint() else { return Ok(None) };
        let id = new_id(random);
        let location = &endpoint.response_location;
        let answers = Some(request.id());
        let before = self.begin("LogoutResponse", &id, location.as_str(), answers, now);
        let (first, second) = match result {
            LogoutResult::Failed => (REQUESTER, None),
            LogoutResult::Partial => (SUCCESS, Some(PARTIAL_LOGOUT)),
            LogoutResult::Success => (SUCCESS, None),
        };
        let mut after = String::from("<samlp:Status><samlp:StatusCode");
        attribute(&mut after, "Value", first);
        match second {
            None => after.push_str("/>"),
            Some(second) => {
                after.push_str("><samlp:StatusCode");
                attribute(&mut after, "Value", second);
                after.push_str("/></samlp:StatusCode>");
            }
        }
        after.push_str("</samlp:Status></samlp:LogoutResponse>");
        let draft = Draft { id, issued_at: now, before, after };
        let to = (endpoint.binding, location);
        let relay_state = request.relay_state();
        draft.send(self, MessageParameter::Response, to, relay_state, true).map(Some)
    }

    fn logout_endpoint(&self) -> Option<&Endpoint> {
        let idp = self.identity_provider();
        idp.single_logout(Binding::Redirect).or_else(|| idp.single_logout(Binding::Post))
    }

    fn begin(
        &self,
        name: &str,
        id: &str,
        destination: &str,
        in_response_to: Option<&str>,
        now: Timestamp,
    ) -> String {
        let mut out = format!("<samlp:{name}");
        attribute(&mut out, "xmlns:samlp", SAMLP);
        attribute(&mut out, "xmlns:saml", SAML);
        attribute(&mut out, "ID", id);
        attribute(&mut out, "Version", "2.0");
        attribute(&mut out, "IssueInstant", &instant(now));
        attribute(&mut out, "Destination", destination);
        if let Some(answered) = in_response_to {
            attribute(&mut out, "InResponseTo", answered);
        }
        out.push('>');
        element(&mut out, "saml:Issuer", &self.settings().sp_entity_id);
        out
    }
}

const REQUESTER: &str = "urn:oasis:names:tc:SAML:2.0:status:Requester";
const PARTIAL_LOGOUT: &str = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout";
