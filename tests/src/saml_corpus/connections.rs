//! The connections of a folder's `auth-daemon.toml`, with the same defaults as the daemon's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::{PrivateKey, XmlSecurity};
use auth_core::connector::saml::{IdentityProvider, MetadataChoice, SamlConnection, SamlSettings};
use auth_xmlsec::XmlsecEngine;
use serde::Deserialize;

/// Connections by id.
#[derive(Debug)]
pub struct Connections(BTreeMap<String, SamlConnection>);

impl Connections {
    /// Reads `auth-daemon.toml` of a folder of the corpus and all that it names.
    ///
    /// # Errors
    /// A file is missing, or a connection is refused.
    pub fn load(folder: &Path, now: Timestamp) -> Result<Self> {
        let file = folder.join("auth-daemon.toml");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let written: Written = toml::from_str(&text).with_context(|| file.display().to_string())?;
        let mut found = BTreeMap::new();
        for one in written.saml {
            let connection = one
                .connection(folder, &written.public_url, now)
                .with_context(|| format!("connection {}", one.id))?;
            found.insert(one.id, connection);
        }
        Ok(Self(found))
    }

    /// The connection with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, id: &str) -> Result<&SamlConnection> {
        self.0.get(id).with_context(|| format!("no connection {id}"))
    }
}

#[derive(Deserialize)]
struct Written {
    public_url: String,
    saml: Vec<WrittenConnection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenConnection {
    id: String,
    preset: String,
    metadata_file: String,
    #[serde(default)]
    sp_key_files: Vec<String>,
    entity_id: Option<String>,
    #[serde(default)]
    allow_idp_initiated: bool,
    #[serde(default)]
    allow_sha1: bool,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

impl WrittenConnection {
    fn connection(
        &self,
        folder: &Path,
        public_url: &str,
        now: Timestamp,
    ) -> Result<SamlConnection> {
        let own = |what: &str| format!("{public_url}/saml/{}/{what}", self.id);
        let preset = self.preset.parse()?;
        let mut settings =
            SamlSettings::new(&self.id, preset, &own("metadata"), &own("acs"), &own("slo"));
        settings.allow_idp_initiated = self.allow_idp_initiated;
        settings.allow_sha1 = self.allow_sha1;
        // Nothing is sent from here.
        settings.sign_requests &= !self.sp_key_files.is_empty();
        for (field, name) in &self.attributes {
            let map = &mut settings.attributes;
            let names = match field.as_str() {
                "id" => {
                    map.id = Some(name.clone());
                    continue;
                }
                "username" => &mut map.username,
                "email" => &mut map.email,
                "first_name" => &mut map.first_name,
                "last_name" => &mut map.last_name,
                "groups" => &mut map.groups,
                other => return Err(anyhow!("attributes.{other} is not known here")),
            };
            *names = vec![name.clone()];
        }
        let document = std::fs::read(folder.join(&self.metadata_file))?;
        let choice = MetadataChoice {
            entity_id: self.entity_id.as_deref(),
            signed_by: &[],
            allow_weak: self.allow_sha1,
        };
        let idp = IdentityProvider::from_metadata(&document, choice, &XmlsecEngine, now)?;
        let keys = self.sp_key_files.iter().map(|file| key(&folder.join(file)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        Ok(SamlConnection::new(settings, idp, Arc::new(XmlsecEngine), keys)?)
    }
}

/// A key of ours, from a PEM file.
///
/// # Errors
/// The file cannot be read, or used.
pub fn key(file: &Path) -> Result<Arc<dyn PrivateKey>> {
    let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(XmlsecEngine.load_pem(&pem)?)
}
