//! `[admin]`: which accounts administer the broker.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::finding::{KeyPath, Problems};

/// Who administers the broker, beside the holders of API tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawAdmin {
    /// User names of accounts that may administer the broker after a fresh second factor.
    /// Directory synchronisation never deactivates them.
    accounts: Vec<String>,
}

/// Who administers the broker.
#[derive(Debug)]
pub(crate) struct Admin {
    /// User names, in the form in which names are compared.
    pub(crate) accounts: Vec<String>,
}

impl RawAdmin {
    pub(in crate::config) fn resolve(self, at: &KeyPath, problems: &mut Problems) -> Admin {
        let mut names = BTreeSet::new();
        for (index, name) in self.accounts.iter().enumerate() {
            let at = at.key("accounts").index(index);
            if let Err(error) = auth_core::account::validate_username(name) {
                problems.error(&at, error.to_string(), "give the user name of an account");
            } else if !names.insert(auth_core::account::normalise(name)) {
                problems.warning(&at, "is listed twice", "remove one");
            }
        }
        Admin { accounts: names.into_iter().collect() }
    }
}
