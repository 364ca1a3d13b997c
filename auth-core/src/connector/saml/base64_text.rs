//! Base64 as SAML uses it: the standard alphabet with padding; blanks and line ends count for
//! nothing. Anything else is refused, so that no two readers can differ about a value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotBase64;

/// Decodes `text`.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, NotBase64> {
    if !text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return STANDARD.decode(text).map_err(|_| NotBase64);
    }
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).map_err(|_| NotBase64)
}

/// Encodes `bytes` on one line.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_but_for_blanks() {
        assert_eq!(decode("aGVs\r\n bG8=\t"), Ok(b"hello".to_vec()));
        assert_eq!(decode(""), Ok(Vec::new()));
        for bad in ["aGVsbG8", "aGVsbG8==", "aGVs-G8=", "aGVsbG9=", "a\0Vs", "aGVsbG8=x", "=aGVs"] {
            assert_eq!(decode(bad), Err(NotBase64), "{bad:?}");
        }
        assert_eq!(decode(&encode(&[0, 255, 62])), Ok(vec![0, 255, 62]));
    }
}
