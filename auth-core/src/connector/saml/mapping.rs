//! From an assertion to a person: only what the configuration maps, nothing that merely happens to
//! be there.
//!
//! Merge rule: the first configured name that has a value wins; the values of all attributes with
//! that name count together, in their order. The id and the user name must then have exactly one
//! value; of other single fields the first counts; groups and claims take all, each once. A value
//! is never split.

use super::assertion::{AssertedAttribute, AssertedValue, Assertion};
use super::code::{SamlCode, SamlRefusal};
use super::settings::{AttributeRule, NAME_ID, SamlSettings};
use crate::account::email_key;
use crate::connector::Profile;

/// Values longer than this are not taken: no name or title is.
const MAX_VALUE: usize = 4096;

/// A mapped person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// What the account is found by.
    pub(crate) subject: String,
    pub(crate) profile: Profile,
    /// What was left out, and why; for whoever sets the connection up.
    pub(crate) notes: Vec<String>,
}

/// Maps an assertion.
///
/// # Errors
/// `name_id`, `transient_name_id`, `missing_id`, `missing_username`, `group_overage`,
/// `mixed_text`.
pub(crate) fn person(
    assertion: &Assertion,
    settings: &SamlSettings,
) -> Result<Person, SamlRefusal> {
    let map = &settings.attributes;
    let mut reader = Reader { assertion, notes: Vec::new() };
    let subject = subject(&mut reader, map.id.as_deref())?;
    let username = exactly_one(&reader.values(&map.username)?).ok_or_else(|| {
        SamlCode::MissingUsername.because(format!(
            "none of {:?} has exactly one value; the identity provider sent {:?}",
            map.username.join(", "),
            reader.sent()
        ))
    })?;
    let groups = reader.values(&map.groups)?;
    if groups.is_empty() {
        reader.refuse_overage()?;
    }
    let email = reader.first(&map.email)?;
    let email = email.filter(|address| {
        let plain = email_key(address).is_some();
        if !plain {
            reader.notes.push("the e-mail attribute is no plain address".to_owned());
        }
        plain
    });
    let roles = roles(&mut reader, settings, &groups)?;
    let mut claims = std::collections::BTreeMap::new();
    for (claim, name) in &map.claims {
        let values = reader.values(std::slice::from_ref(name))?;
        if !values.is_empty() {
            claims.insert(claim.clone(), values);
        }
    }
    let profile = Profile {
        username,
        email_verified: email.is_some(),
        email,
        first_name: reader.first(&map.first_name)?,
        last_name: reader.first(&map.last_name)?,
        nickname: reader.first(&map.nickname)?,
        position: reader.first(&map.position)?,
        locale: reader.first(&map.locale)?.and_then(|text| language(&text)),
        groups,
        roles,
        claims,
    };
    Ok(Person { subject, profile, notes: reader.notes })
}

fn subject(reader: &mut Reader<'_>, id: Option<&str>) -> Result<String, SamlRefusal> {
    if let Some(name) = id {
        let values = reader.values(&[name.to_owned()])?;
        // A subject made of a NameID begins with a bracket: the two never meet.
        return exactly_one(&values).filter(|value| !value.starts_with('[')).ok_or_else(|| {
            SamlCode::MissingId.because(format!(
                "attributes.id is {name:?}, which has {} values; the identity provider sent {:?}",
                values.len(),
                reader.sent()
            ))
        });
    }
    let name_id = reader.assertion.name_id.as_ref().ok_or_else(|| {
        SamlCode::NameId.because(
            "the assertion has none: add a rule for it at the identity provider, or set \
             attributes.id",
        )
    })?;
    if name_id.is_transient() {
        return Err(SamlCode::TransientNameId.because(
            "its format is transient: ask for another by name_id_format, or set attributes.id",
        ));
    }
    Ok(name_id.subject())
}

fn roles(
    reader: &mut Reader<'_>,
    settings: &SamlSettings,
    groups: &[String],
) -> Result<Vec<String>, SamlRefusal> {
    let mut roles = Vec::new();
    for (role, rules) in
        [("administrator", &settings.admin_rules), ("guest", &settings.guest_rules)]
    {
        for AttributeRule { name, value } in rules {
            let matches = if name == "groups" {
                groups.contains(value)
            } else {
                reader.values(std::slice::from_ref(name))?.contains(value)
            };
            if matches && !roles.iter().any(|it| it == role) {
                roles.push(role.to_owned());
            }
        }
    }
    Ok(roles)
}

struct Reader<'a> {
    assertion: &'a Assertion,
    notes: Vec<String>,
}

impl Reader<'_> {
    /// All values of the first of `names` that has any, each once.
    fn values(&mut self, names: &[String]) -> Result<Vec<String>, SamlRefusal> {
        for name in names {
            let found = if name == NAME_ID {
                self.assertion.name_id.iter().map(|it| it.value.clone()).collect()
            } else {
                self.values_of(name)?
            };
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn first(&mut self, names: &[String]) -> Result<Option<String>, SamlRefusal> {
        Ok(self.values(names)?.into_iter().next())
    }

    fn values_of(&mut self, name: &str) -> Result<Vec<String>, SamlRefusal> {
        let all = &self.assertion.attributes;
        let named: Vec<&AssertedAttribute> = all.iter().filter(|it| it.name == name).collect();
        let chosen = if named.is_empty() {
            all.iter().filter(|it| it.friendly_name.as_deref() == Some(name)).collect()
        } else {
            named
        };
        let mut values: Vec<String> = Vec::new();
        for value in chosen.iter().flat_map(|attribute| &attribute.values) {
            match value {
                AssertedValue::Structured => {
                    return Err(SamlCode::MixedText.because(format!(
                        "a value of the attribute {name:?} has elements inside"
                    )));
                }
                AssertedValue::Text(text) if !is_plain(text) => {
                    self.notes.push(format!("a value of {name:?} is too long or has controls"));
                }
                AssertedValue::Text(text) if !values.contains(text) => values.push(text.clone()),
                AssertedValue::Text(_) => {}
            }
        }
        Ok(values)
    }

    fn sent(&self) -> String {
        let names = self.assertion.attributes.iter().take(40);
        names.map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Entra sends a link in place of more than 150 groups.
    fn refuse_overage(&self) -> Result<(), SamlRefusal> {
        let mut attributes = self.assertion.attributes.iter();
        match attributes.find(|it| it.name.to_ascii_lowercase().ends_with("groups.link")) {
            None => Ok(()),
            Some(link) => Err(SamlCode::GroupOverage.because(format!(
                "{} stands in place of the groups: let the identity provider send only groups \
                 that are assigned to the application",
                link.name
            ))),
        }
    }
}

fn exactly_one(values: &[String]) -> Option<String> {
    match values {
        [value] => Some(value.clone()),
        _ => None,
    }
}

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_VALUE && !text.chars().any(char::is_control)
}

/// A BCP 47 tag; `en_GB` is taken too.
fn language(text: &str) -> Option<String> {
    let tag = text.trim();
    let plain = (2..=35).contains(&tag.len())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    plain.then(|| tag.replace('_', "-"))
}

#[cfg(test)]
mod tests;
