//! The look before the parse: one pass over the bytes, without memory of its own, that bounds
//! size, depth and counts and finds what may not occur at all. Only then is a tree built.

use super::Limits;
use super::characters::is_allowed;
use crate::connector::saml::code::{SamlCode, SamlRefusal};

/// The bytes as text, when nothing in them is refused.
pub(super) fn prescan<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, SamlRefusal> {
    if bytes.len() > limits.bytes {
        return Err(SamlCode::TooLarge.because(format!(
            "{} bytes of XML, at most {}",
            bytes.len(),
            limits.bytes
        )));
    }
    let text = text(bytes)?;
    if let Some(wrong) = text.chars().find(|&c| !is_allowed(c)) {
        return Err(SamlCode::Character.because(format!("U+{:04X}", u32::from(wrong))));
    }
    Scan { bytes, at: 0, depth: 0, elements: 0, limits }.run()?;
    Ok(text)
}

fn text(bytes: &[u8]) -> Result<&str, SamlRefusal> {
    let wide = bytes.iter().take(4).any(|&byte| byte == 0);
    if wide || bytes.starts_with(&[0xfe, 0xff]) || bytes.starts_with(&[0xff, 0xfe]) {
        return Err(SamlCode::Encoding.because("looks like UTF-16 or UTF-32"));
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        return Err(SamlCode::Encoding.because("begins with a byte order mark"));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| SamlCode::Encoding.because(format!("no UTF-8: {error}")))
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    elements: usize,
    limits: &'a Limits,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), SamlRefusal> {
        while let Some(open) = self.find(b"<") {
            self.at = open;
            let rest = self.bytes.get(open..).unwrap_or_default();
            if rest.starts_with(b"<![CDATA[") {
                self.skip_past(b"]]>", "CDATA")?;
            } else if rest.starts_with(b"<!--") {
                if !self.limits.comments {
                    return Err(SamlCode::Comment.because(format!("at byte {open}")));
                }
                self.at += 4;
                self.skip_past(b"-->", "comment")?;
            } else if rest.starts_with(b"<!") {
                return Err(SamlCode::Doctype.because(format!("at byte {open}")));
            } else if rest.starts_with(b"<?") {
                if open != 0 || !is_declaration(rest) {
                    return Err(SamlCode::ProcessingInstruction.because(format!("at byte {open}")));
                }
                self.skip_past(b"?>", "XML declaration")?;
            } else if rest.starts_with(b"</") {
                self.depth = self.depth.checked_sub(1).ok_or_else(|| unclosed("end tag"))?;
                self.skip_past(b">", "end tag")?;
            } else {
                self.start_tag()?;
            }
        }
        Ok(())
    }

    fn start_tag(&mut self) -> Result<(), SamlRefusal> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(SamlCode::TooComplex
                .because(format!("more than {} elements", self.limits.elements)));
        }
        let mut quote = None;
        let mut attributes = 0;
        let mut before = b'<';
        for (index, &byte) in self.bytes.iter().enumerate().skip(self.at + 1) {
            match (quote, byte) {
                (Some(open), _) if byte == open => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'=') => attributes += 1,
                (None, b'>') => {
                    self.at = index + 1;
                    return self.opened(before == b'/', attributes);
                }
                (None, _) => {}
            }
            before = byte;
        }
        Err(unclosed("start tag"))
    }

    fn opened(&mut self, empty: bool, attributes: usize) -> Result<(), SamlRefusal> {
        if attributes > self.limits.attributes {
            return Err(SamlCode::TooComplex.because(format!(
                "an element with more than {} attributes",
                self.limits.attributes
            )));
        }
        if self.depth >= self.limits.depth {
            return Err(
                SamlCode::TooComplex.because(format!("more than {} levels", self.limits.depth))
            );
        }
        if !empty {
            self.depth += 1;
        }
        Ok(())
    }

    fn skip_past(&mut self, end: &[u8], what: &str) -> Result<(), SamlRefusal> {
        self.at = self.find(end).ok_or_else(|| unclosed(what))? + end.len();
        Ok(())
    }

    fn find(&self, wanted: &[u8]) -> Option<usize> {
        let rest = self.bytes.get(self.at..)?;
        let found = match wanted {
            [byte] => rest.iter().position(|it| it == byte),
            _ => rest.windows(wanted.len()).position(|window| window == wanted),
        };
        found.map(|offset| self.at + offset)
    }
}

/// `<?xml` and a blank; `<?xml-stylesheet` is a processing instruction.
fn is_declaration(rest: &[u8]) -> bool {
    rest.strip_prefix(b"<?xml").and_then(<[u8]>::first).is_some_and(u8::is_ascii_whitespace)
}

fn unclosed(what: &str) -> SamlRefusal {
    SamlCode::MalformedXml.because(format!("{what} without its counterpart"))
}
