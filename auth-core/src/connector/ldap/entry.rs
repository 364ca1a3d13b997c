//! An entry as the directory sent it: attribute names compared without case, options
//! (RFC 4512 section 2.5) understood, values as bytes until somebody asks for text.

/// One entry of a search result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The distinguished name.
    pub(super) dn: String,
    /// Attributes in server order.
    pub(super) attributes: Vec<Attribute>,
}

/// One attribute description with its values in server order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    /// Attribute description, with options.
    pub(super) name: String,
    /// Values as sent.
    pub(super) values: Vec<Vec<u8>>,
}

/// A value that is not UTF-8 where text is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotText;

impl Entry {
    /// All values of `name`: those of the very description if there are any, else those of the
    /// first description that differs by options only (`cn;lang-de`, `userCertificate;binary`).
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        // Active Directory sends `member` without values beside `member;range=0-1499`.
        let mut filled = self.attributes.iter().filter(|attribute| !attribute.values.is_empty());
        let exact = filled.clone().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
        exact
            .or_else(|| filled.find(|attribute| differs_by_options(&attribute.name, name)))
            .map_or(&[], |attribute| &attribute.values)
    }

    /// The first value of `name` in server order.
    pub(super) fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).first().map(Vec::as_slice)
    }

    /// The first value of `name` as text; blank counts as absent.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, NotText> {
        match self.first(name).map(std::str::from_utf8) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(Err(_)) => Err(NotText),
        }
    }

    /// All values of `name` that are text.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok()).collect()
    }

    /// The first value of `name` as a decimal number, e.g. `userAccountControl`.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name).ok().flatten()?.parse().ok()
    }

    /// Whether the first value of `name` is TRUE (RFC 4517 section 3.3.3; 389-ds writes any case).
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name).ok().flatten().is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The next attribute that the server cut (`member;range=0-1499`), and where to go on.
    pub(super) fn cut(&self) -> Option<RangeCut> {
        self.attributes.iter().find_map(|attribute| {
            let last = range_end(&attribute.name)?;
            Some(RangeCut {
                attribute: without_options(&attribute.name).to_owned(),
                next: last + 1,
            })
        })
    }

    /// Adds what a further read of a cut attribute brought, under its plain name. `false` when
    /// that read brought nothing, so that nobody reads on for ever.
    pub(super) fn extend(&mut self, cut: &RangeCut, further: Self) -> bool {
        let same = |name: &str| without_options(name).eq_ignore_ascii_case(&cut.attribute);
        let Some(more) =
            further.attributes.into_iter().find(|a| same(&a.name) && !a.values.is_empty())
        else {
            return false;
        };
        if let Some(mine) =
            self.attributes.iter_mut().find(|a| same(&a.name) && !a.values.is_empty())
        {
            mine.values.extend(more.values);
            mine.name =
                if range_end(&more.name).is_some() { more.name } else { cut.attribute.clone() };
        }
        true
    }
}

/// An attribute of which the server sent a part only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeCut {
    /// Plain attribute name.
    pub(super) attribute: String,
    /// Index of the first value not sent.
    pub(super) next: u64,
}

impl RangeCut {
    /// The description that asks for the rest.
    pub(super) fn description(&self) -> String {
        format!("{};range={}-*", self.attribute, self.next)
    }
}

/// Whether `description` is `name` with options. An entry is asked for many names that it lacks, so
/// this has to be cheap.
fn differs_by_options(description: &str, name: &str) -> bool {
    description.as_bytes().get(name.len()) == Some(&b';')
        && description.get(..name.len()).is_some_and(|plain| plain.eq_ignore_ascii_case(name))
}

fn without_options(description: &str) -> &str {
    description.split(';').next().unwrap_or(description)
}

/// The last index of `…;range=A-B`; `None` when there is no range or it is the last one (`B` = `*`).
fn range_end(description: &str) -> Option<u64> {
    if !description.as_bytes().contains(&b';') {
        return None;
    }
    let range = description.split(';').skip(1).find_map(|option| {
        option.get(..6).filter(|o| o.eq_ignore_ascii_case("range=")).and(option.get(6..))
    })?;
    range.split_once('-')?.1.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry from text values.
    pub(in crate::connector::ldap) fn entry(dn: &str, attributes: &[(&str, &[&str])]) -> Entry {
        Entry {
            dn: dn.to_owned(),
            attributes: attributes
                .iter()
                .map(|(name, values)| Attribute {
                    name: (*name).to_owned(),
                    values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
                })
                .collect(),
        }
    }

    #[test]
    fn names_without_case_and_with_options() {
        let entry = entry(
            "cn=a",
            &[
                ("CN;lang-de", &["Ärzte"]),
                ("cn", &["doctors", "medics"]),
                ("title;lang-fr", &["Chef"]),
            ],
        );
        assert_eq!(entry.text("Cn"), Ok(Some("doctors")));
        assert_eq!(entry.text("cn;lang-DE"), Ok(Some("Ärzte")));
        assert_eq!(entry.text("title"), Ok(Some("Chef")));
        assert_eq!(entry.text("sn"), Ok(None));
    }

    #[test]
    fn bytes_that_are_no_text_are_said() {
        let mut entry = entry("cn=a", &[("cn", &["x"])]);
        entry.attributes[0].values = vec![vec![0xff, 0xfe]];
        assert_eq!(entry.text("cn"), Err(NotText));
        assert!(entry.texts("cn").is_empty());
    }

    #[test]
    fn ranges_are_followed_to_the_end() {
        let mut group = entry("cn=g", &[("member", &[]), ("member;range=0-1", &["a", "b"])]);
        let cut = group.cut().unwrap();
        assert_eq!(cut.description(), "member;range=2-*");
        assert!(group.extend(&cut, entry("cn=g", &[("member;range=2-3", &["c", "d"])])));
        let cut = group.cut().unwrap();
        assert_eq!(cut.next, 4);
        assert!(group.extend(&cut, entry("cn=g", &[("member;Range=4-*", &["e"])])));
        assert_eq!(group.cut(), None);
        assert_eq!(group.texts("member"), ["a", "b", "c", "d", "e"]);
        assert!(!group.extend(&cut, entry("cn=g", &[])), "an empty answer ends the loop");
    }
}
