//! Reads the forms of a page, as strictly as the tests need it: every form has a method and an
//! action, every attribute is quoted, every form is closed. What a browser would repair is an error.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// `get` or `post`.
    pub method: String,
    /// Where it is sent, as written in the page.
    pub action: String,
    /// Its fields in the order of the page.
    pub fields: Vec<Field>,
}

/// An input of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `text`, `password`, `hidden`, `submit` and so on.
    pub kind: String,
    /// Empty for a field that is not sent.
    pub name: String,
    /// The value in the page.
    pub value: String,
}

impl Form {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// What a browser sends: the hidden fields as they are, the others from `values`.
    ///
    /// # Errors
    /// `values` names a field that the form does not have.
    pub fn filled(&self, values: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
        for (name, _) in values {
            ensure!(self.field(name).is_some(), "the form {} has no field {name}", self.action);
        }
        let mut sent = Vec::new();
        for field in &self.fields {
            let given = values.iter().find(|(name, _)| *name == field.name);
            match given {
                Some((name, value)) => sent.push(((*name).to_owned(), (*value).to_owned())),
                None if field.kind == "hidden" => {
                    sent.push((field.name.clone(), field.value.clone()));
                }
                None => {}
            }
        }
        Ok(sent)
    }
}

/// All forms of `page`.
///
/// # Errors
/// A form is not closed or nested, an attribute is not quoted, a method or an action is missing.
pub fn forms(page: &str) -> Result<Vec<Form>> {
    let mut forms = Vec::new();
    let mut open: Option<Form> = None;
    for tag in tags(page)? {
        match (tag.name.as_str(), open.as_mut()) {
            ("form", None) => {
                let method = tag.attribute("method").context("a form without method")?;
                let action = tag.attribute("action").context("a form without action")?;
                let method = method.to_ascii_lowercase();
                ensure!(method == "get" || method == "post", "form method {method}");
                open = Some(Form { method, action, fields: Vec::new() });
            }
            ("form", Some(_)) => bail!("a form inside a form"),
            ("/form", Some(_)) => forms.extend(open.take()),
            ("/form", None) => bail!("a form is closed that was not open"),
            ("input" | "button", Some(form)) => {
                let kind = tag.attribute("type").unwrap_or_else(|| match tag.name.as_str() {
                    "button" => "submit".into(),
                    _ => "text".into(),
                });
                let name = tag.attribute("name").unwrap_or_default();
                let value = tag.attribute("value").unwrap_or_default();
                form.fields.push(Field { kind, name, value });
            }
            _ => {}
        }
    }
    ensure!(open.is_none(), "a form is not closed");
    Ok(forms)
}

/// Text of the first element with this `id`, up to the next tag, entities resolved.
///
/// # Errors
/// The page is malformed.
pub fn text_of(page: &str, id: &str) -> Result<Option<String>> {
    let found = tags(page)?.into_iter().find(|tag| tag.attribute("id").as_deref() == Some(id));
    Ok(found.map(|tag| text_from(page, tag.end)))
}

/// Texts of all elements that carry this class, each up to the next tag.
///
/// # Errors
/// The page is malformed.
pub fn texts_of_class(page: &str, class: &str) -> Result<Vec<String>> {
    let carries = |tag: &Tag| {
        tag.attribute("class").is_some_and(|list| list.split_whitespace().any(|it| it == class))
    };
    Ok(tags(page)?.iter().filter(|tag| carries(tag)).map(|tag| text_from(page, tag.end)).collect())
}

/// The `href` of every link.
///
/// # Errors
/// The page is malformed.
pub fn links(page: &str) -> Result<Vec<String>> {
    let tags = tags(page)?;
    Ok(tags.iter().filter(|tag| tag.name == "a").filter_map(|tag| tag.attribute("href")).collect())
}

struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
    end: usize,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.get(name).cloned()
    }
}

