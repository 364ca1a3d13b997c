//! From text to tree. The tokenizer finds where markup begins and ends; everything else
//! (names, attributes, references, namespaces, IDs) is judged here, and nothing is repaired.

use std::borrow::Cow;
use std::collections::HashSet;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::characters::{is_allowed, is_ncname};
use super::prescan::prescan;
use super::start_tag::{self, Scope};
use super::{Declaration, Element, Limits, Node};
use crate::connector::saml::code::{SamlCode, SamlRefusal};

/// Parses a whole document.
///
/// # Errors
/// The refusals of the strict parse.
pub(crate) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Element<'a>, SamlRefusal> {
    Builder::new(prescan(bytes, limits)?, *limits).run()
}

/// Parses an element that was taken out of a document, where `declarations` were in scope.
///
/// # Errors
/// The refusals of the strict parse.
pub(crate) fn parse_fragment<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    declarations: &[Declaration<'a>],
) -> Result<Element<'a>, SamlRefusal> {
    let mut builder = Builder::new(prescan(bytes, limits)?, *limits);
    for declaration in declarations {
        builder.scope.declare(declaration.clone());
    }
    builder.run()
}

struct Builder<'a> {
    text: &'a str,
    limits: Limits,
    scope: Scope<'a>,
    /// Open elements, each with the number of declarations in scope before it.
    open: Vec<(Element<'a>, usize)>,
    root: Option<Element<'a>>,
    ids: HashSet<String>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, limits: Limits) -> Self {
        Self {
            text,
            limits,
            scope: Scope::default(),
            open: Vec::new(),
            root: None,
            ids: HashSet::new(),
        }
    }

    fn run(mut self) -> Result<Element<'a>, SamlRefusal> {
        let mut reader = Reader::from_str(self.text);
        let mut start = 0;
        loop {
            let event = reader.read_event().map_err(|error| malformed(error.to_string()))?;
            let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let raw = self.text.get(start..end).ok_or_else(|| malformed("a cut character"))?;
            match event {
                Event::Start(_) => self.start(raw, false)?,
                Event::Empty(_) => self.start(raw, true)?,
                Event::End(_) => self.end()?,
                Event::Text(_) => self.character_data(raw)?,
                Event::CData(_) => self.cdata(raw)?,
                Event::GeneralRef(_) => self.reference(raw)?,
                Event::Decl(_) if start == 0 => check_declaration(raw)?,
                Event::Decl(_) | Event::PI(_) => {
                    return Err(SamlCode::ProcessingInstruction.because("in the document"));
                }
                Event::Comment(_) if self.limits.comments => {}
                Event::Comment(_) => return Err(SamlCode::Comment.because("in the document")),
                Event::DocType(_) => return Err(SamlCode::Doctype.because("in the document")),
                Event::Eof => break,
            }
            start = end;
        }
        if let Some((element, _)) = self.open.last() {
            return Err(malformed(format!("{} is not closed", element.local)));
        }
        self.root.ok_or_else(|| malformed("there is no element"))
    }

    fn start(&mut self, raw: &'a str, empty: bool) -> Result<(), SamlRefusal> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(malformed("there is more than one root element"));
        }
        let inside = raw.strip_prefix('<').and_then(|it| it.strip_suffix('>'));
        let inside = if empty { inside.and_then(|it| it.strip_suffix('/')) } else { inside };
        let inside = inside.ok_or_else(|| malformed("a tag is cut"))?;
        let known = self.scope.len();
        let element = start_tag::read(inside, &mut self.scope)?;
        self.note_id(&element)?;
        self.open.push((element, known));
        if empty { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), SamlRefusal> {
        let (element, known) = self.open.pop().ok_or_else(|| malformed("an end tag too many"))?;
        self.scope.truncate(known);
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn character_data(&mut self, raw: &'a str) -> Result<(), SamlRefusal> {
        if raw.contains("]]>") {
            return Err(malformed("]]> in text"));
        }
        self.push_text(line_ends(raw))
    }

    fn cdata(&mut self, raw: &'a str) -> Result<(), SamlRefusal> {
        let inside = raw.strip_prefix("<![CDATA[").and_then(|it| it.strip_suffix("]]>"));
        self.push_text(line_ends(inside.ok_or_else(|| malformed("CDATA is cut"))?))
    }

    fn reference(&mut self, raw: &'a str) -> Result<(), SamlRefusal> {
        let name = raw.strip_prefix('&').and_then(|it| it.strip_suffix(';'));
        let c = referenced(name.ok_or_else(|| malformed("a reference is cut"))?)?;
        // Without a text of its own for each: there may be thousands in a row.
        if let Some((parent, _)) = self.open.last_mut()
            && let Some(Node::Text(before)) = parent.children.last_mut()
        {
            before.to_mut().push(c);
            return Ok(());
        }
        self.push_text(Cow::Owned(c.to_string()))
    }

    fn push_text(&mut self, text: Cow<'a, str>) -> Result<(), SamlRefusal> {
        let Some((parent, _)) = self.open.last_mut() else {
            return match text.bytes().all(|b| b.is_ascii_whitespace()) {
                true => Ok(()),
                false => Err(malformed("text outside the root element")),
            };
        };
        if text.is_empty() {
            return Ok(());
        }
        match parent.children.last_mut() {
            Some(Node::Text(before)) => before.to_mut().push_str(&text),
            _ => parent.children.push(Node::Text(text)),
        }
        Ok(())
    }

    /// Whatever another parser could take for an ID counts as one: `ID`, `Id` and `id` without
    /// prefix. With a prefix there is none at all.
    fn note_id(&mut self, element: &Element<'a>) -> Result<(), SamlRefusal> {
        let mut own = None;
        for attribute in &element.attributes {
            if !attribute.local.eq_ignore_ascii_case("id") {
                continue;
            }
            if !attribute.prefix.is_empty() {
                let name = format!("{}:{}", attribute.prefix, attribute.local);
                return Err(SamlCode::IdAttribute.because(format!("{name} on {}", element.local)));
            }
            if own.replace(attribute).is_some() {
                return Err(SamlCode::IdAttribute.because(format!("two IDs on {}", element.local)));
            }
        }
        let Some(id) = own else { return Ok(()) };
        if !is_ncname(&id.value) {
            return Err(
                SamlCode::IdAttribute.because(format!("the ID of {} is no NCName", element.local))
            );
        }
        if !self.ids.insert(id.value.clone().into_owned()) {
            return Err(SamlCode::DuplicateId.because(format!("{} on {}", id.value, element.local)));
        }
        Ok(())
    }
}

