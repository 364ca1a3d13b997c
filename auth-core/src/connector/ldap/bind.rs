//! The plan of a login: which search finds the entry of what was typed, and what is refused
//! before any server hears of it.

use super::dn;
use super::filter;
use super::preset::Preset;
use super::settings::LdapSettings;
use crate::connector::Refusal;

const MAX_USERNAME: usize = 256;
const MAX_PASSWORD: usize = 1024;
const PLACEHOLDER: &str = "{username}";

/// Where a search starts and how deep it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The base entry alone.
    Base,
    /// As the settings say.
    Configured,
}

/// The one search that finds a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoginPlan {
    /// Base of the search.
    pub(super) base: String,
    /// Its depth.
    pub(super) depth: Depth,
    /// Its filter.
    pub(super) filter: String,
}

/// Plans the search for `username`, or refuses what cannot be a name and password. The bind then
/// goes to the DN of the entry found, so that the person read and the person bound are the same.
pub(super) fn plan(
    settings: &LdapSettings,
    username: &str,
    password: &str,
) -> Result<LoginPlan, Refusal> {
    let username = username.trim();
    // RFC 4513 section 5.1.2: a bind with a name and no password succeeds as anonymous.
    if password.is_empty() {
        return Err(Refusal::EmptyPassword);
    }
    if username.is_empty()
        || username.chars().count() > MAX_USERNAME
        || username.chars().any(char::is_control)
        || password.len() > MAX_PASSWORD
        || password.contains('\0')
    {
        return Err(Refusal::MalformedInput);
    }
    let user_filter = settings.user_filter.as_str();
    Ok(match settings.user_dn_template.as_deref() {
        Some(template) if template.contains('=') => LoginPlan {
            base: template.replacen(PLACEHOLDER, &dn::escape_value(username), 1),
            depth: Depth::Base,
            filter: filter::all_of(&[user_filter]),
        },
        Some(template) => {
            let name = template.replacen(PLACEHOLDER, username, 1);
            let named = filter::equals("userPrincipalName", &name);
            LoginPlan {
                base: settings.base_dn.clone(),
                depth: Depth::Configured,
                filter: filter::all_of(&[user_filter, &named]),
            }
        }
        None => LoginPlan {
            base: settings.base_dn.clone(),
            depth: Depth::Configured,
            filter: filter::all_of(&[user_filter, &any_login(settings, username)]),
        },
    })
}

fn any_login(settings: &LdapSettings, username: &str) -> String {
    let names: Vec<String> = settings
        .login_attributes
        .iter()
        .map(|attribute| filter::equals(attribute, bare_name(settings.preset, attribute, username)))
        .collect();
    filter::any_of(&names)
}

/// `CORP\alice` is `alice` for `sAMAccountName`, as people of such domains are used to type it.
fn bare_name<'a>(preset: Preset, attribute: &str, username: &'a str) -> &'a str {
    match username.split_once('\\') {
        Some((_, name))
            if preset == Preset::ActiveDirectory
                && attribute.eq_ignore_ascii_case("sAMAccountName")
                && !name.is_empty() =>
        {
            name
        }
        _ => username,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn settings(preset: Preset) -> LdapSettings {
        LdapSettings::new("corp", preset, vec![Url::parse("ldaps://x").unwrap()], "dc=x")
    }

    #[test]
    fn nothing_is_asked_for_input_that_cannot_be_right() {
        let settings = settings(Preset::OpenLdap);
        let check = |username: &str, password: &str, expected| {
            assert_eq!(plan(&settings, username, password).unwrap_err(), expected, "{username:?}");
        };
        check("alice", "", Refusal::EmptyPassword);
        check("", "", Refusal::EmptyPassword);
        for name in ["", "  ", "a\0b", "a\nb", &"a".repeat(257)] {
            check(name, "x", Refusal::MalformedInput);
        }
        check("alice", "a\0b", Refusal::MalformedInput);
        check("alice", &"a".repeat(1025), Refusal::MalformedInput);
        assert!(plan(&settings, &"ä".repeat(256), " ").is_ok());
    }

    #[test]
    fn what_is_typed_is_one_value() {
        let plan = plan(&settings(Preset::OpenLdap), "*)(uid=*", "x").unwrap();
        let typed = "\\2a\\29\\28uid=\\2a";
        assert_eq!(plan.filter, format!("(&(objectClass=person)(|(uid={typed})(mail={typed})))"));
    }

    #[test]
    fn a_domain_prefix_counts_for_the_account_name_only() {
        let plan = plan(&settings(Preset::ActiveDirectory), "CORP\\alice", "x").unwrap();
        assert!(
            plan.filter.ends_with("(|(sAMAccountName=alice)(userPrincipalName=CORP\\5calice)))"),
            "{}",
            plan.filter
        );
    }

    #[test]
    fn templates_for_dns_and_principal_names() {
        let mut settings = settings(Preset::OpenLdap);
        settings.user_dn_template = Some("uid={username},ou=people,dc=x".into());
        let by_dn = plan(&settings, "a,dc=evil", "x").unwrap();
        assert_eq!(by_dn.base, "uid=a\\,dc\\=evil,ou=people,dc=x");
        assert_eq!((by_dn.depth, by_dn.filter.as_str()), (Depth::Base, "(objectClass=person)"));

        settings.user_dn_template = Some("{username}@example.com".into());
        let by_name = plan(&settings, "a*", "x").unwrap();
        assert_eq!(by_name.base, "dc=x");
        assert_eq!(by_name.filter, "(&(objectClass=person)(userPrincipalName=a\\2a@example.com))");
    }
}
