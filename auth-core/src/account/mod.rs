//! MAY THEY: from a verified identity to an account. Pure rules; the broker loads and saves.

mod admission;
mod name;

pub use admission::{Admission, AdmissionRefusal, admit, apply_profile, new_account};
pub use name::{InvalidName, email_key, normalise, validate_username};