/// The character that `&name;` stands for (without `&` and `;`).
pub(super) fn referenced(name: &str) -> Result<char, SamlRefusal> {
    let number = match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => name.strip_prefix('#').ok_or_else(|| malformed("an entity that is not declared"))?,
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
    // Digits only: the number parser would take a sign too.
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let value = plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten();
    value
        .and_then(char::from_u32)
        .filter(|&c| is_allowed(c))
        .ok_or_else(|| SamlCode::Character.because("a reference to no character of XML"))
}

pub(super) fn malformed(detail: impl Into<String>) -> SamlRefusal {
    SamlCode::MalformedXml.because(detail)
}

/// XML 1.0 section 2.11: every line end is one line feed.
fn line_ends(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

/// `<?xml version="1.0" encoding="UTF-8" standalone="…"?>`
fn check_declaration(raw: &str) -> Result<(), SamlRefusal> {
    let inside = raw.strip_prefix("<?xml").and_then(|it| it.strip_suffix("?>"));
    let mut scope = Scope::default();
    // The same syntax as attributes, on an element whose name does not matter.
    let text = format!("xml{}", inside.ok_or_else(|| malformed("the XML declaration is cut"))?);
    let declared = start_tag::read(text.trim_end(), &mut scope)?;
    let names: Vec<&str> = declared.attributes.iter().map(|it| it.local).collect();
    let in_order = matches!(
        names.as_slice(),
        ["version"]
            | ["version", "encoding"]
            | ["version", "standalone"]
            | ["version", "encoding", "standalone"]
    );
    if !in_order
        || !declared.declarations.is_empty()
        || declared.attribute("version") != Some("1.0")
    {
        return Err(malformed("the XML declaration is not that of XML 1.0"));
    }
    match declared.attribute("encoding") {
        Some(encoding) if !encoding.eq_ignore_ascii_case("utf-8") => {
            Err(SamlCode::Encoding.because(format!("declares {encoding:?}")))
        }
        _ => Ok(()),
    }
}
