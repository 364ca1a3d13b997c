//! Canonical XML 1.0 and 1.1 and Exclusive XML Canonicalization 1.0, without comments, of one
//! element of a tree.
//!
//! Two things make it short: the tree has neither comments nor processing instructions, and of
//! the attributes with the prefix `xml` only `lang` and `space` get through the parser, which
//! both versions of Canonical XML treat alike.

use super::write::{escape_text, write_name, write_value};
use super::{Attribute, Declaration, Element, Node};

/// A canonicalisation method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Canonicalization {
    /// Exclusive, with the prefixes of `InclusiveNamespaces` (the empty one for `#default`).
    Exclusive(Vec<String>),
    /// Canonical XML 1.0 or 1.1.
    Inclusive,
}

/// The canonical form of `element`, whose ancestors are `ancestors` (the root first), leaving out
/// the element `without` that stands directly inside.
pub(crate) fn canonical(
    element: &Element<'_>,
    ancestors: &[&Element<'_>],
    method: &Canonicalization,
    without: Option<&Element<'_>>,
) -> String {
    let inherited = ancestors.iter().flat_map(|it| &it.declarations);
    let mut writer = Writer {
        out: String::with_capacity(8 * 1024),
        scope: inherited.map(|it| (it.prefix, it.uri.as_ref())).collect(),
        rendered: Vec::new(),
        method,
        without,
    };
    let inherited = match method {
        Canonicalization::Inclusive => inherited_xml_attributes(element, ancestors),
        Canonicalization::Exclusive(_) => Vec::new(),
    };
    writer.element(element, true, &inherited);
    writer.out
}

struct Writer<'t> {
    out: String,
    /// Declarations in scope, the innermost last.
    scope: Vec<(&'t str, &'t str)>,
    /// Declarations that the output holds so far, the innermost last.
    rendered: Vec<(&'t str, &'t str)>,
    method: &'t Canonicalization,
    without: Option<&'t Element<'t>>,
}

impl<'t> Writer<'t> {
    fn element(&mut self, element: &'t Element<'_>, apex: bool, inherited: &[&'t Attribute<'_>]) {
        let (scope_before, rendered_before) = (self.scope.len(), self.rendered.len());
        let own = element.declarations.iter();
        self.scope.extend(own.map(|it| (it.prefix, it.uri.as_ref())));

        self.out.push('<');
        write_name(&mut self.out, element.prefix, element.local);
        self.namespaces(element, apex);
        let mut attributes: Vec<&Attribute<'_>> =
            element.attributes.iter().chain(inherited.iter().copied()).collect();
        attributes.sort_by_key(|it| (it.namespace.as_ref(), it.local));
        for attribute in attributes {
            self.out.push(' ');
            write_name(&mut self.out, attribute.prefix, attribute.local);
            write_value(&mut self.out, &attribute.value);
        }
        self.out.push('>');
        for node in &element.children {
            match node {
                Node::Text(text) => escape_text(&mut self.out, text),
                Node::Element(child) if self.is_left_out(child) => {}
                Node::Element(child) => self.element(child, false, &[]),
            }
        }
        self.out.push_str("</");
        write_name(&mut self.out, element.prefix, element.local);
        self.out.push('>');
        self.scope.truncate(scope_before);
        self.rendered.truncate(rendered_before);
    }

    fn is_left_out(&self, child: &Element<'_>) -> bool {
        self.without.is_some_and(|left_out| std::ptr::addr_eq(left_out, child))
    }

    /// Writes the declarations that this element needs and the output does not have yet.
    fn namespaces(&mut self, element: &'t Element<'_>, apex: bool) {
        let mut prefixes: Vec<&'t str> = match self.method {
            Canonicalization::Inclusive if apex => self.scope.iter().map(|it| it.0).collect(),
            Canonicalization::Inclusive => {
                element.declarations.iter().map(|it| it.prefix).collect()
            }
            Canonicalization::Exclusive(inclusive) => {
                let used = element.attributes.iter().map(|it| it.prefix);
                let used = used.filter(|prefix| !prefix.is_empty() && *prefix != "xml");
                let listed = inclusive.iter().map(String::as_str);
                let listed = listed.filter(|prefix| self.scope.iter().any(|it| it.0 == *prefix));
                used.chain([element.prefix]).chain(listed).collect()
            }
        };
        prefixes.sort_unstable();
        prefixes.dedup();
        for prefix in prefixes {
            let uri = innermost(&self.scope, prefix).unwrap_or("");
            let known = innermost(&self.rendered, prefix).unwrap_or("");
            if prefix == "xml" || uri == known {
                continue;
            }
            self.out.push_str(" xmlns");
            if !prefix.is_empty() {
                self.out.push(':');
                self.out.push_str(prefix);
            }
            write_value(&mut self.out, uri);
            self.rendered.push((prefix, uri));
        }
    }
}

fn innermost<'t>(declarations: &[(&'t str, &'t str)], prefix: &str) -> Option<&'t str> {
    declarations.iter().rev().find(|it| it.0 == prefix).map(|it| it.1)
}

/// Attributes in the namespace of `xml` that the element inherits and does not have itself.
fn inherited_xml_attributes<'t>(
    element: &Element<'_>,
    ancestors: &[&'t Element<'t>],
) -> Vec<&'t Attribute<'t>> {
    let mut found: Vec<&'t Attribute<'t>> = Vec::new();
    for ancestor in ancestors.iter().rev() {
        for attribute in ancestor.attributes.iter().filter(|it| it.prefix == "xml") {
            let mut known = element.attributes.iter().chain(found.iter().copied());
            if !known.any(|it| (it.prefix, it.local) == (attribute.prefix, attribute.local)) {
                found.push(attribute);
            }
        }
    }
    found
}

impl<'a> Declaration<'a> {
    /// All that are in scope below `ancestors` (the root first), the innermost last.
    pub(crate) fn in_scope(ancestors: &[&Element<'a>]) -> Vec<Declaration<'a>> {
        ancestors.iter().flat_map(|it| it.declarations.iter().cloned()).collect()
    }
}
