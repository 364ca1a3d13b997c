//! Base32 (RFC 4648 section 6) for seeds, and Crockford's alphabet for codes that people copy by hand.
//! Both wipe what they made, which is why no crate does it.

use zeroize::Zeroizing;

/// 32 symbols, by value.
pub(super) type Alphabet = [u8; 32];

/// RFC 4648, upper case.
pub(super) const RFC_4648: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Crockford's: no I, L, O and U. Lower case.
pub(super) const CROCKFORD: &Alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Encodes without padding.
pub(super) fn encode(bytes: &[u8], alphabet: &Alphabet) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    let mut push = |five_bits: u32| {
        let symbol = alphabet.get((five_bits & 31) as usize);
        text.extend(symbol.map(|&symbol| char::from(symbol)));
    };
    let (mut buffer, mut bits) = (0u32, 0);
    for &byte in bytes {
        buffer = (buffer << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(buffer >> bits);
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        push(buffer << (5 - bits));
    }
    text
}

/// Decodes symbols of `alphabet` without padding; `None` for any other symbol and for a length
/// that no encoding has. Bits left over at the end are not looked at, as authenticator apps do.
pub(super) fn decode(symbols: &[u8], alphabet: &Alphabet) -> Option<Zeroizing<Vec<u8>>> {
    if matches!(symbols.len() % 8, 1 | 3 | 6) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(symbols.len() * 5 / 8));
    let (mut buffer, mut bits) = (0u32, 0);
    for symbol in symbols {
        let value = alphabet.iter().position(|one| one == symbol)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_4648_vectors() {
        let vectors = [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ];
        for (plain, text) in vectors {
            assert_eq!(*encode(plain.as_bytes(), RFC_4648), text);
            assert_eq!(decode(text.as_bytes(), RFC_4648).unwrap().as_slice(), plain.as_bytes());
        }
    }

    #[test]
    fn what_is_no_base32_is_refused() {
        for bad in ["M", "MZX", "MZXW6Y", "mzxq", "MZX1", "MZX=", "MZX "] {
            assert!(decode(bad.as_bytes(), RFC_4648).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for alphabet in [RFC_4648, CROCKFORD] {
                let text = encode(&bytes, alphabet);
                let decoded = decode(text.as_bytes(), alphabet).unwrap();
                prop_assert_eq!(decoded.as_slice(), bytes.as_slice());
            }
        }
    }
}
