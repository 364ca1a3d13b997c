//! From the client crate's raw messages to our own types, without its constructors that panic on
//! a malformed message.

use ldap3::asn1::StructureTag;
use ldap3::controls::RawControl;
use ldap3::{LdapResult, ResultEntry};

use super::bind_result::{BindAnswer, PASSWORD_EXPIRED, PASSWORD_POLICY};
use super::entry::{Attribute, Entry};

/// One message of a search.
#[derive(Debug)]
pub(super) enum SearchMessage {
    /// An entry.
    Entry(Entry),
    /// References to other servers.
    Reference(Vec<String>),
    /// An intermediate message; not asked for.
    Other,
}

/// Decodes a message of a search; `None` when it is malformed.
pub(super) fn search_message(message: ResultEntry) -> Option<SearchMessage> {
    if message.is_ref() {
        let uris = message.0.expect_constructed()?;
        return Some(SearchMessage::Reference(uris.into_iter().map(text).collect::<Option<_>>()?));
    }
    if message.is_intermediate() {
        return Some(SearchMessage::Other);
    }
    let mut parts = message.0.match_id(4)?.expect_constructed()?.into_iter();
    let dn = text(parts.next()?)?;
    let attributes = parts.next()?.expect_constructed()?;
    let attributes = attributes.into_iter().map(attribute).collect::<Option<_>>()?;
    Some(SearchMessage::Entry(Entry { dn, attributes }))
}

/// What a bind's answer says.
pub(super) fn bind_answer(result: LdapResult) -> BindAnswer {
    let controls: Vec<RawControl> = result.ctrls.into_iter().map(|control| control.1).collect();
    let policy = controls.iter().find(|c| c.ctype == PASSWORD_POLICY).and_then(|c| c.val.clone());
    BindAnswer {
        code: result.rc,
        diagnostic: result.text,
        policy,
        expired_control: controls.iter().any(|c| c.ctype == PASSWORD_EXPIRED),
    }
}

fn attribute(tag: StructureTag) -> Option<Attribute> {
    let mut parts = tag.expect_constructed()?.into_iter();
    let name = text(parts.next()?)?;
    let values = parts.next()?.expect_constructed()?;
    let values = values.into_iter().map(StructureTag::expect_primitive).collect::<Option<_>>()?;
    Some(Attribute { name, values })
}

fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(tag.expect_primitive()?).ok()
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::{PL, TagClass};

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload }
    }

    fn octets(value: &[u8]) -> StructureTag {
        tag(4, PL::P(value.to_vec()))
    }

    fn message(dn: &[u8], name: &[u8], value: &[u8]) -> ResultEntry {
        let values = tag(17, PL::C(vec![octets(value)]));
        let attribute = tag(16, PL::C(vec![octets(name), values]));
        let attributes = tag(16, PL::C(vec![attribute]));
        ResultEntry::new(tag(4, PL::C(vec![octets(dn), attributes])))
    }

    #[test]
    fn an_entry_with_any_bytes() {
        let Some(SearchMessage::Entry(entry)) = search_message(message(b"cn=a", b"cn", &[0xff]))
        else {
            panic!("an entry");
        };
        assert_eq!(entry.dn, "cn=a");
        assert_eq!(entry.values("CN"), [vec![0xff]]);
    }

    #[test]
    fn malformed_messages_are_no_entries() {
        assert!(search_message(message(&[0xff], b"cn", b"a")).is_none(), "DN that is no text");
        assert!(search_message(message(b"cn=a", &[0xff], b"a")).is_none(), "name that is no text");
        for payload in [PL::P(vec![]), PL::C(vec![]), PL::C(vec![octets(b"cn=a")])] {
            assert!(search_message(ResultEntry::new(tag(4, payload))).is_none());
        }
        assert!(search_message(ResultEntry::new(tag(19, PL::P(vec![])))).is_none());
    }
}
