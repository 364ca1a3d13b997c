//! What ends sessions against what makes them, at the same time: whoever comes first, nothing
//! that was ended has a live session afterwards. A backend that reads its rows before the other
//! transaction committed, and writes after it, leaves one alive here.

use std::sync::Arc;

use super::race::{Nodes, race_all};
use super::{Outcome, cases, given, sample};
use crate::store::{
    AccountId, CodeRedemption, PasswordRecord, Revocation, RevocationScope, SessionId,
    SessionRecord, Store, StoreError,
};
use sample::{ISSUED, at};

cases!(
    "interleaving",
    RaceCase: logins_against_deactivation,
    codes_against_the_end_of_the_browser_session,
);

/// Tasks that make sessions, beside the one that ends them.
const MAKERS: u32 = 8;
const ROUNDS: u32 = 8;

async fn logins_against_deactivation(nodes: Nodes) -> Outcome {
    for round in 0..ROUNDS {
        let base = 14_000 + round * 100;
        let account = given::account(&*nodes.first(), base).await?.id;
        for n in 0..MAKERS {
            nodes.first().add_login(sample::login(base + n)).await?;
        }
        let completed = race_all(&nodes, MAKERS + 1, |store, i| async move {
            if i == MAKERS {
                return deactivate(&*store, account).await.map(|()| false);
            }
            let session = sample::browser_session(account, base + i);
            store.complete_login(given::completion(base + i, session)).await
        })
        .await?;
        for (n, completed) in (base..base + MAKERS).zip(completed) {
            let made = nodes.last().session(sample::session_id(n)).await?.is_some();
            assert_eq!(made, completed, "a session is there exactly when complete_login said so");
        }
        let live = given::live_sessions(&*nodes.last(), account, ISSUED + 10).await?;
        assert_eq!(live, [], "an inactive account has no live session");
    }
    Ok(())
}

/// Another change of the account may come first, so it tries until its own is written.
async fn deactivate(store: &dyn Store, account: AccountId) -> Outcome {
    loop {
        let mut record = given::existing_account(store, account).await?;
        record.active = false;
        record.updated_at = at(ISSUED + 5);
        if store.update_account(record, vec![]).await? {
            return Ok(());
        }
    }
}

/// A way to end a browser session with what came from it.
#[derive(Clone, Copy, Debug)]
enum End {
    Logout,
    AccountRevoked,
    AllRevoked,
    Deactivated,
    PasswordChanged,
    Replaced,
}

impl End {
    const EACH: [Self; 6] = [
        Self::Logout,
        Self::AccountRevoked,
        Self::AllRevoked,
        Self::Deactivated,
        Self::PasswordChanged,
        Self::Replaced,
    ];

    /// Ends session `browser`; `spare` is the number of a pending login.
    async fn happen(
        self,
        store: &dyn Store,
        account: AccountId,
        browser: SessionId,
        spare: u32,
    ) -> Outcome {
        let scope = match self {
            Self::Logout => RevocationScope::Session(browser),
            Self::AccountRevoked => RevocationScope::Account(account),
            Self::AllRevoked => RevocationScope::All,
            Self::Deactivated => return deactivate(store, account).await,
            Self::PasswordChanged => {
                let changed_at = at(ISSUED + 5);
                let password = PasswordRecord { changed_at, ..sample::password(account, spare) };
                return store.set_password(password, true, vec![]).await;
            }
            Self::Replaced => {
                // Another person signs in: what came from the old session ends with it.
                let other = given::account(store, spare).await?.id;
                let session = sample::browser_session(other, spare);
                let mut completion = given::completion(spare, session);
                completion.replaces = Some(browser);
                assert!(store.complete_login(completion).await?, "complete_login");
                return Ok(());
            }
        };
        let revocation = Revocation { scope, at: at(ISSUED + 5), reason: "logout".to_owned() };
        store.revoke_sessions(revocation, vec![]).await.map(|_| ())
    }
}

async fn codes_against_the_end_of_the_browser_session(nodes: Nodes) -> Outcome {
    let mut base = 30_000;
    for end in End::EACH {
        for _ in 0..ROUNDS {
            base += 100;
            one_round(&nodes, end, base).await?;
        }
    }
    Ok(())
}

async fn one_round(nodes: &Nodes, end: End, base: u32) -> Outcome {
    let store = nodes.first();
    let account = given::account(&*store, base).await?.id;
    let browser = given::browser(&*store, account, base).await?;
    let spare = base + 50;
    store.add_login(sample::login(spare)).await?;
    for n in 1..=MAKERS {
        store.add_code(sample::code(&browser, base + n)).await?;
    }
    let browser = Arc::new(browser);
    let redeemed = race_all(nodes, MAKERS + 1, |store, i| {
        let browser = Arc::clone(&browser);
        async move {
            if i == 0 {
                end.happen(&*store, account, browser.id, spare).await?;
                return Ok(false);
            }
            redeem(&*store, sample::client_session(&browser, base + i), base + i).await
        }
    })
    .await?;
    for (n, redeemed) in (base..).zip(redeemed).skip(1) {
        let made = nodes.last().session(sample::session_id(n)).await?.is_some();
        assert_eq!(made, redeemed, "{end:?}: a session is there exactly when redeem_code said so");
    }
    let mut live = given::live_sessions(&*nodes.last(), account, ISSUED + 10).await?;
    live.retain(|&id| id != sample::session_id(spare));
    assert_eq!(live, [], "{end:?}: nothing outlives the browser session");
    Ok(())
}

async fn redeem(store: &dyn Store, session: SessionRecord, n: u32) -> Result<bool, StoreError> {
    let issue = given::issue(session.id, n);
    let redemption = store.redeem_code(sample::hash("code", n), session, issue, vec![]).await?;
    Ok(redemption == CodeRedemption::Redeemed)
}
