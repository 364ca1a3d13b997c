//! A picture of the person (`jpegPhoto`, RFC 2798 section 2.6; `thumbnailPhoto`) as the claim
//! `picture`: a `data:` URL, because the directory's own address is none that a browser could
//! fetch. Small pictures only: it travels with every answer of the userinfo endpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The largest picture that is taken, in bytes. Larger ones are left out, and that is logged.
pub const MAX_PICTURE: usize = 64 * 1024;

/// Name of the claim.
pub(super) const CLAIM: &str = "picture";

/// The picture as a URL; `None` when it is too large, or of no kind that every browser shows.
pub(super) fn data_url(bytes: &[u8]) -> Option<String> {
    let kind = match bytes {
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "png",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "gif",
        _ => return None,
    };
    (bytes.len() <= MAX_PICTURE)
        .then(|| format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_of_known_kinds() {
        assert_eq!(
            data_url(&[0xff, 0xd8, 0xff, 0xe0]).as_deref(),
            Some("data:image/jpeg;base64,/9j/4A==")
        );
        assert!(data_url(b"\x89PNG\r\n\x1a\n....").is_some_and(|url| url.contains("image/png")));
        assert!(data_url(b"GIF89a..").is_some_and(|url| url.contains("image/gif")));
        // A scalable picture can carry scripts.
        for bad in [&b""[..], b"<svg onload='x'/>", b"\xff\xd8", b"BM...."] {
            assert_eq!(data_url(bad), None, "{bad:?}");
        }
        let mut large = vec![0xff, 0xd8, 0xff];
        large.resize(MAX_PICTURE, 0);
        assert!(data_url(&large).is_some());
        large.push(0);
        assert_eq!(data_url(&large), None);
    }
}
