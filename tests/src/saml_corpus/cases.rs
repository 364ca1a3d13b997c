//! The cases of a manifest, and how each kind is judged.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use auth_core::clock::Timestamp;
use auth_core::connector::saml::posted::{Posted, document};
use auth_core::connector::saml::{
    Expectation, IdentityProvider, Judgement, MetadataChoice, PendingRequest, SamlRefusal,
    Statement, UnspentAssertion,
};
use auth_xmlsec::XmlsecEngine;
use serde::Deserialize;
use serde_json::Value;

use super::{Connections, moment, recipes};

/// How a case is judged; see `fixtures/saml/README.md`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the page of the corpus lists them")]
pub enum Kind {
    Accepted,
    Distinct,
    Form,
    FormAccepted,
    Generated,
    LogoutAccepted,
    LogoutPost,
    Mapped,
    Metadata,
    MetadataAccepted,
    MetadataChange,
    Redirect,
    RedirectAccepted,
    RelayState,
    Replay,
    Response,
}

/// One entry of `hostile/manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Row and name; the file's name too.
    pub name: String,
    /// Row of the attack table; 0 for the common controls.
    pub row: u8,
    /// How it is judged.
    pub kind: Kind,
    /// What it is about.
    pub description: String,
    /// The connection that it is judged for.
    pub connection: String,
    /// The clock.
    pub at: String,
    /// The pending request; none: the response is not asked for.
    pub in_response_to: Option<String>,
    /// The codes of which one has to be the refusal's.
    pub expect: Vec<String>,
    /// File in the folder.
    pub file: Option<String>,
    /// For `replay` and `distinct`.
    pub second_file: Option<String>,
    /// For `replay`.
    pub second_at: Option<String>,
    /// The NameID that has to be read.
    pub name_id: Option<String>,
    /// For `generated`.
    pub recipe: Option<String>,
    /// For `generated`.
    pub count: Option<usize>,
    /// For metadata: the entity that is wanted.
    pub entity: Option<String>,
    /// For metadata: the name of the pinned certificate.
    pub pin: Option<String>,
    /// For metadata: how many keys have to be found.
    pub keys: Option<usize>,
    /// For metadata: names of the keys that were known before.
    pub known: Option<Vec<String>>,
    /// For logout: what arrives.
    pub message: Option<String>,
    /// For logout: our pending logout request.
    pub pending: Option<String>,
    /// For `mapped`: fields of the person.
    pub person: Option<serde_json::Map<String, Value>>,
    /// For `mapped`: the groups.
    pub groups: Option<Vec<String>>,
    /// For `mapped`: roles that nobody may get.
    pub roles_without: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

/// All cases of a folder.
///
/// # Errors
/// The manifest cannot be read.
pub fn load(folder: &Path) -> Result<Vec<Case>> {
    let file = folder.join("manifest.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let manifest: Manifest =
        serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    Ok(manifest.cases)
}

/// What became of a case.
#[derive(Debug)]
pub enum Verdict {
    /// Accepted.
    Accepted(Box<(Statement, UnspentAssertion)>),
    /// Refused.
    Refused(SamlRefusal),
}

impl Verdict {
    /// The code; `ok` when accepted.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "ok",
            Self::Refused(refusal) => refusal.code.as_str(),
        }
    }
}

impl Case {
    /// Its bytes: the file's, or those of its recipe.
    ///
    /// # Errors
    /// The file is not there, or the recipe is unknown.
    pub fn content(&self, folder: &Path) -> Result<Vec<u8>> {
        match (&self.file, &self.recipe) {
            (Some(file), _) => read(folder.join(file)),
            (None, Some(recipe)) => recipes::make(recipe, self.count.unwrap_or_default(), folder),
            (None, None) => bail!("{} has neither file nor recipe", self.name),
        }
    }

    /// Its clock.
    ///
    /// # Errors
    /// The manifest is wrong.
    pub fn now(&self) -> Result<Timestamp> {
        moment(&self.at)
    }

    /// Judges a decoded document as the case says.
    ///
    /// # Errors
    /// The manifest is wrong.
    pub fn judge(&self, connections: &Connections, content: &[u8]) -> Result<Verdict> {
        self.judge_at(connections, content, self.now()?)
    }

    /// The same at another time.
    ///
    /// # Errors
    /// The manifest is wrong.
    pub fn judge_at(
        &self,
        connections: &Connections,
        content: &[u8],
        now: Timestamp,
    ) -> Result<Verdict> {
        let connection = connections.get(&self.connection)?;
        let posted = match self.transport() {
            Transport::Document => Ok(content.to_vec()),
            Transport::Form => Posted::from_form(content, "SAMLResponse").map(|it| it.document),
            Transport::Base64 => document(&String::from_utf8_lossy(content)),
        };
        let posted = match posted {
            Ok(posted) => posted,
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        let expectation = match self.in_response_to.as_deref() {
            Some(id) => Expectation::Request(PendingRequest { id, forced_at: None }),
            None => Expectation::Unsolicited,
        };
        Ok(verdict(connection.verify(&posted, expectation, now)))
    }

    /// Reads metadata as the case says.
    ///
    /// # Errors
    /// The manifest is wrong.
    pub fn metadata(&self, content: &[u8]) -> Result<Result<IdentityProvider, SamlRefusal>> {
        let pins = match &self.pin {
            None => Vec::new(),
            Some(name) => vec![super::independent::fingerprint(name)?],
        };
        let choice = MetadataChoice {
            entity_id: self.entity.as_deref(),
            signed_by: &pins,
            allow_weak: false,
        };
        Ok(IdentityProvider::from_metadata(content, choice, &XmlsecEngine, self.now()?))
    }

    fn transport(&self) -> Transport {
        match (self.kind, self.recipe.as_deref()) {
            (Kind::Form | Kind::FormAccepted, _) | (_, Some("body")) => Transport::Form,
            (_, Some("blanks")) => Transport::Base64,
            _ => Transport::Document,
        }
    }
}

enum Transport {
    Document,
    Form,
    Base64,
}

/// The verdict of a judgement.
///
/// # Panics
/// When something was accepted without a statement, which is never right.
#[must_use]
#[expect(clippy::expect_used, reason = "the corpus would hide it otherwise")]
pub fn verdict(judgement: Judgement) -> Verdict {
    match judgement.outcome {
        Ok(unspent) => {
            let statement = judgement.statement.expect("a statement of what was accepted");
            Verdict::Accepted(Box::new((statement, unspent)))
        }
        Err(refusal) => Verdict::Refused(refusal),
    }
}

/// The bytes of a file.
///
/// # Errors
/// It cannot be read; the message names it.
pub fn read(file: PathBuf) -> Result<Vec<u8>> {
    std::fs::read(&file).with_context(|| file.display().to_string())
}
