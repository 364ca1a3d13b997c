//! The list of checks that a verdict stands on, in the order in which they were made.

use std::collections::BTreeSet;

use serde::Serialize;

use super::code::SamlRefusal;
use super::legacy::LegacyAlgorithm;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, e.g. `audience`.
    pub check: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Collects checks; the first that fails is the verdict.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    list: Vec<Check>,
    first: Option<SamlRefusal>,
    legacy: BTreeSet<LegacyAlgorithm>,
}

impl Checks {
    /// Notes a check after which nothing can go on when it fails.
    pub(crate) fn stage<T>(
        &mut self,
        check: &'static str,
        passed: impl FnOnce(&T) -> String,
        outcome: Result<T, SamlRefusal>,
    ) -> Result<T, Failed> {
        match outcome {
            Ok(value) => {
                self.list.push(Check { check, ok: true, detail: passed(&value) });
                Ok(value)
            }
            Err(refusal) => {
                self.refuse(check, refusal);
                Err(Failed)
            }
        }
    }

    /// Notes a check after which the others are still made.
    pub(crate) fn note(&mut self, check: &'static str, outcome: Result<String, SamlRefusal>) {
        match outcome {
            Ok(detail) => self.list.push(Check { check, ok: true, detail }),
            Err(refusal) => self.refuse(check, refusal),
        }
    }

    /// Notes that a signature was accepted which only `allow_sha1` lets through.
    pub(crate) fn saw_legacy(&mut self, legacy: BTreeSet<LegacyAlgorithm>) {
        if !legacy.is_empty() {
            let names: Vec<&str> = legacy.iter().map(|it| it.as_str()).collect();
            let detail = format!("{}: accepted because allow_sha1 is set", names.join(", "));
            self.list.push(Check { check: "strength", ok: true, detail });
        }
        self.legacy.extend(legacy);
    }

    /// What such signatures needed, taken out.
    pub(crate) fn take_legacy(&mut self) -> BTreeSet<LegacyAlgorithm> {
        std::mem::take(&mut self.legacy)
    }

    /// Adds the checks of a part.
    pub(crate) fn append(&mut self, part: Self) {
        self.list.extend(part.list);
        if let Some(refusal) = part.first {
            self.first.get_or_insert(refusal);
        }
    }

    fn refuse(&mut self, check: &'static str, refusal: SamlRefusal) {
        self.list.push(Check { check, ok: false, detail: refusal.detail.clone() });
        self.first.get_or_insert(refusal);
    }

    /// The checks, and the first refusal.
    pub(crate) fn into_parts(self) -> (Vec<Check>, Option<SamlRefusal>) {
        (self.list, self.first)
    }

    /// Whether every check so far passed.
    pub(crate) const fn all_passed(&self) -> bool {
        self.first.is_none()
    }
}

/// A stage failed; the refusal stands in the list.
#[derive(Debug)]
pub(crate) struct Failed;
