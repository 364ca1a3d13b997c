//! Pending logins and their steps.

use std::sync::Arc;

use super::{Outcome, cases, given, sample};
use crate::store::{LoginRecord, Store};
use sample::at;

cases!("logins", Case: a_login_reads_back, advance_is_compare_and_swap);

async fn a_login_reads_back(store: Arc<dyn Store>) -> Outcome {
    assert_eq!(store.login(sample::hash("login handle", 1)).await?, None);
    for n in [1, 2] {
        store.add_login(sample::login(n)).await?;
    }
    for n in [1, 2] {
        // The store has no clock: whether it is expired is not its question.
        let login = sample::login(n);
        assert_eq!(store.login(login.handle).await?, Some(login));
    }
    assert_eq!(store.login(sample::login(1).browser).await?, None, "the browser is no handle");
    Ok(())
}

async fn advance_is_compare_and_swap(store: Arc<dyn Store>) -> Outcome {
    store.add_login(sample::login(1)).await?;
    store.add_login(sample::login(2)).await?;
    let next = LoginRecord {
        browser: sample::hash("login browser", 9),
        state: "{\"step\":\"totp\",\"name\":\"Zoë\"}".to_owned(),
        expires_at: at(950),
        ..sample::login(1)
    };
    assert!(store.advance_login(next.clone(), vec![sample::event(1)]).await?);
    let stored = LoginRecord { version: 8, ..next };
    assert_eq!(store.login(stored.handle).await?, Some(stored.clone()));
    for version in [7, 9, 0] {
        let stale = LoginRecord { version, state: "stale".to_owned(), ..stored.clone() };
        let moved = store.advance_login(stale, vec![sample::event(2)]).await?;
        assert!(!moved, "a step with version {version} where 8 is stored");
    }
    let unknown = store.advance_login(sample::login(3), vec![sample::event(3)]).await?;
    assert!(!unknown, "no such login");
    assert_eq!(store.login(sample::login(3).handle).await?, None, "a step makes no login");
    assert_eq!(store.login(stored.handle).await?, Some(stored), "a refused step");
    assert_eq!(store.login(sample::login(2).handle).await?, Some(sample::login(2)));
    assert_eq!(given::trail(&*store).await?, [sample::event(1)], "a refused step has no event");
    Ok(())
}