fn tags(page: &str) -> Result<Vec<Tag>> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(start) = page.get(position..).and_then(|rest| rest.find('<')) {
        let start = position + start + 1;
        let rest = page.get(start..).unwrap_or_default();
        if let Some(comment) = rest.strip_prefix("!--") {
            let length = comment.find("-->").context("a comment is not closed")?;
            position = start + 3 + length + 3;
            continue;
        }
        let length = tag_length(rest).context("a tag is not closed")?;
        let text = rest.get(..length).unwrap_or_default();
        position = start + length + 1;
        if text.starts_with('!') {
            continue;
        }
        let tag = tag(text, position).with_context(|| format!("in <{text}>"))?;
        // The content of these is no markup.
        if tag.name == "style" || tag.name == "script" {
            let end = format!("</{}", tag.name);
            let rest = page.get(position..).unwrap_or_default();
            position += rest.find(&end).with_context(|| format!("{end} is missing"))?;
        }
        found.push(tag);
    }
    Ok(found)
}

// A `>` inside quotes does not end a tag.
fn tag_length(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(index, char)| match char {
        '"' => {
            quoted = !quoted;
            None
        }
        '>' if !quoted => Some(index),
        _ => None,
    })
}

fn tag(text: &str, end: usize) -> Result<Tag> {
    let text = text.trim_end_matches('/').trim();
    let (name, mut rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let length = rest.find(|char: char| char == '=' || char.is_whitespace());
        let (key, after) = rest.split_at(length.unwrap_or(rest.len()));
        let mut value = "";
        rest = after;
        if let Some(after) = rest.strip_prefix('=') {
            let quoted = after.strip_prefix('"').context("an attribute is not quoted")?;
            (value, rest) = quoted.split_once('"').context("an attribute is not closed")?;
        }
        let repeated = attributes.insert(key.to_ascii_lowercase(), unescape(value)?);
        ensure!(repeated.is_none(), "the attribute {key} stands twice");
    }
    Ok(Tag { name: name.to_ascii_lowercase(), attributes, end })
}

fn text_from(page: &str, start: usize) -> String {
    let rest = page.get(start..).unwrap_or_default();
    let text = rest.split('<').next().unwrap_or_default().trim();
    unescape(text).unwrap_or_else(|_| text.to_owned())
}

fn unescape(text: &str) -> Result<String> {
    let mut plain = String::new();
    let mut parts = text.split('&');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (entity, rest) = part.split_once(';').context("a bare & in a value")?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numeric(entity).with_context(|| format!("the entity &{entity};"))?,
        });
        plain.push_str(rest);
    }
    Ok(plain)
}

fn numeric(entity: &str) -> Option<char> {
    let number = entity.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!doctype html><style>a > b { } </style><!-- <form> -->
        <a href="/login/okta?a=1&amp;b=2">Okta</a>
        <form method="post" action="/login/corp"><input name="username" autofocus>
        <input type="password" name="password"/><input type="hidden" name="csrf" value="a&#x3e;&quot;b">
        <button>Sign in</button></form><code class="x secret" id="totp-secret">AB&amp;C</code>"#;

    #[test]
    fn forms_links_and_texts() {
        let forms = forms(PAGE).unwrap();
        assert_eq!(forms.len(), 1);
        assert_eq!((forms[0].method.as_str(), forms[0].action.as_str()), ("post", "/login/corp"));
        let sent = forms[0].filled(&[("username", "a"), ("password", "b")]).unwrap();
        let sent: Vec<_> = sent.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(sent, [("username", "a"), ("password", "b"), ("csrf", "a>\"b")]);
        assert!(forms[0].filled(&[("user", "a")]).is_err());
        assert_eq!(links(PAGE).unwrap(), ["/login/okta?a=1&b=2"]);
        assert_eq!(text_of(PAGE, "totp-secret").unwrap().unwrap(), "AB&C");
        assert_eq!(texts_of_class(PAGE, "secret").unwrap(), ["AB&C"]);
    }

    #[test]
    fn what_a_browser_would_repair_is_an_error() {
        for bad in [
            r#"<form method="post" action="/">"#,
            r#"<form action="/"></form>"#,
            r#"<form method=post action="/"></form>"#,
            r#"<form method="post"></form>"#,
            r#"<form method="post" action="/a&b"></form>"#,
            r#"<form method="post" method="get" action="/"></form>"#,
            "</form>",
            "<a href=\"",
            "<!-- ",
        ] {
            assert!(forms(bad).is_err(), "{bad}");
        }
    }
}
