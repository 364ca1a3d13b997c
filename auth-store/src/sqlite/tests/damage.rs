//! Rows and files that cannot be read, and queries that would read too much.

use auth_core::store::{AccountId, AccountStore as _, StoreError};
use rusqlite::Connection;
use uuid::Uuid;

use super::{account, fresh_file, in_memory, open};
use crate::sqlite::error::failure;
use crate::sqlite::purge::PURGES;
use crate::{StoreOptions, look};

#[tokio::test]
async fn a_damaged_row_is_corrupt_and_its_column_named() {
    let store = in_memory();
    store.create_account(account(1), vec![]).await.unwrap();
    for (damage, column) in [
        ("roles = 'no JSON'", "column roles of account"),
        ("roles = '[]', username = CAST(x'ff' AS TEXT)", "column username of account"),
    ] {
        store
            .write(move |c| {
                c.execute_batch(&format!("UPDATE account SET {damage}")).map_err(failure)
            })
            .await
            .unwrap();
        let answer = store.account(AccountId(Uuid::from_u128(1))).await;
        let Err(StoreError::Corrupt { message }) = answer else { panic!("{answer:?}") };
        assert!(message.contains(column), "{message}");
    }
}

#[tokio::test]
async fn a_file_of_another_kind_is_corrupt_and_left_alone() {
    let (_folder, file) = fresh_file();
    let text = "This is no database. ".repeat(100);
    std::fs::write(&file, &text).unwrap();
    let options =
        StoreOptions { url: format!("sqlite://{}", file.display()), ..StoreOptions::default() };
    assert!(matches!(look(&options).await, Err(StoreError::Corrupt { .. })));
    assert!(matches!(crate::open(&options, &[]).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn what_runs_often_or_over_many_rows_uses_an_index() {
    let (_folder, file) = fresh_file();
    let _store = open(&file);
    let c = Connection::open(&file).unwrap();
    let often = PURGES.iter().map(|purge| purge.sql()).chain(crate::sqlite::sessions::INDEXED);
    for sql in often {
        let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = statement.parameter_count();
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get("detail"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let scans: Vec<_> = plan
            .iter()
            .filter(|step| step.starts_with("SCAN") || step.contains("AUTOMATIC"))
            .filter(|step| !matches!(step.as_str(), "SCAN tree" | "SCAN CONSTANT ROW"))
            .collect();
        assert!(scans.is_empty(), "{sql}: {plan:#?}");
    }
}
