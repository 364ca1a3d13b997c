//! The AuthnRequest (SAML core section 3.4.1): asks the identity provider to sign somebody in.

use super::code::{SamlCode, SamlRefusal};
use super::connection::SamlConnection;
use super::metadata::Binding;
use super::outgoing::{Draft, Outgoing, attribute, element, instant, new_id};
use super::redirect_binding::MessageParameter;
use super::settings::RequestBinding;
use super::xml::{SAML, SAMLP};
use crate::clock::Timestamp;
use crate::random::Random;

/// What one request asks for beyond the connection's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthnRequestOptions {
    /// The person has to authenticate anew, whatever the settings say.
    pub force_authn: bool,
    /// The identity provider may not show anything.
    pub is_passive: bool,
}

impl SamlConnection {
    /// Makes a request. `relay_state` comes back with the answer: an opaque word of ours, at most
    /// 80 bytes.
    ///
    /// Keep the ID with the pending login; with `ForceAuthn`, keep the time too.
    ///
    /// # Errors
    /// `metadata_endpoint` when there is nowhere to send it, `engine_failed` when it cannot be
    /// signed, `relay_state`.
    pub fn authn_request(
        &self,
        options: AuthnRequestOptions,
        relay_state: Option<&str>,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Outgoing, SamlRefusal> {
        let settings = self.settings();
        let idp = self.identity_provider();
        let order = match settings.request_binding {
            RequestBinding::Post => [Binding::Post, Binding::Redirect],
            RequestBinding::Redirect => [Binding::Redirect, Binding::Post],
        };
        let endpoint = order.into_iter().find_map(|binding| idp.single_sign_on(binding));
        let endpoint = endpoint
            .ok_or_else(|| SamlCode::MetadataEndpoint.because("no single sign-on address"))?;
        let id = new_id(random);

        let mut before = String::from("<samlp:AuthnRequest");
        attribute(&mut before, "xmlns:samlp", SAMLP);
        attribute(&mut before, "xmlns:saml", SAML);
        attribute(&mut before, "ID", &id);
        attribute(&mut before, "Version", "2.0");
        attribute(&mut before, "IssueInstant", &instant(now));
        attribute(&mut before, "Destination", endpoint.location.as_str());
        if settings.force_authn || options.force_authn {
            attribute(&mut before, "ForceAuthn", "true");
        }
        if options.is_passive {
            attribute(&mut before, "IsPassive", "true");
        }
        attribute(&mut before, "ProtocolBinding", Binding::Post.uri());
        attribute(&mut before, "AssertionConsumerServiceURL", &settings.acs_url);
        before.push('>');
        element(&mut before, "saml:Issuer", &settings.sp_entity_id);

        let mut after = String::new();
        if let Some(format) = &settings.name_id_format {
            after.push_str("<samlp:NameIDPolicy");
            attribute(&mut after, "Format", format);
            attribute(&mut after, "AllowCreate", "true");
            after.push_str("/>");
        }
        if !settings.authn_context.is_empty() {
            after.push_str("<samlp:RequestedAuthnContext Comparison=\"exact\">");
            for class in &settings.authn_context {
                element(&mut after, "saml:AuthnContextClassRef", class);
            }
            after.push_str("</samlp:RequestedAuthnContext>");
        }
        after.push_str("</samlp:AuthnRequest>");
        let draft = Draft { id, issued_at: now, before, after };
        let to = (endpoint.binding, &endpoint.location);
        let sign = settings.sign_requests || idp.wants_signed_requests();
        draft.send(self, MessageParameter::Request, to, relay_state, sign)
    }
}
