//! The stable id of a person as text, and back to the assertion value that finds the entry.
//!
//! Active Directory's `objectGUID` is 16 bytes whose first three groups are little-endian
//! (MS-DTYP 2.3.4); `objectSid` is a binary security identifier (MS-DTYP 2.4.2). All other id
//! attributes are text and compared exactly.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::filter;

/// How the id attribute's value is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubjectSyntax {
    /// `objectGUID`.
    Guid,
    /// `objectSid`.
    Sid,
    /// The value itself.
    Text,
}

impl SubjectSyntax {
    /// The syntax of an id attribute.
    pub(super) fn of(attribute: &str) -> Self {
        if attribute.eq_ignore_ascii_case("objectGUID") {
            Self::Guid
        } else if attribute.eq_ignore_ascii_case("objectSid") {
            Self::Sid
        } else {
            Self::Text
        }
    }

    /// The value as text; `None` when it cannot be one.
    pub(super) fn render(self, value: &[u8]) -> Option<String> {
        match self {
            Self::Guid => render_guid(value.try_into().ok()?),
            Self::Sid => render_sid(value),
            Self::Text => {
                let text = std::str::from_utf8(value).ok()?;
                let usable = !text.trim().is_empty()
                    && text.len() <= 255
                    && !text.chars().any(char::is_control);
                usable.then(|| text.to_owned())
            }
        }
    }

    /// The subject that another program's writing of the id means: identity providers send a
    /// binary id in base64, or a GUID in another spelling. `None` when it is no such id.
    pub(super) fn canonical(self, written: &str) -> Option<String> {
        let written = written.trim();
        let bytes = || STANDARD.decode(written).ok();
        match self {
            Self::Guid => match uuid::Uuid::try_parse(written) {
                Ok(value) => Some(value.hyphenated().to_string()),
                Err(_) => render_guid(bytes()?.try_into().ok()?),
            },
            Self::Sid => match parse_sid(written) {
                Some(_) => Some(written.to_owned()),
                None => render_sid(&bytes()?),
            },
            Self::Text => self.render(written.as_bytes()),
        }
    }

    /// The filter that finds the entry with this id; `None` when `subject` is no such id.
    pub(super) fn filter(self, attribute: &str, subject: &str) -> Option<String> {
        match self {
            Self::Guid => {
                Some(format!("({attribute}={})", filter::escape_bytes(&parse_guid(subject)?)))
            }
            Self::Sid => {
                Some(format!("({attribute}={})", filter::escape_bytes(&parse_sid(subject)?)))
            }
            Self::Text => (!subject.is_empty()).then(|| filter::equals(attribute, subject)),
        }
    }
}

/// The SID of a person's primary group: the person's own with the last part replaced.
pub(super) fn primary_group_sid(own: &[u8], relative_id: u32) -> Option<Vec<u8>> {
    render_sid(own)?;
    let (domain, _) = own.split_at_checked(own.len().checked_sub(4)?)?;
    Some([domain, &relative_id.to_le_bytes()].concat())
}

