//! From tree to text. What is written reads back as the same tree and has the same canonical
//! form: prefixes, declarations and texts stay as they are, and whatever a parser would change
//! (line ends, tabs in attributes) is written as a reference.

use super::{Element, Node};

/// The element as a document of its own, without XML declaration.
pub(crate) fn write(element: &Element<'_>) -> String {
    let mut out = String::with_capacity(8 * 1024);
    write_into(&mut out, element);
    out
}

fn write_into(out: &mut String, element: &Element<'_>) {
    out.push('<');
    write_name(out, element.prefix, element.local);
    for declaration in &element.declarations {
        out.push_str(" xmlns");
        if !declaration.prefix.is_empty() {
            out.push(':');
            out.push_str(declaration.prefix);
        }
        write_value(out, &declaration.uri);
    }
    for attribute in &element.attributes {
        out.push(' ');
        write_name(out, attribute.prefix, attribute.local);
        write_value(out, &attribute.value);
    }
    if element.children.is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for node in &element.children {
        match node {
            Node::Element(element) => write_into(out, element),
            Node::Text(text) => escape_text(out, text),
        }
    }
    out.push_str("</");
    write_name(out, element.prefix, element.local);
    out.push('>');
}

pub(super) fn write_name(out: &mut String, prefix: &str, local: &str) {
    if !prefix.is_empty() {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(local);
}

pub(super) fn write_value(out: &mut String, value: &str) {
    out.push_str("=\"");
    escape_attribute(out, value);
    out.push('"');
}

/// Adds text as it stands between tags (and as canonical XML writes it).
pub(crate) fn escape_text(out: &mut String, text: &str) {
    escape(out, text, |c| match c {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

/// Adds text as it stands in a double-quoted attribute value (and as canonical XML writes it).
pub(crate) fn escape_attribute(out: &mut String, value: &str) {
    escape(out, value, |c| match c {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

fn escape(out: &mut String, text: &str, reference: impl Fn(u8) -> Option<&'static str>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(reference) = reference(byte) {
            // The bytes looked for are ASCII, so both cuts are between characters.
            out.push_str(text.get(from..at).unwrap_or_default());
            out.push_str(reference);
            from = at + 1;
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
}
