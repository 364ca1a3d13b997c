//! What is wrong with a configuration, all of it at once.
//!
//! Every check adds a [`Finding`] to [`Problems`] and goes on; nothing stops at the first error.
//! A finding names the key, says what is wrong and how to mend it, and never repeats a value that
//! could be a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The daemon does not start with it.
    Error,
    /// The daemon starts, but somebody should look at it.
    Warning,
}

impl Severity {
    /// The word in front of a finding.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The key, e.g. `directory[0].servers[1]`; empty for the file as a whole.
    pub(crate) key: String,
    /// The `id` of the table that the key belongs to, where it has one.
    pub(crate) id: Option<String>,
    /// The environment variable that gave the value, where one did.
    pub(crate) variable: Option<String>,
    /// What is wrong.
    pub(crate) problem: String,
    /// How to mend it.
    pub(crate) repair: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(id) = &self.id {
            write!(f, " ({id})")?;
        }
        if let Some(variable) = &self.variable {
            write!(f, " [from {variable}]")?;
        }
        if !self.key.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.problem)?;
        if !self.repair.is_empty() {
            write!(f, "; {}", self.repair)?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used: every problem that was found.
#[derive(Debug)]
pub(crate) struct ConfigErrors {
    /// The file, when one was found.
    pub(crate) path: Option<PathBuf>,
    /// Errors first, then warnings.
    pub(crate) findings: Vec<Finding>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{} cannot be used:", path.display())?,
            None => f.write_str("no usable configuration:")?,
        }
        for finding in &self.findings {
            write!(f, "\n  {}: {finding}", finding.severity.as_str())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The place of a setting, e.g. `directory[0].servers[1]` of the directory `corp`.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyPath {
    text: String,
    id: Option<String>,
}

impl KeyPath {
    /// The file as a whole.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The setting `name` below this one.
    pub(crate) fn key(&self, name: &str) -> Self {
        let text =
            if self.text.is_empty() { name.to_owned() } else { format!("{}.{name}", self.text) };
        Self { text, id: self.id.clone() }
    }

    /// Entry `index` of this list.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self { text: format!("{}[{index}]", self.text), id: self.id.clone() }
    }

    /// The same place, in a table that is known by `id`.
    pub(crate) fn named(mut self, id: Option<&str>) -> Self {
        if let Some(id) = id.filter(|id| !id.is_empty() && id.len() <= 64) {
            self.id = Some(id.to_owned());
        }
        self
    }

    /// The key as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    findings: Vec<Finding>,
    variables: BTreeMap<String, String>,
}

impl Problems {
    /// Notes that `variable` gave the value of `at`, so that a finding about it can say so.
    pub(super) fn note_variable(&mut self, at: &KeyPath, variable: &str) {
        self.variables.insert(at.text.clone(), variable.to_owned());
    }

    /// Adds an error.
    pub(crate) fn error(
        &mut self,
        at: &KeyPath,
        problem: impl Into<String>,
        repair: impl Into<String>,
    ) {
        self.add(Severity::Error, at, problem.into(), repair.into());
    }

    /// Adds a warning.
    pub(crate) fn warning(
        &mut self,
        at: &KeyPath,
        problem: impl Into<String>,
        repair: impl Into<String>,
    ) {
        self.add(Severity::Warning, at, problem.into(), repair.into());
    }

    /// Adds an error about a setting that has to be there, unless another error about the same
    /// setting (a wrong type, say) already explains why it is not.
    pub(crate) fn missing(&mut self, at: &KeyPath, repair: impl Into<String>) {
        if !self.has_errors_at(at) {
            self.error(at, "is missing", repair);
        }
    }

    /// Whether an error was found at this setting or below it.
    pub(crate) fn has_errors_at(&self, at: &KeyPath) -> bool {
        self.errors().any(|finding| is_at_or_below(&finding.key, &at.text))
    }

    /// Whether there is any error.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// All findings, errors first.
    pub(crate) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.severity);
        self.findings
    }

    fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    fn add(&mut self, severity: Severity, at: &KeyPath, problem: String, repair: String) {
        let variable = self
            .variables
            .iter()
            .filter(|(key, _)| is_at_or_below(&at.text, key))
            .max_by_key(|(key, _)| key.len())
            .map(|(_, variable)| variable.clone());
        let (key, id) = (at.text.clone(), at.id.clone());
        self.findings.push(Finding { severity, key, id, variable, problem, repair });
    }
}

fn is_at_or_below(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']) || ancestor.is_empty())
}
