//! A start tag: name, namespace declarations and attributes, with every rule of XML 1.0 and of
//! Namespaces in XML 1.0.

use std::borrow::Cow;

use super::characters::is_ncname;
use super::parse::{malformed, referenced};
use super::{Attribute, Declaration, Element, XML};
use crate::connector::saml::code::{SamlCode, SamlRefusal};

/// The declarations that are in scope, the innermost last.
#[derive(Default)]
pub(super) struct Scope<'a>(Vec<Declaration<'a>>);

impl<'a> Scope<'a> {
    pub(super) fn declare(&mut self, declaration: Declaration<'a>) {
        self.0.push(declaration);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn namespace(&self, prefix: &str) -> Result<Cow<'a, str>, SamlRefusal> {
        if prefix == "xml" {
            return Ok(Cow::Borrowed(XML));
        }
        match self.0.iter().rev().find(|declaration| declaration.prefix == prefix) {
            Some(declaration) => Ok(declaration.uri.clone()),
            None if prefix.is_empty() => Ok(Cow::Borrowed("")),
            None => {
                Err(SamlCode::Namespace.because(format!("the prefix {prefix} is not declared")))
            }
        }
    }
}

/// Reads what stands between `<` and `>` (or `/>`); its declarations go into `scope`.
pub(super) fn read<'a>(inside: &'a str, scope: &mut Scope<'a>) -> Result<Element<'a>, SamlRefusal> {
    let name_end = inside.find(is_blank).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(name_end);
    let (prefix, local) = qualified(name)?;
    let mut declarations: Vec<Declaration<'a>> = Vec::new();
    let mut attributes: Vec<Attribute<'a>> = Vec::new();
    while let Some((name, value, after)) = next_attribute(rest)? {
        rest = after;
        match declared_prefix(name) {
            Some(prefix) => {
                let declaration = Declaration { prefix, uri: value };
                check_declaration(&declaration)?;
                if declarations.iter().any(|it| it.prefix == prefix) {
                    return Err(malformed(format!("xmlns:{prefix} stands twice")));
                }
                declarations.push(declaration);
            }
            None => {
                let (prefix, local) = qualified(name)?;
                attributes.push(Attribute { prefix, local, namespace: Cow::Borrowed(""), value });
            }
        }
    }
    for declaration in &declarations {
        scope.declare(declaration.clone());
    }
    if scope.len() > MAX_DECLARATIONS {
        return Err(SamlCode::TooComplex
            .because(format!("more than {MAX_DECLARATIONS} namespace declarations in scope")));
    }
    for attribute in &mut attributes {
        if !attribute.prefix.is_empty() {
            attribute.namespace = scope.namespace(attribute.prefix)?;
        }
    }
    check_attributes(&attributes)?;
    let namespace = scope.namespace(prefix)?;
    Ok(Element { prefix, local, namespace, declarations, attributes, children: Vec::new() })
}

type Found<'a> = (&'a str, Cow<'a, str>, &'a str);

/// The next `name="value"`, and what comes after it.
fn next_attribute(rest: &str) -> Result<Option<Found<'_>>, SamlRefusal> {
    let trimmed = rest.trim_start_matches(is_blank);
    if trimmed.is_empty() {
        return Ok(None);
    }
    if trimmed.len() == rest.len() {
        return Err(malformed("no blank before an attribute"));
    }
    let (name, after) =
        trimmed.split_once('=').ok_or_else(|| malformed("an attribute without value"))?;
    let after = after.trim_start_matches(is_blank);
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
    let quote = quote.ok_or_else(|| malformed("an attribute value without quotes"))?;
    let (value, after) = after
        .get(1..)
        .and_then(|value| value.split_once(quote))
        .ok_or_else(|| malformed("an attribute value that does not end"))?;
    Ok(Some((name.trim_end_matches(is_blank), attribute_value(value)?, after)))
}

/// XML 1.0 section 3.3.3: references are resolved, white space becomes blanks.
fn attribute_value(raw: &str) -> Result<Cow<'_, str>, SamlRefusal> {
    if raw.contains('<') {
        return Err(malformed("< in an attribute value"));
    }
    if !raw.contains(['&', '\t', '\n', '\r']) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        let (before, after) = rest.split_at(at);
        value.push_str(before);
        if let Some(reference) = after.strip_prefix('&') {
            let (name, after) = reference
                .split_once(';')
                .ok_or_else(|| malformed("a reference that does not end"))?;
            value.push(referenced(name)?);
            rest = after;
        } else {
            value.push(' ');
            let line_end = if after.starts_with("\r\n") { 2 } else { 1 };
            rest = after.get(line_end..).unwrap_or_default();
        }
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}

/// The prefix that an attribute declares; the empty one for `xmlns`.
fn declared_prefix(name: &str) -> Option<&str> {
    if name == "xmlns" { Some("") } else { name.strip_prefix("xmlns:") }
}

fn check_declaration(declaration: &Declaration<'_>) -> Result<(), SamlRefusal> {
    let Declaration { prefix, uri } = declaration;
    let refuse = |why: &str| Err(SamlCode::Namespace.because(format!("xmlns:{prefix} {why}")));
    if !prefix.is_empty() && !is_ncname(prefix) {
        return refuse("is no prefix");
    }
    if *prefix == "xmlns" || *prefix == "xml" || uri == XML || uri == XMLNS {
        return refuse("is reserved");
    }
    if uri.is_empty() {
        return if prefix.is_empty() { Ok(()) } else { refuse("is empty") };
    }
    if !is_absolute(uri) {
        return Err(SamlCode::RelativeNamespace.because(format!("xmlns:{prefix} is {uri:?}")));
    }
    Ok(())
}

/// Whether canonicalisation takes it for an absolute URI: a scheme, and no blank or control.
fn is_absolute(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let mut chars = scheme.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        && !rest.is_empty()
        && uri.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c))
}

fn check_attributes(attributes: &[Attribute<'_>]) -> Result<(), SamlRefusal> {
    for (index, attribute) in attributes.iter().enumerate() {
        let same = |other: &&Attribute<'_>| {
            other.local == attribute.local && other.namespace == attribute.namespace
        };
        if attributes.iter().take(index).any(|other| same(&other)) {
            return Err(malformed(format!("the attribute {} stands twice", attribute.local)));
        }
        // xml:id and xml:base would change what an ID or a relative URI means.
        if attribute.prefix == "xml" && !matches!(attribute.local, "lang" | "space") {
            let code =
                if attribute.local == "id" { SamlCode::IdAttribute } else { SamlCode::Namespace };
            return Err(code.because(format!("the attribute xml:{}", attribute.local)));
        }
    }
    Ok(())
}

fn qualified(name: &str) -> Result<(&str, &str), SamlRefusal> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    if !is_ncname(local) || (name.contains(':') && !is_ncname(prefix)) {
        return Err(malformed(format!("{name:?} is no name")));
    }
    if prefix == "xmlns" {
        return Err(SamlCode::Namespace.because("the prefix xmlns names no element"));
    }
    Ok((prefix, local))
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Every name is looked up among them, so that their number times that of names is what counts.
const MAX_DECLARATIONS: usize = 128;
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
