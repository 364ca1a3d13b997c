//! What a connection is told by its configuration.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::preset::Preset;

/// In a list of attribute names: the NameID itself.
pub const NAME_ID: &str = "@name_id";

/// Settings of a connection. [`SamlSettings::new`] gives the defaults of a preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlSettings {
    /// Id of the connection.
    pub id: String,
    /// What people read on the sign-in page.
    pub label: String,
    /// Kind of identity provider.
    pub preset: Preset,
    /// Our entity id.
    pub sp_entity_id: String,
    /// Our assertion consumer service.
    pub acs_url: String,
    /// Our single logout service.
    pub slo_url: String,
    /// Whether the identity provider may begin by itself.
    pub allow_idp_initiated: bool,
    /// Legacy: SHA-1, and RSA keys of 1024 to 2047 bits.
    pub allow_sha1: bool,
    /// Difference of clocks that is tolerated; at most 300 seconds.
    pub clock_skew: Duration,
    /// Whether requests are signed.
    pub sign_requests: bool,
    /// Whether our metadata is signed.
    pub sign_metadata: bool,
    /// How requests are sent.
    pub request_binding: RequestBinding,
    /// Whether an assertion that is not encrypted is refused.
    pub require_encryption: bool,
    /// NameID format to ask for; `None` asks for nothing.
    pub name_id_format: Option<String>,
    /// Whether everybody has to authenticate anew.
    pub force_authn: bool,
    /// Whether signing out here leads on to the identity provider's sign-out, where it has one.
    pub sign_out_upstream: bool,
    /// Authentication context classes to ask for; empty asks for nothing.
    pub authn_context: Vec<String>,
    /// Which attribute becomes what.
    pub attributes: AttributeMap,
    /// Who matches one of these has the role `administrator`.
    pub admin_rules: Vec<AttributeRule>,
    /// Who matches one of these has the role `guest`.
    pub guest_rules: Vec<AttributeRule>,
}

impl SamlSettings {
    /// The defaults of `preset`.
    #[must_use]
    pub fn new(id: &str, preset: Preset, sp_entity_id: &str, acs_url: &str, slo_url: &str) -> Self {
        Self {
            id: id.to_owned(),
            label: id.to_owned(),
            preset,
            sp_entity_id: sp_entity_id.to_owned(),
            acs_url: acs_url.to_owned(),
            slo_url: slo_url.to_owned(),
            allow_idp_initiated: false,
            allow_sha1: false,
            clock_skew: Duration::from_secs(60),
            sign_requests: preset.signs_requests(),
            sign_metadata: false,
            request_binding: RequestBinding::Redirect,
            require_encryption: false,
            name_id_format: preset.name_id_format().map(str::to_owned),
            force_authn: false,
            sign_out_upstream: true,
            authn_context: Vec::new(),
            attributes: preset.attributes(),
            admin_rules: Vec::new(),
            guest_rules: Vec::new(),
        }
    }
}

/// How an AuthnRequest is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBinding {
    /// HTTP-POST: a form that the browser sends on.
    Post,
    /// HTTP-Redirect: in the query of a URL.
    Redirect,
}

/// Which attribute becomes what: names that are tried in their order, each first as `Name`, then
/// as `FriendlyName`, byte for byte. [`NAME_ID`] stands for the NameID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeMap {
    /// An immutable attribute by which the account is found again, instead of the NameID.
    pub id: Option<String>,
    /// User name.
    pub username: Vec<String>,
    /// E-mail address.
    pub email: Vec<String>,
    /// Given name.
    pub first_name: Vec<String>,
    /// Family name.
    pub last_name: Vec<String>,
    /// Nickname or display name.
    pub nickname: Vec<String>,
    /// Position, e.g. a job title.
    pub position: Vec<String>,
    /// Language.
    pub locale: Vec<String>,
    /// Groups; all values count.
    pub groups: Vec<String>,
    /// Further claims: attribute by claim name; all values count.
    pub claims: BTreeMap<String, String>,
}

/// `name=value`: somebody who has this value in this attribute. The name is an attribute's, or
/// `groups` for the mapped groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeRule {
    /// The attribute.
    pub name: String,
    /// The value, byte for byte.
    pub value: String,
}

/// The text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no rule: write it as name=value")]
pub struct NoRule;

impl FromStr for AttributeRule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or(NoRule)?;
        if name.is_empty() || value.is_empty() {
            return Err(NoRule);
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_name_and_value() {
        let rule: AttributeRule = "groups=cn=admins,dc=example".parse().unwrap();
        assert_eq!((rule.name.as_str(), rule.value.as_str()), ("groups", "cn=admins,dc=example"));
        for bad in ["", "groups", "=x", "groups="] {
            assert_eq!(bad.parse::<AttributeRule>(), Err(NoRule), "{bad:?}");
        }
    }
}
