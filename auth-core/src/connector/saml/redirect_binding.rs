//! HTTP-Redirect (SAML bindings section 3.4): a deflated message in a query, signed over the very
//! octets of the query.
//!
//! The signature covers `SAMLRequest=…&RelayState=…&SigAlg=…` as it was sent, so the raw values are
//! taken from the query and put together again, never decoded and encoded: lower-case escapes,
//! `%20` and `+` stay what they are. A parameter that stands twice, or whose name is escaped, is
//! refused, for two readers could take different ones.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use url::Url;

use super::base64_text::{decode, encode};
use super::code::{SamlCode, SamlRefusal};
use super::engine::{PrivateKey, SignatureAlgorithm};
use super::legacy::{LegacyAlgorithm, weaknesses};
use super::pinned_key::PinnedKey;
use super::posted::MAX_RELAY_STATE;
use super::signature::AllowedAlgorithms;

/// Bytes that a query may have.
const MAX_QUERY: usize = 64 * 1024;
/// Bytes that a message may inflate to.
const MAX_INFLATED: usize = 128 * 1024;

/// Which parameter carries the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageParameter {
    /// `SAMLRequest`
    Request,
    /// `SAMLResponse`
    Response,
}

impl MessageParameter {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// A message whose query was signed by a pinned key.
#[derive(Debug)]
pub(crate) struct VerifiedQuery {
    pub(crate) document: Vec<u8>,
    pub(crate) relay_state: Option<String>,
    /// What only `allow_sha1` lets through.
    pub(crate) legacy: BTreeSet<LegacyAlgorithm>,
}

/// Which message a query carries, before anything is verified.
///
/// # Errors
/// `redirect_parameters` when it is none or both.
pub fn parameter_of(query: &str) -> Result<MessageParameter, SamlRefusal> {
    let parameters = Parameters::read(query)?;
    match (parameters.request, parameters.response) {
        (Some(_), None) => Ok(MessageParameter::Request),
        (None, Some(_)) => Ok(MessageParameter::Response),
        _ => Err(wrong("not exactly one of SAMLRequest and SAMLResponse")),
    }
}

/// Verifies the signature of a raw query and inflates its message.
pub(crate) fn verify(
    query: &str,
    parameter: MessageParameter,
    keys: &[PinnedKey],
    allowed: AllowedAlgorithms,
) -> Result<VerifiedQuery, SamlRefusal> {
    let Parameters { request, response, relay_state, algorithm, signature, encoding } =
        Parameters::read(query)?;
    let message = match (parameter, request, response) {
        (MessageParameter::Request, Some(raw), None)
        | (MessageParameter::Response, None, Some(raw)) => raw,
        _ => return Err(wrong("not exactly the one message that is expected here")),
    };
    if let Some(encoding) = encoding
        && unescape(encoding)? != DEFLATE
    {
        return Err(wrong("SAMLEncoding is not DEFLATE"));
    }
    let refused = |detail: &str| SamlCode::RedirectSignature.because(detail);
    let raw_algorithm = algorithm.ok_or_else(|| refused("there is no SigAlg"))?;
    let signature = signature.ok_or_else(|| refused("there is no Signature"))?;
    let method = allowed
        .signature(&unescape(raw_algorithm)?)
        .map_err(|refusal| refused(&format!("the method {} is not allowed", refusal.detail)))?;
    let value = decode(&unescape(signature)?).map_err(|_| refused("Signature is no base64"))?;
    let octets = signed_octets(parameter, message, relay_state, raw_algorithm);
    let made_it = |key: &&PinnedKey| key.verifies(method, octets.as_bytes(), &value);
    let key = keys.iter().find(made_it);
    let key = key.ok_or_else(|| refused("no pinned key made it over these octets"))?;
    let legacy = weaknesses(method, None, key);
    let relay_state = relay_state.map(unescape).transpose()?;
    let deflated =
        decode(&unescape(message)?).map_err(|_| SamlCode::Base64.because(parameter.as_str()))?;
    Ok(VerifiedQuery { document: inflate(&deflated)?, relay_state, legacy })
}

/// The address that carries `document`, signed when there is a key.
pub(crate) fn address(
    location: &Url,
    parameter: MessageParameter,
    document: &str,
    relay_state: Option<&str>,
    key: Option<&dyn PrivateKey>,
) -> Result<Url, SamlRefusal> {
    let failed = |error: String| SamlCode::EngineFailed.because(error);
    let deflated = deflate(document.as_bytes()).map_err(|error| failed(error.to_string()))?;
    let message = escape(&encode(&deflated));
    let relay_state = relay_state.map(escape);
    let query = match key {
        None => {
            let mut query = format!("{}={message}", parameter.as_str());
            if let Some(relay_state) = relay_state {
                query.push_str("&RelayState=");
                query.push_str(&relay_state);
            }
            query
        }
        Some(key) => {
            let algorithm = escape(SignatureAlgorithm::RsaSha256.uri());
            let mut octets = signed_octets(parameter, &message, relay_state.as_deref(), &algorithm);
            let value = key.sign(octets.as_bytes()).map_err(|error| failed(error.to_string()))?;
            octets.push_str("&Signature=");
            octets.push_str(&escape(&encode(&value)));
            octets
        }
    };
    let mut url = location.clone();
    let query = match location.query().filter(|own| !own.is_empty()) {
        Some(own) => format!("{own}&{query}"),
        None => query,
    };
    url.set_query(Some(&query));
    Ok(url)
}

fn signed_octets(
    parameter: MessageParameter,
    message: &str,
    relay_state: Option<&str>,
    algorithm: &str,
) -> String {
    let mut octets = format!("{}={message}", parameter.as_str());
    if let Some(relay_state) = relay_state {
        octets.push_str("&RelayState=");
        octets.push_str(relay_state);
    }
    octets.push_str("&SigAlg=");
    octets.push_str(algorithm);
    octets
}

/// The raw values of the parameters that we know.
#[derive(Default)]
struct Parameters<'q> {
    request: Option<&'q str>,
    response: Option<&'q str>,
    relay_state: Option<&'q str>,
    algorithm: Option<&'q str>,
    signature: Option<&'q str>,
    encoding: Option<&'q str>,
}

