//! Messages that we send: written by an escaping writer, signed with SHA-256 (digest too), and put
//! into a redirect or a form.

use url::Url;

use super::base64_text::encode;
use super::code::{SamlCode, SamlRefusal};
use super::connection::SamlConnection;
use super::engine::{DigestAlgorithm, PrivateKey, SignatureAlgorithm};
use super::metadata::Binding;
use super::posted::MAX_RELAY_STATE;
use super::redirect_binding::{MessageParameter, address};
use super::xml::{DS, escape_attribute, escape_text};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::secret::hex;

/// A message for the browser to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its ID: what an answer has to name.
    pub id: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// How it goes.
    pub delivery: Delivery,
}

/// How a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A form that the browser posts. Escape every field.
    Post(PostForm),
    /// A redirect.
    Redirect(Url),
}

/// A form with hidden fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostForm {
    /// Where it goes.
    pub action: Url,
    /// Names and values of its fields.
    pub fields: Vec<(&'static str, String)>,
}

/// An ID with 160 random bits; the letter in front makes it an NCName.
pub(crate) fn new_id(random: &dyn Random) -> String {
    let mut bytes = [0; 20];
    random.fill(&mut bytes);
    format!("_{}", hex(&bytes))
}

/// A document under construction. `signature_at` is where its signature goes.
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) issued_at: Timestamp,
    /// What comes before the signature.
    pub(crate) before: String,
    /// What comes after it.
    pub(crate) after: String,
}

impl Draft {
    /// Puts it on its way to `location`.
    pub(crate) fn send(
        self,
        connection: &SamlConnection,
        parameter: MessageParameter,
        (binding, location): (Binding, &Url),
        relay_state: Option<&str>,
        sign: bool,
    ) -> Result<Outgoing, SamlRefusal> {
        if relay_state.is_some_and(|it| it.len() > MAX_RELAY_STATE) {
            return Err(SamlCode::RelayState.because("ours is longer than 80 bytes"));
        }
        let key = match connection.keys().first() {
            Some(key) if sign => Some(key.as_ref()),
            None if sign => return Err(SamlCode::EngineFailed.because("there is no key of ours")),
            _ => None,
        };
        let delivery = match binding {
            Binding::Redirect => {
                let document = format!("{}{}", self.before, self.after);
                Delivery::Redirect(address(location, parameter, &document, relay_state, key)?)
            }
            Binding::Post => {
                let document = match key {
                    Some(key) => self.signed(key)?,
                    None => format!("{}{}", self.before, self.after),
                };
                let mut fields = vec![(parameter.as_str(), encode(document.as_bytes()))];
                fields.extend(relay_state.map(|it| ("RelayState", it.to_owned())));
                Delivery::Post(PostForm { action: location.clone(), fields })
            }
        };
        Ok(Outgoing { id: self.id, issued_at: self.issued_at, delivery })
    }

    /// The document with an enveloped signature.
    pub(crate) fn signed(&self, key: &dyn PrivateKey) -> Result<String, SamlRefusal> {
        let template = format!(
            "<ds:Signature xmlns:ds=\"{DS}\"><ds:SignedInfo><ds:CanonicalizationMethod \
             Algorithm=\"{EXCLUSIVE}\"/><ds:SignatureMethod Algorithm=\"{}\"/><ds:Reference \
             URI=\"#{}\"><ds:Transforms><ds:Transform Algorithm=\"{DS}enveloped-signature\"/>\
             <ds:Transform Algorithm=\"{EXCLUSIVE}\"/></ds:Transforms><ds:DigestMethod \
             Algorithm=\"{}\"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>\
             <ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data>\
             <ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
             </ds:Signature>",
            SignatureAlgorithm::RsaSha256.uri(),
            self.id,
            DigestAlgorithm::Sha256.uri(),
            encode(key.certificate()),
        );
        let document = format!("{}{template}{}", self.before, self.after);
        let signed = key
            .sign_document(&document)
            .map_err(|error| SamlCode::EngineFailed.because(error.to_string()))?;
        // The engine puts an XML declaration in front.
        let start = signed.find("?>").map_or(0, |at| at + 2);
        Ok(signed.get(start..).unwrap_or_default().trim().to_owned())
    }
}

/// ` name="value"`, escaped.
pub(crate) fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    escape_attribute(out, value);
    out.push('"');
}

/// `<name>text</name>`, escaped.
pub(crate) fn element(out: &mut String, name: &str, text: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    escape_text(out, text);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// A moment as XML Schema wants it, in whole seconds: some receivers take no fractions.
pub(crate) fn instant(at: Timestamp) -> String {
    Timestamp::from_seconds(at.seconds()).rfc3339()
}

pub(crate) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
