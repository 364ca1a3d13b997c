//! The values to paste at an identity provider, under the names that its pages have for them.

use super::name_id::{EMAIL_ADDRESS, PERSISTENT};
use super::preset::Preset;
use super::settings::{NAME_ID, SamlSettings};

/// One field at the identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupValue {
    /// What the field is called there.
    pub field: &'static str,
    /// What goes into it.
    pub value: String,
}

/// All fields, in the order in which they are filled in. `metadata_url` is where our metadata is.
#[must_use]
pub fn setup_values(settings: &SamlSettings, metadata_url: &str) -> Vec<SetupValue> {
    let names = names(settings.preset);
    let mut values = vec![
        SetupValue { field: names.acs, value: settings.acs_url.clone() },
        SetupValue { field: names.entity, value: settings.sp_entity_id.clone() },
        SetupValue { field: "Metadata URL", value: metadata_url.to_owned() },
        SetupValue { field: names.slo, value: settings.slo_url.clone() },
    ];
    if settings.preset == Preset::OneLogin {
        let escaped = settings.acs_url.replace('/', "\\/").replace('.', "\\.");
        let validator = SetupValue { field: "ACS (Consumer) URL Validator", value: escaped };
        values.insert(1, validator);
        let recipient = SetupValue { field: "Recipient", value: settings.acs_url.clone() };
        values.insert(2, recipient);
    }
    let format = settings.name_id_format.as_deref();
    let format = format.unwrap_or(settings.preset.name_id_to_choose());
    values.push(SetupValue { field: names.name_id, value: format_name(format).to_owned() });
    let map = &settings.attributes;
    for (what, list) in [
        ("Attribute: user name", &map.username),
        ("Attribute: e-mail address", &map.email),
        ("Attribute: first name", &map.first_name),
        ("Attribute: last name", &map.last_name),
        ("Attribute: nickname (optional)", &map.nickname),
        ("Attribute: position (optional)", &map.position),
        ("Attribute: locale (optional)", &map.locale),
        ("Attribute: groups (optional)", &map.groups),
    ] {
        if let Some(name) = list.iter().find(|name| *name != NAME_ID) {
            values.push(SetupValue { field: what, value: name.clone() });
        }
    }
    if let Some(id) = &map.id {
        values.push(SetupValue { field: "Attribute: immutable id", value: id.clone() });
    }
    values.push(SetupValue { field: names.signature, value: "RSA-SHA256".to_owned() });
    values
}

struct FieldNames {
    acs: &'static str,
    entity: &'static str,
    slo: &'static str,
    name_id: &'static str,
    signature: &'static str,
}

const fn names(preset: Preset) -> FieldNames {
    match preset {
        Preset::Okta => FieldNames {
            acs: "Single sign-on URL",
            entity: "Audience URI (SP Entity ID)",
            slo: "Single Logout URL",
            name_id: "Name ID format",
            signature: "Signature Algorithm",
        },
        Preset::OneLogin => FieldNames {
            acs: "ACS (Consumer) URL",
            entity: "Audience (EntityID)",
            slo: "Single Logout URL",
            name_id: "SAML nameID format",
            signature: "SAML signature algorithm",
        },
        Preset::Adfs => FieldNames {
            acs: "Relying party SAML 2.0 SSO service URL",
            entity: "Relying party trust identifier",
            slo: "SAML Logout endpoint",
            name_id: "Outgoing name ID format",
            signature: "Secure hash algorithm",
        },
        Preset::Entra => FieldNames {
            acs: "Reply URL (Assertion Consumer Service URL)",
            entity: "Identifier (Entity ID)",
            slo: "Logout Url",
            name_id: "Unique User Identifier: name identifier format",
            signature: "Signing Algorithm",
        },
        Preset::Google => FieldNames {
            acs: "ACS URL",
            entity: "Entity ID",
            slo: "Single logout (not offered)",
            name_id: "Name ID format",
            signature: "Signature algorithm",
        },
        Preset::Keycloak => FieldNames {
            acs: "Assertion Consumer Service POST Binding URL",
            entity: "Client ID",
            slo: "Logout Service Redirect Binding URL",
            name_id: "Name ID format",
            signature: "Signature algorithm",
        },
        Preset::Shibboleth | Preset::Generic => FieldNames {
            acs: "Assertion consumer service (HTTP-POST)",
            entity: "Entity ID",
            slo: "Single logout service",
            name_id: "NameID format",
            signature: "Signature algorithm",
        },
    }
}

fn format_name(format: &str) -> &str {
    match format {
        EMAIL_ADDRESS => "EmailAddress",
        PERSISTENT => "Persistent",
        super::name_id::UNSPECIFIED => "Unspecified",
        other => other,
    }
}
