//! What changed since a cookie, by Active Directory's DirSync control (MS-ADTS 3.1.1.3.4.1.3).

use ldap3::controls::RawControl;

use super::super::ber::{self, INTEGER, OCTET_STRING, SEQUENCE, element, encode};
use super::super::failure::Failure;
use super::super::search::{SearchAnswer, SearchRequest};
use super::Connection;

/// The control's identifier, of request and answer.
pub(in crate::connector::ldap) const DIR_SYNC: &str = "1.2.840.113556.1.4.841";
/// What the server may send in one answer, in bytes.
const MAX_BYTES: u32 = 1 << 20;

/// One of the answers to a request.
#[derive(Debug)]
pub(in crate::connector::ldap) struct DirSyncAnswer {
    /// Result code and entries: those that changed, with what changed of them.
    pub(in crate::connector::ldap) search: SearchAnswer,
    /// Where to go on, and whether there is more now; `None`: the server gave none.
    pub(in crate::connector::ldap) next: Option<(Vec<u8>, bool)>,
}

impl Connection {
    /// Reads the next part of what changed since `cookie`; an empty one stands for the beginning.
    pub(in crate::connector::ldap) async fn dir_sync(
        &mut self,
        request: &SearchRequest,
        cookie: &[u8],
    ) -> Result<DirSyncAnswer, Failure> {
        let control =
            RawControl { ctype: DIR_SYNC.to_owned(), crit: true, val: Some(request_value(cookie)) };
        let mut search = self.run_search(vec![control], request).await?;
        let value = std::mem::take(&mut search.dir_sync);
        Ok(DirSyncAnswer { search, next: value.as_deref().and_then(answer_value) })
    }
}

/// `DirSyncRequestValue ::= SEQUENCE { Flags INTEGER, MaxBytes INTEGER, Cookie OCTET STRING }`.
/// Without flags: an account that may not replicate is refused, instead of being shown a part.
fn request_value(cookie: &[u8]) -> Vec<u8> {
    let most = [&[0], &MAX_BYTES.to_be_bytes()[..]].concat();
    let parts = [encode(INTEGER, &[0]), encode(INTEGER, &most), encode(OCTET_STRING, cookie)];
    encode(SEQUENCE, &parts.concat())
}

/// `DirSyncResponseValue ::= SEQUENCE { MoreResults INTEGER, unused INTEGER, CookieServer OCTET
/// STRING }`.
fn answer_value(value: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (tag, body, _) = element(value)?;
    let (more_tag, more, rest) = element(body)?;
    let (unused_tag, _, rest) = element(rest)?;
    let (cookie_tag, cookie, _) = element(rest)?;
    let expected = [SEQUENCE, INTEGER, INTEGER, OCTET_STRING];
    let fits = [tag, more_tag, unused_tag, cookie_tag] == expected && !cookie.is_empty();
    fits.then(|| (cookie.to_vec(), !ber::is_zero(more)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_a_domain_controller_writes_them() {
        assert_eq!(
            request_value(b"ab"),
            [0x30, 14, 2, 1, 0, 2, 5, 0, 0, 0x10, 0, 0, 4, 2, b'a', b'b']
        );
        let answer = |more: &[u8], cookie: &[u8]| {
            let parts =
                [encode(INTEGER, more), encode(INTEGER, &[0]), encode(OCTET_STRING, cookie)];
            answer_value(&encode(SEQUENCE, &parts.concat()))
        };
        let long = vec![1; 300];
        assert_eq!(answer(&[0], &long), Some((long.clone(), false)));
        assert_eq!(answer(&[0, 0, 0, 1], &long), Some((long, true)));
        assert_eq!(answer(&[0], b""), None, "no cookie");
        for malformed in [&b""[..], &[0x30, 0], &[0x30, 3, 2, 1, 0], &[4, 3, 2, 1, 0]] {
            assert_eq!(answer_value(malformed), None);
        }
    }
}
