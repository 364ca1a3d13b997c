//! Running cached statements and reading rows back.
//!
//! A column that cannot be read is `Corrupt`, with the names of the record and the column.

use std::fmt::Display;

use auth_core::clock::Timestamp;
use auth_core::secret::TokenHash;
use auth_core::store::StoreError;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, ToSql};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::failure;

/// The columns of a row, taken from left to right.
pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
    record: &'static str,
}

impl Columns<'_, '_> {
    /// Says whose columns come next, for errors.
    pub(super) const fn of(&mut self, record: &'static str) -> &mut Self {
        self.record = record;
        self
    }

    /// The next column as it is.
    pub(super) fn take<T: FromSql>(&mut self) -> Result<T, StoreError> {
        self.convert(Ok::<T, String>)
    }

    /// The next column as a moment.
    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.take().map(Timestamp::from_millis)
    }

    /// The next column as a moment or none.
    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// The next column as an id.
    pub(super) fn uuid(&mut self) -> Result<Uuid, StoreError> {
        self.take().map(Uuid::from_bytes)
    }

    /// The next column as an id or none.
    pub(super) fn optional_uuid(&mut self) -> Result<Option<Uuid>, StoreError> {
        Ok(self.take::<Option<[u8; 16]>>()?.map(Uuid::from_bytes))
    }

    /// The next column as a hash.
    pub(super) fn hash(&mut self) -> Result<TokenHash, StoreError> {
        self.take().map(TokenHash::from_bytes)
    }

    /// The next column as a hash or none.
    pub(super) fn optional_hash(&mut self) -> Result<Option<TokenHash>, StoreError> {
        Ok(self.take::<Option<[u8; 32]>>()?.map(TokenHash::from_bytes))
    }

    /// The next column as a value kept as JSON text.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        self.convert(|text: String| serde_json::from_str(&text))
    }

    /// The next column as a value kept as JSON text, or none.
    pub(super) fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        self.convert(|text: Option<String>| {
            text.map(|text| serde_json::from_str(&text)).transpose()
        })
    }

    /// The next column as a word of a closed list.
    pub(super) fn word<T>(&mut self, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        self.convert(|text: String| parse(&text).ok_or_else(|| format!("unknown word {text:?}")))
    }

    fn convert<C: FromSql, T, E: Display>(
        &mut self,
        convert: impl FnOnce(C) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let index = self.next;
        self.next += 1;
        match self.row.get::<_, C>(index) {
            Ok(stored) => convert(stored).map_err(|error| self.damaged(index, &error)),
            Err(error) => Err(self.damaged(index, &error)),
        }
    }

    fn damaged(&self, index: usize, why: &dyn Display) -> StoreError {
        let column = self.row.as_ref().column_name(index).unwrap_or("(unnamed)");
        StoreError::Corrupt { message: format!("column {column} of {}: {why}", self.record) }
    }
}

/// The first row of a query.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    read: impl FnOnce(&mut Columns<'_, '_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    let mut rows = statement.query(params).map_err(failure)?;
    match rows.next().map_err(failure)? {
        Some(row) => read(&mut Columns { row, next: 0, record: "a row" }).map(Some),
        None => Ok(None),
    }
}

/// All rows of a query.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    read: impl Fn(&mut Columns<'_, '_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    let mut rows = statement.query(params).map_err(failure)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        found.push(read(&mut Columns { row, next: 0, record: "a row" })?);
    }
    Ok(found)
}

/// Executes a statement that returns no rows; how many rows it changed.
pub(super) fn change(
    connection: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<usize, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(failure)
}

/// A value as the JSON text that [`Columns::json`] reads.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt {
        message: format!("cannot be kept as JSON: {error}"),
    })
}

/// A limit as SQLite wants it.
pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