fn render_guid(value: [u8; 16]) -> Option<String> {
    let (a, rest) = value.split_first_chunk::<4>()?;
    let (b, rest) = rest.split_first_chunk::<2>()?;
    let (c, rest) = rest.split_first_chunk::<2>()?;
    let (d, node) = rest.split_first_chunk::<2>()?;
    let mut text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-",
        u32::from_le_bytes(*a),
        u16::from_le_bytes(*b),
        u16::from_le_bytes(*c),
        u16::from_be_bytes(*d)
    );
    for byte in node {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

fn parse_guid(text: &str) -> Option<[u8; 16]> {
    let value = uuid::Uuid::try_parse(text).ok()?;
    // Only the form that `render` writes: one subject has one spelling.
    (value.hyphenated().to_string() == text).then(|| value.to_bytes_le())
}

fn render_sid(value: &[u8]) -> Option<String> {
    let (&revision, rest) = value.split_first()?;
    let (&count, rest) = rest.split_first()?;
    let (authority, parts) = rest.split_first_chunk::<6>()?;
    let (chunks, []) = parts.as_chunks::<4>() else { return None };
    if chunks.len() != usize::from(count) || count == 0 {
        return None;
    }
    let authority = authority.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let mut text = format!("S-{revision}-{authority}");
    for chunk in chunks {
        let _ = write!(text, "-{}", u32::from_le_bytes(*chunk));
    }
    Some(text)
}

fn parse_sid(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.strip_prefix("S-")?.split('-');
    let revision: u8 = parts.next()?.parse().ok()?;
    let authority: u64 = parts.next()?.parse().ok()?;
    let sub: Vec<u32> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut value = vec![revision, u8::try_from(sub.len()).ok()?];
    value.extend(authority.to_be_bytes().get(2..)?);
    value.extend(sub.iter().flat_map(|part| part.to_le_bytes()));
    (render_sid(&value)? == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As seen on a real domain controller.
    const GUID: [u8; 16] = [
        0x61, 0x41, 0x65, 0x5e, 0x67, 0xd1, 0x79, 0x48, 0xb4, 0x4e, 0xa9, 0xeb, 0x73, 0x82, 0x3e,
        0x3d,
    ];
    const GUID_TEXT: &str = "5e654161-d167-4879-b44e-a9eb73823e3d";

    #[test]
    fn a_guid_is_mixed_endian() {
        let syntax = SubjectSyntax::of("objectguid");
        assert_eq!(syntax.render(&GUID).as_deref(), Some(GUID_TEXT));
        assert_eq!(
            syntax.filter("objectGUID", GUID_TEXT).as_deref(),
            Some("(objectGUID=\\61\\41\\65\\5e\\67\\d1\\79\\48\\b4\\4e\\a9\\eb\\73\\82\\3e\\3d)")
        );
        assert_eq!(syntax.filter("objectGUID", &GUID_TEXT.to_uppercase()), None);
        assert_eq!(syntax.filter("objectGUID", "*"), None);
        assert_eq!(syntax.render(&GUID[..15]), None);
    }

    #[test]
    fn a_sid_and_its_primary_group() {
        let text = "S-1-5-21-1004336348-1177238915-682003330-1107";
        let value = parse_sid(text).unwrap();
        assert_eq!(SubjectSyntax::Sid.render(&value).as_deref(), Some(text));
        let group = primary_group_sid(&value, 513).unwrap();
        assert_eq!(
            render_sid(&group).as_deref(),
            Some("S-1-5-21-1004336348-1177238915-682003330-513")
        );
        assert_eq!(primary_group_sid(&value[..7], 513), None);
    }

    #[test]
    fn text_ids_are_kept_exactly() {
        let syntax = SubjectSyntax::of("entryUUID");
        assert_eq!(syntax.render(b"AbC").as_deref(), Some("AbC"));
        assert_eq!(syntax.filter("entryUUID", "a*").as_deref(), Some("(entryUUID=a\\2a)"));
        for bad in [&b""[..], b" ", b"a\0", &[0xff]] {
            assert_eq!(syntax.render(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_spelling_of_an_id_means_the_same_subject() {
        let guid = SubjectSyntax::Guid;
        let braced = format!("{{{}}}", GUID_TEXT.to_uppercase());
        for written in [GUID_TEXT, &braced, &STANDARD.encode(GUID), &format!(" {GUID_TEXT} ")] {
            assert_eq!(guid.canonical(written).as_deref(), Some(GUID_TEXT), "{written}");
        }
        for junk in ["", "alice", "YWxpY2U=", "5e654161"] {
            assert_eq!(guid.canonical(junk), None, "{junk}");
        }
        let sid = "S-1-5-21-1-2-3-1104";
        let bytes = parse_sid(sid).unwrap();
        for written in [sid, &STANDARD.encode(bytes)] {
            assert_eq!(SubjectSyntax::Sid.canonical(written).as_deref(), Some(sid), "{written}");
        }
        assert_eq!(SubjectSyntax::Text.canonical("alice").as_deref(), Some("alice"));
        assert_eq!(SubjectSyntax::Text.canonical(" "), None);
    }
}
