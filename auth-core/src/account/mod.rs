//! MAY THEY: from a verified identity to an account. Pure rules; the broker loads and saves.

mod admission;
mod id_migration;
mod name;

pub use admission::{Admission, AdmissionRefusal, admit, apply_profile, new_account};
pub use id_migration::{EntryIds, IdMigration, MoveConflict, plan_id_migration, plan_id_undo};
pub use name::{InvalidName, email_key, normalise, validate_username};
