//! Statements are compiled once.

use auth_core::store::Store as _;
use rusqlite::{StatementStatus, params};

use super::{fresh_file, open};
use crate::sqlite::file::{Place, connect_reader};
use crate::sqlite::tokens::ACCESS_TOKEN;

/// Where a plan may depend on bound values, SQLite compiles the statement anew each time that it
/// comes back from the cache, which takes many times as long as the look-up itself.
#[tokio::test]
async fn a_cached_statement_is_not_compiled_anew() {
    let (_folder, file) = fresh_file();
    open(&file).close().await;
    let connection = connect_reader(&Place::File(file)).unwrap();
    for n in 0..5u8 {
        let mut look_up = connection.prepare_cached(ACCESS_TOKEN).unwrap();
        assert!(!look_up.exists(params![[n; 32]]).unwrap());
        assert_eq!(look_up.get_status(StatementStatus::RePrepare), 0);
    }
}
