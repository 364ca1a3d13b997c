//! Directory synchronisation at the same time: one lease, and no late batch.

use super::race::{Nodes, only_winner, race, race_all};
use super::sync::running;
use super::sync_batch::{batch, update};
use super::{Outcome, cases, given, sample};
use crate::store::{AccountRecord, IdentityRecord, LeaseAnswer, SyncBatchOutcome, SyncLease};
use sample::at;

cases!(
    "sync_race",
    RaceCase: one_of_many_gets_the_lease,
    a_take_over_and_a_batch_do_not_overlap,
    a_login_and_a_deactivating_batch,
);

const TASKS: u32 = 8;
const ROUNDS: u32 = 8;

async fn one_of_many_gets_the_lease(nodes: Nodes) -> Outcome {
    for round in 0..ROUNDS {
        let directory = format!("race-{round}");
        // First a lease that nobody ever held, then one that ran out.
        for seconds in [100, 200] {
            let answers = race_all(&nodes, TASKS, |store, i| {
                let directory = directory.clone();
                async move {
                    let holder = format!("node-{i}");
                    store
                        .acquire_sync_lease(&directory, &holder, at(seconds), at(seconds + 60))
                        .await
                }
            })
            .await?;
            let granted: Vec<bool> =
                answers.iter().map(|it| matches!(it, LeaseAnswer::Granted(_))).collect();
            let winner = only_winner(&granted, "the lease");
            for answer in answers {
                if let LeaseAnswer::Held { holder, until } = answer {
                    assert_eq!((holder, until), (format!("node-{winner}"), at(seconds + 60)));
                }
            }
        }
    }
    Ok(())
}

async fn linked(
    nodes: &Nodes,
    n: u32,
    directory: &str,
) -> Result<(AccountRecord, SyncLease), crate::store::StoreError> {
    let store = nodes.first();
    let account = given::account(&*store, n).await?;
    let identity = IdentityRecord {
        connector: directory.to_owned(),
        subject: format!("subject-{n}"),
        account: account.id,
        linked_at: at(1),
    };
    store.link_identity(identity, vec![]).await?;
    match store.acquire_sync_lease(directory, "old", at(100), at(160)).await? {
        LeaseAnswer::Granted(lease) => Ok((account, lease)),
        held => panic!("the lease of a new directory, got {held:?}"),
    }
}

/// Whoever comes first: once the take-over was answered, the old holder's batches write nothing.
async fn a_take_over_and_a_batch_do_not_overlap(nodes: Nodes) -> Outcome {
    for round in 0..ROUNDS {
        let n = 41_000 + round;
        let directory = format!("overlap-{round}");
        let (account, old) = linked(&nodes, n, &directory).await?;
        let job = running(&*nodes.first(), &old, n).await?;
        let outcomes = race(&nodes, 2, |store, i| {
            let (account, old, job) = (account.clone(), old.clone(), job.clone());
            async move {
                if i == 0 {
                    let directory = &old.directory;
                    store.acquire_sync_lease(directory, "new", at(170), at(260)).await?;
                    return Ok(store.account(account.id).await?.map(|account| account.version));
                }
                let step = update(
                    AccountRecord { nickname: None, ..account },
                    &format!("subject-{n}"),
                    false,
                );
                let outcome = store.apply_sync_batch(batch(&old, &job, vec![step])).await?;
                Ok(Some(i64::from(outcome != SyncBatchOutcome::LeaseLost)))
            }
        })
        .await;
        let mut versions = Vec::new();
        for outcome in outcomes {
            versions.push(outcome?);
        }
        let seen_at_take_over = versions[0];
        let last = given::existing_account(&*nodes.last(), account.id).await?.version;
        assert_eq!(seen_at_take_over, Some(last), "no row changed after the take-over");
        assert_eq!(last - account.version, versions[1].unwrap_or(-1), "as the batch was told");
    }
    Ok(())
}

/// A login that completes while its account is shut out leaves no live session.
async fn a_login_and_a_deactivating_batch(nodes: Nodes) -> Outcome {
    for round in 0..ROUNDS {
        let n = 42_000 + round * 10;
        let directory = format!("shut-{round}");
        let (account, lease) = linked(&nodes, n, &directory).await?;
        let job = running(&*nodes.first(), &lease, n).await?;
        for login in n + 1..n + 5 {
            nodes.first().add_login(sample::login(login)).await?;
        }
        race_all(&nodes, 5, |store, i| {
            let (account, lease, job) = (account.clone(), lease.clone(), job.clone());
            async move {
                if i > 0 {
                    let session = sample::browser_session(account.id, n + i);
                    return store.complete_login(given::completion(n + i, session)).await;
                }
                let inactive = AccountRecord { active: false, ..account };
                let step = update(inactive, &format!("subject-{n}"), true);
                let outcome = store.apply_sync_batch(batch(&lease, &job, vec![step])).await?;
                Ok(outcome == SyncBatchOutcome::Done { stale: vec![] })
            }
        })
        .await?;
        let live = given::live_sessions(&*nodes.last(), account.id, sample::ISSUED + 600).await?;
        assert_eq!(live, [], "an account that was shut out has no live session");
    }
    Ok(())
}
