//! What a browser posts: a form with `SAMLResponse` (or `SAMLRequest`) and `RelayState` (SAML
//! bindings section 3.5). Limits come first, then strict decoding; nothing is repaired.

use url::form_urlencoded;

use super::base64_text::decode;
use super::code::{SamlCode, SamlRefusal};
use super::xml::{Limits, SAML, parse};

/// Bytes that a form body may have.
pub const MAX_FORM: usize = 512 * 1024;
/// Bytes that a RelayState may have (SAML bindings section 3.5.3).
pub const MAX_RELAY_STATE: usize = 80;

/// A posted message, decoded and not judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The document.
    pub document: Vec<u8>,
    /// What the sender wants back, if anything.
    pub relay_state: Option<String>,
}

impl Posted {
    /// Decodes a form body whose message parameter is `parameter`.
    ///
    /// # Errors
    /// `too_large`, `form`, `base64`.
    pub fn from_form(body: &[u8], parameter: &str) -> Result<Self, SamlRefusal> {
        if body.len() > MAX_FORM {
            return Err(SamlCode::TooLarge
                .because(format!("{} bytes of form, at most {MAX_FORM}", body.len())));
        }
        let (mut message, mut relay_state) = (None, None);
        for (name, value) in form_urlencoded::parse(body) {
            let slot = match name.as_ref() {
                "RelayState" => &mut relay_state,
                name if name == parameter => &mut message,
                "SAMLRequest" | "SAMLResponse" => {
                    return Err(SamlCode::Form.because(format!("{name} beside {parameter}")));
                }
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(SamlCode::Form.because(format!("{name} stands twice")));
            }
        }
        let message =
            message.ok_or_else(|| SamlCode::Form.because(format!("there is no {parameter}")))?;
        Ok(Self { document: document(&message)?, relay_state })
    }
}

/// Decodes the value of a message parameter.
///
/// # Errors
/// `base64`, `too_large`.
pub fn document(base64: &str) -> Result<Vec<u8>, SamlRefusal> {
    // Four characters make three bytes, and no line is shorter than a byte.
    let most = Limits::MESSAGE.bytes.saturating_mul(2);
    if base64.len() > most {
        return Err(SamlCode::TooLarge.because(format!("{} characters of base64", base64.len())));
    }
    let document = decode(base64)
        .map_err(|_| SamlCode::Base64.because("standard alphabet, padded, blanks allowed"))?;
    if document.len() > Limits::MESSAGE.bytes {
        return Err(SamlCode::TooLarge.because(format!(
            "{} bytes of XML, at most {}",
            document.len(),
            Limits::MESSAGE.bytes
        )));
    }
    Ok(document)
}

/// The two things that are looked at before anything is verified, to find the pending request and
/// the connection. They prove nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// `InResponseTo` of the message.
    pub in_response_to: Option<String>,
    /// Issuer of the message.
    pub issuer: Option<String>,
}

impl Unverified {
    /// Looks at a document.
    ///
    /// # Errors
    /// The codes of the strict parse.
    pub fn look(document: &[u8]) -> Result<Self, SamlRefusal> {
        let root = parse(document, &Limits::MESSAGE)?;
        let issuer = root.optional(SAML, "Issuer")?;
        Ok(Self {
            in_response_to: root.attribute("InResponseTo").map(str::to_owned),
            issuer: issuer.map(|it| it.text().map(str::to_owned)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> SamlCode {
        Posted::from_form(body.as_bytes(), "SAMLResponse").unwrap_err().code
    }

    #[test]
    fn a_form_is_decoded() {
        let posted = Posted::from_form(
            b"RelayState=a%2Bb&SAMLResponse=PGEv%0D%0APg%3D%3D&x=1&x=2",
            "SAMLResponse",
        );
        let expected = Posted { document: b"<a/>".to_vec(), relay_state: Some("a+b".to_owned()) };
        assert_eq!(posted, Ok(expected));
    }

    #[test]
    fn what_is_no_clean_form_is_refused() {
        assert_eq!(code(""), SamlCode::Form);
        assert_eq!(code("SAMLResponse=PGEvPg%3D%3D&SAMLResponse=PGEvPg%3D%3D"), SamlCode::Form);
        assert_eq!(code("SAMLResponse=PGEvPg%3D%3D&SAMLRequest=PGEvPg%3D%3D"), SamlCode::Form);
        assert_eq!(code("SAMLResponse=PGEvPg%3D%3D&RelayState=a&RelayState=b"), SamlCode::Form);
        for bad in ["PGEvPg", "PGEv_g%3D%3D", "PGEv%00Pg%3D%3D", "PGEvPg%3D%3DPGEvPg%3D%3D"] {
            assert_eq!(code(&format!("SAMLResponse={bad}")), SamlCode::Base64, "{bad}");
        }
        assert_eq!(code(&format!("SAMLResponse={}", "A".repeat(MAX_FORM))), SamlCode::TooLarge);
        assert_eq!(document(&"A".repeat(400 * 1024)).unwrap_err().code, SamlCode::TooLarge);
        assert_eq!(document(&"A".repeat(600 * 1024)).unwrap_err().code, SamlCode::TooLarge);
    }
}
