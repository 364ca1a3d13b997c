//! The little of the Basic Encoding Rules (X.690) that controls need: short tags, definite lengths.

/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;

/// The first element: its tag, its content, and what follows. `None` when it is cut, or longer
/// than four octets of length can say.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = octets.iter().fold(0, |sum, octet| (sum << 8) | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// An element of this tag and content.
pub(super) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut encoded = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => encoded.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let octets: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
            encoded.push(0x80 | u8::try_from(octets.len()).unwrap_or(0x7f));
            encoded.extend(octets);
        }
    }
    encoded.extend_from_slice(content);
    encoded
}

/// Whether the content of an INTEGER is zero.
pub(super) fn is_zero(integer: &[u8]) -> bool {
    integer.iter().all(|octet| *octet == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1 << 20] {
            let content = vec![7; length];
            let mut bytes = encode(OCTET_STRING, &content);
            bytes.push(9);
            assert_eq!(element(&bytes), Some((OCTET_STRING, &*content, &[9][..])), "{length}");
        }
    }

    #[test]
    fn what_is_cut_or_boundless_is_no_element() {
        for bytes in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81],
            &[4, 0x82, 1],
            &[4, 0x82, 1, 0, 0],
            &[4, 0x85, 0, 0, 0, 0, 1, 7],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff, 7],
        ] {
            assert_eq!(element(bytes), None, "{bytes:?}");
        }
    }
}
