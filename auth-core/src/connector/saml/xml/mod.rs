//! XML as SAML needs it, and no more: a strict parser into a small tree with qualified names and
//! the namespace declarations of each element, and a writer whose output has the same canonical
//! form as what was read.
//!
//! One parser for everything: for what arrives, for what was decrypted and for what the engine
//! verified. Names are kept as written, for canonical XML keeps prefixes. CDATA counts as text.
//! DOCTYPE, processing instructions and (outside metadata) comments are refused, so that no two
//! parsers can differ about them.

mod canonical;
mod characters;
mod parse;
mod prescan;
mod start_tag;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

pub(crate) use canonical::{Canonicalization, canonical};
pub(crate) use parse::{parse, parse_fragment};
pub(crate) use write::{escape_attribute, escape_text, write};

use super::code::{SamlCode, SamlRefusal};

/// Namespace of protocol messages.
pub(crate) const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Namespace of assertions.
pub(crate) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Namespace of metadata.
pub(crate) const MD: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// Namespace of XML signatures.
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Namespace of XML encryption.
pub(crate) const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
/// Namespace of XML encryption 1.1.
pub(crate) const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
/// Namespace that the prefix `xml` is bound to.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// What a document may have at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Levels of elements.
    pub(crate) depth: usize,
    /// Elements.
    pub(crate) elements: usize,
    /// Attributes and declarations of one element.
    pub(crate) attributes: usize,
    /// Whether comments are dropped instead of refused.
    pub(crate) comments: bool,
}

impl Limits {
    /// For messages.
    pub(crate) const MESSAGE: Self =
        Self { bytes: 256 * 1024, depth: 40, elements: 5000, attributes: 64, comments: false };

    /// For metadata, which people write and comment.
    pub(crate) const METADATA: Self = Self {
        bytes: 4 * 1024 * 1024,
        depth: 40,
        elements: 100_000,
        attributes: 64,
        comments: true,
    };
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Prefix as written; empty for none.
    pub(crate) prefix: &'a str,
    /// Local name.
    pub(crate) local: &'a str,
    /// Namespace; empty for none.
    pub(crate) namespace: Cow<'a, str>,
    /// Namespace declarations of this very element, as written.
    pub(crate) declarations: Vec<Declaration<'a>>,
    /// Attributes, as written.
    pub(crate) attributes: Vec<Attribute<'a>>,
    /// What is inside. Two texts never stand side by side, and none is empty.
    pub(crate) children: Vec<Node<'a>>,
}

/// `xmlns:prefix="uri"`; an empty prefix is the default namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declaration<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) uri: Cow<'a, str>,
}

/// An attribute; one without prefix is in no namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) value: Cow<'a, str>,
}

/// What stands in an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node<'a> {
    Element(Element<'a>),
    Text(Cow<'a, str>),
}

impl<'a> Element<'a> {
    /// Whether it has this name.
    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && self.namespace == namespace
    }

    /// An attribute without prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|it| it.prefix.is_empty() && it.local == name);
        found.map(|attribute| attribute.value.as_ref())
    }

    /// The elements directly inside.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements of this name directly inside.
    pub(crate) fn all<'s>(
        &'s self,
        namespace: &'s str,
        local: &'s str,
    ) -> impl Iterator<Item = &'s Element<'a>> {
        self.elements().filter(move |element| element.is(namespace, local))
    }

    /// The one element of this name directly inside, if there is one.
    ///
    /// # Errors
    /// `structure` when there are several.
    pub(crate) fn optional(
        &self,
        namespace: &str,
        local: &str,
    ) -> Result<Option<&Element<'a>>, SamlRefusal> {
        let mut found = self.elements().filter(|element| element.is(namespace, local));
        let first = found.next();
        match found.next() {
            Some(_) => {
                Err(SamlCode::Structure
                    .because(format!("{} holds {local} more than once", self.local)))
            }
            None => Ok(first),
        }
    }

    /// The one element of this name directly inside.
    ///
    /// # Errors
    /// `structure` when there is none, or several.
    pub(crate) fn required(
        &self,
        namespace: &str,
        local: &str,
    ) -> Result<&Element<'a>, SamlRefusal> {
        self.optional(namespace, local)?
            .ok_or_else(|| SamlCode::Structure.because(format!("{} holds no {local}", self.local)))
    }

    /// The whole text of an element that holds text only; empty when it holds nothing.
    ///
    /// # Errors
    /// `mixed_text` when an element stands inside: text is never read in part.
    pub(crate) fn text(&self) -> Result<&str, SamlRefusal> {
        match self.children.as_slice() {
            [] => Ok(""),
            [Node::Text(text)] => Ok(text),
            _ => Err(SamlCode::MixedText
                .because(format!("{} holds an element beside its text", self.local))),
        }
    }

    /// Whether only blanks stand between the elements inside.
    pub(crate) fn holds_elements_only(&self) -> bool {
        self.children.iter().all(|node| match node {
            Node::Element(_) => true,
            Node::Text(text) => text.bytes().all(|b| b.is_ascii_whitespace()),
        })
    }

    /// Calls `see` for this element and all below it.
    pub(crate) fn walk<'s>(&'s self, see: &mut impl FnMut(&'s Element<'a>)) {
        see(self);
        for element in self.elements() {
            element.walk(see);
        }
    }
}