impl<'q> Parameters<'q> {
    fn read(query: &'q str) -> Result<Self, SamlRefusal> {
        if query.len() > MAX_QUERY {
            return Err(SamlCode::TooLarge.because(format!("{} bytes of query", query.len())));
        }
        let mut found = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = unescape(name)?;
            let slot = match plain.as_str() {
                "SAMLRequest" => &mut found.request,
                "SAMLResponse" => &mut found.response,
                "RelayState" => &mut found.relay_state,
                "SigAlg" => &mut found.algorithm,
                "Signature" => &mut found.signature,
                "SAMLEncoding" => &mut found.encoding,
                _ => continue,
            };
            if plain != name {
                return Err(wrong(format!("the name {plain} is written with escapes")));
            }
            if slot.replace(value).is_some() {
                return Err(wrong(format!("{plain} stands twice")));
            }
        }
        if found.relay_state.is_some_and(|raw| raw.len() > 3 * MAX_RELAY_STATE) {
            return Err(SamlCode::RelayState.because("it is longer than 80 bytes"));
        }
        Ok(found)
    }
}

/// `%xx` and `+`; a broken escape is refused.
fn unescape(raw: &str) -> Result<String, SamlRefusal> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        let digit = |it: Option<&u8>| it.and_then(|&byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                _ => return Err(wrong("a broken escape")),
            },
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong("an escape that is no UTF-8"))
}

/// RFC 3986: everything but unreserved characters as upper-case escapes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Bounded: what inflates to more is a bomb.
fn inflate(deflated: &[u8]) -> Result<Vec<u8>, SamlRefusal> {
    let mut decoder = DeflateDecoder::new(deflated);
    let mut inflated = Vec::new();
    let limit = u64::try_from(MAX_INFLATED + 1).unwrap_or(u64::MAX);
    decoder
        .by_ref()
        .take(limit)
        .read_to_end(&mut inflated)
        .map_err(|_| SamlCode::Inflate.because("this is no deflated message"))?;
    if inflated.len() > MAX_INFLATED {
        return Err(SamlCode::Inflate.because(format!("it inflates to more than {MAX_INFLATED}")));
    }
    if decoder.total_in() != deflated.len() as u64 {
        return Err(SamlCode::Inflate.because("there are bytes behind the message"));
    }
    Ok(inflated)
}

fn deflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn wrong(detail: impl Into<String>) -> SamlRefusal {
    SamlCode::RedirectParameters.because(detail)
}

const DEFLATE: &str = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_round_trip() {
        assert_eq!(escape("a b/+~é"), "a%20b%2F%2B~%C3%A9");
        assert_eq!(unescape("a%20b%2f%2B~%c3%A9+").unwrap(), "a b/+~é ");
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(unescape(bad).unwrap_err().code, SamlCode::RedirectParameters, "{bad}");
        }
    }

    #[test]
    fn inflation_is_bounded() {
        let message = vec![b'a'; MAX_INFLATED];
        assert_eq!(inflate(&deflate(&message).unwrap()).unwrap(), message);
        let code = |bytes: &[u8]| inflate(bytes).unwrap_err().code;
        assert_eq!(code(&deflate(&vec![b'a'; MAX_INFLATED + 1]).unwrap()), SamlCode::Inflate);
        assert_eq!(code(&deflate(&vec![0; 64 * 1024 * 1024]).unwrap()), SamlCode::Inflate);
        let mut behind = deflate(b"<a/>").unwrap();
        assert_eq!(code(&behind[..behind.len() - 1]), SamlCode::Inflate, "truncated");
        behind.push(0);
        assert_eq!(code(&behind), SamlCode::Inflate, "bytes behind");
        assert_eq!(code(b"<a/>"), SamlCode::Inflate);
    }

    #[test]
    fn parameters_are_unique_and_plainly_named() {
        let read = |query: &str| Parameters::read(query).map(|it| it.request.map(str::to_owned));
        assert_eq!(read("SAMLRequest=a%2b&x=1&x=2"), Ok(Some("a%2b".to_owned())));
        for bad in [
            "SAMLRequest=a&SAMLRequest=a",
            "SAMLRequest=a&%53AMLRequest=b",
            "%53AMLRequest=b",
            "SAMLRequest=a&RelayState=b&RelayState=c",
            "SigAlg=a&SigAlg=a",
            "Signature=a&Signature=",
        ] {
            let code = Parameters::read(bad).err().map(|it| it.code);
            assert_eq!(code, Some(SamlCode::RedirectParameters), "{bad}");
        }
        assert!(parameter_of("SAMLRequest=a&SAMLResponse=b").is_err());
        assert!(parameter_of("&&&").is_err());
        assert_eq!(parameter_of("SAMLResponse=b"), Ok(MessageParameter::Response));
    }
}
