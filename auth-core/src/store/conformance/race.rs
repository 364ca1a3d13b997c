//! Runs many tasks at the same time, spread over the handles of one database.

use std::sync::Arc;

use tokio::sync::Barrier;

use crate::store::{Store, StoreError};

/// One or more handles on the same data; never empty.
#[derive(Clone)]
pub(super) struct Nodes(Arc<[Arc<dyn Store>]>);

impl Nodes {
    pub(super) fn of<const N: usize>(stores: [Arc<dyn Store>; N]) -> Self {
        const { assert!(N > 0, "at least one store") };
        Self(Arc::new(stores))
    }

    /// The first handle.
    pub(super) fn first(&self) -> Arc<dyn Store> {
        self.nth(0)
    }

    /// The last handle: the same as the first when there is only one.
    pub(super) fn last(&self) -> Arc<dyn Store> {
        self.nth(self.0.len() - 1)
    }

    /// Handles in turn.
    fn nth(&self, turn: usize) -> Arc<dyn Store> {
        let Some(store) = self.0.iter().cycle().nth(turn) else {
            panic!("at least one store");
        };
        Arc::clone(store)
    }
}

/// Runs `tasks` tasks that start together, with the handles in turn; gives their answers in the
/// order of their numbers.
pub(super) async fn race<T, F, Fut>(
    nodes: &Nodes,
    tasks: u32,
    task: F,
) -> Vec<Result<T, StoreError>>
where
    T: Send + 'static,
    F: Fn(Arc<dyn Store>, u32) -> Fut,
    Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(usize::try_from(tasks).unwrap_or(usize::MAX)));
    let mut running = Vec::new();
    for (turn, number) in (0..tasks).enumerate() {
        let attempt = task(nodes.nth(turn), number);
        let barrier = Arc::clone(&barrier);
        running.push(tokio::spawn(async move {
            barrier.wait().await;
            attempt.await
        }));
    }
    let mut answers = Vec::new();
    for task in running {
        match task.await {
            Ok(answer) => answers.push(answer),
            Err(ended) => panic!("a racing task ended early: {ended}"),
        }
    }
    answers
}

/// As [`race`], but every task has to succeed.
pub(super) async fn race_all<T, F, Fut>(
    nodes: &Nodes,
    tasks: u32,
    task: F,
) -> Result<Vec<T>, StoreError>
where
    T: Send + 'static,
    F: Fn(Arc<dyn Store>, u32) -> Fut,
    Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    race(nodes, tasks, task).await.into_iter().collect()
}

/// The number of the only task that answered true.
pub(super) fn only_winner(answers: &[bool], what: &str) -> u32 {
    let winners: Vec<u32> =
        (0..).zip(answers).filter(|&(_, &won)| won).map(|(number, _)| number).collect();
    match winners.as_slice() {
        [winner] => *winner,
        _ => panic!("{what}: exactly one of {} wins, but {winners:?} did", answers.len()),
    }
}
