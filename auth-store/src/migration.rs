//! Schema migrations: embedded SQL files, each with a number and a checksum.
//!
//! Both backends keep what they applied in `schema_migration(number, name, checksum, applied_at)`
//! and ask [`plan`] what is to be done. A database that is newer than this program, or whose
//! migrations are not the ones that this program carries, is refused and left as it is. The
//! backends call [`plan`] once without a lock, and again under their lock before they apply
//! anything, so that two nodes may start at once.

use auth_core::secret::{hex, sha256};
use auth_core::store::StoreError;

/// An embedded migration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Migration {
    /// Its number: 1, 2, 3, …
    pub(crate) number: i64,
    /// Its name, e.g. `initial`.
    pub(crate) name: &'static str,
    /// What it executes, in one transaction with the note that it was applied.
    pub(crate) sql: &'static str,
}

impl Migration {
    /// SHA-256 of the SQL text as lower-case hex. Carriage returns do not count, so that a
    /// checkout with other line ends is the same migration.
    pub(crate) fn checksum(&self) -> String {
        let text: Vec<u8> = self.sql.bytes().filter(|&byte| byte != b'\r').collect();
        hex(&sha256(&text))
    }
}

/// A row of `schema_migration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The migration's number.
    pub(crate) number: i64,
    /// Its name when it was applied.
    pub(crate) name: String,
    /// Its checksum when it was applied.
    pub(crate) checksum: String,
}

/// Judges what was found in a database (`applied`, in any order) against what this program
/// carries (`known`, in ascending order). Returns what is still to be applied, in order.
///
/// # Errors
/// [`StoreError::Schema`] when the schema is newer than this program, when a migration was
/// altered after it was applied, or when one is missing below an applied one.
pub(crate) fn plan<'k>(
    known: &'k [Migration],
    applied: &[Applied],
) -> Result<Vec<&'k Migration>, StoreError> {
    let newest_known = known.iter().map(|migration| migration.number).max().unwrap_or(0);
    let newest_applied = applied.iter().map(|row| row.number).max().unwrap_or(0);
    if newest_applied > newest_known {
        return Err(refusal(format!(
            "the database has schema {newest_applied}, but this program knows schema \
             {newest_known} at most; start the program version that wrote it or a newer one, or \
             restore a backup of schema {newest_known}. Nothing was changed"
        )));
    }
    for row in applied {
        let Some(migration) = known.iter().find(|migration| migration.number == row.number) else {
            return Err(refusal(format!(
                "migration {} ({}) was applied to the database, but this program (schema \
                 {newest_known}) does not carry it; start the program version that wrote the \
                 database. Nothing was changed",
                row.number, row.name
            )));
        };
        let carried = migration.checksum();
        if carried != row.checksum {
            return Err(refusal(format!(
                "migration {} ({}) was applied with checksum {}, but this program carries it with \
                 checksum {carried}; start the program version that wrote the database, or \
                 restore a backup. Nothing was changed",
                row.number, row.name, row.checksum
            )));
        }
    }
    let pending: Vec<&Migration> = known
        .iter()
        .filter(|migration| applied.iter().all(|row| row.number != migration.number))
        .collect();
    match pending.first() {
        Some(first) if first.number < newest_applied => Err(refusal(format!(
            "migration {} ({}) is missing in the database, though migration {newest_applied} was \
             applied; restore a backup. Nothing was changed",
            first.number, first.name
        ))),
        _ => Ok(pending),
    }
}

fn refusal(message: String) -> StoreError {
    StoreError::Schema { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Migration] = &[
        Migration { number: 1, name: "initial", sql: "CREATE TABLE a (b);\n" },
        Migration { number: 2, name: "more", sql: "CREATE TABLE c (d);\n" },
        Migration { number: 3, name: "most", sql: "CREATE TABLE e (f);\n" },
    ];

    fn applied(numbers: &[i64]) -> Vec<Applied> {
        numbers
            .iter()
            .map(|&number| {
                let known = KNOWN.iter().find(|m| m.number == number);
                Applied {
                    number,
                    name: known.map_or("future", |m| m.name).to_owned(),
                    checksum: known.map_or_else(|| "00".to_owned(), Migration::checksum),
                }
            })
            .collect()
    }

    fn numbers(found: &[Applied]) -> Vec<i64> {
        plan(KNOWN, found).unwrap().iter().map(|m| m.number).collect()
    }

    fn message(found: &[Applied]) -> String {
        match plan(KNOWN, found) {
            Err(StoreError::Schema { message }) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_pending_in_order() {
        assert_eq!(numbers(&[]), [1, 2, 3]);
        assert_eq!(numbers(&applied(&[1])), [2, 3]);
        assert_eq!(numbers(&applied(&[3, 1, 2])), [] as [i64; 0]);
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_numbers() {
        let text = message(&applied(&[1, 2, 3, 4]));
        assert!(text.contains("schema 4") && text.contains("schema 3"), "{text}");
    }

    #[test]
    fn an_altered_migration_is_refused_with_its_number() {
        let mut found = applied(&[1, 2]);
        found[1].checksum = "ff".to_owned();
        let text = message(&found);
        assert!(text.contains("migration 2 (more)") && text.contains("checksum ff"), "{text}");
    }

    #[test]
    fn a_gap_and_an_unknown_number_are_refused() {
        assert!(message(&applied(&[1, 3])).contains("migration 2 (more) is missing"));
        assert!(message(&applied(&[0, 1])).contains("migration 0 (future)"));
    }

    #[test]
    fn line_ends_do_not_change_a_checksum() {
        let unix = Migration { number: 1, name: "x", sql: "a;\nb;\n" };
        let dos = Migration { number: 1, name: "x", sql: "a;\r\nb;\r\n" };
        assert_eq!(unix.checksum(), dos.checksum());
        assert_ne!(unix.checksum(), Migration { number: 1, name: "x", sql: "a;b;" }.checksum());
    }
}
