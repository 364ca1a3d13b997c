//! MAY THEY: from a verified identity to an account. Pure rules; the broker loads and saves.

mod admission;
#[cfg(test)]
pub(crate) mod admission_tests;
mod id_migration;
pub mod linking;
pub mod migration;
mod name;
mod role_map;
pub mod rules;

pub use admission::{Admission, AdmissionRefusal, admit, apply_profile, new_account};
pub use id_migration::{EntryIds, IdMigration, MoveConflict, plan_id_migration, plan_id_undo};
pub use name::{InvalidName, email_key, normalise, validate_username};
pub use role_map::{ROLES, RoleRule, with_roles};
