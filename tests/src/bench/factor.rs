//! What a second factor costs through the store: a right code, judged and consumed, beside the
//! computation alone. One factor for each task, so that no two wait for one row.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_core::factor::{TotpSeed, TotpSettings, totp};
use auth_core::random::SystemRandom;
use auth_core::store::{AccountId, FactorId, FactorKind, FactorRecord, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::figures::{Window, median};
use super::report::{Report, Row, per_second};
use super::site::{Backend, PERSON, Plan, Site};

const TASKS: usize = 16;
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(300);
const LENGTH: Duration = Duration::from_secs(2);

/// Measures right codes a second on one backend.
pub(super) async fn measure(report: &mut Report, backend: Backend<'_>) -> Result<()> {
    let site = Site::start(backend, Plan::of(1)).await?;
    let store = auth_store::open(&site.store(), &[]).await.context("store")?;
    let account = store.account_by_username(PERSON).await?.context("account")?.id;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(tokio::task::spawn_blocking(computed).await??);
        let window = Window::default();
        let crowd = crowd(&store, account, &window).await?;
        ours.push(window.rate(WARM_UP, LENGTH).await);
        finish(crowd).await?;
    }
    store.close().await;
    let (rate, beside) = (median(&ours)?, median(&theirs)?);
    report.add(Row {
        what: "TOTP code judged and consumed".into(),
        of: format!("{}, {TASKS} factors at once", backend.name()),
        daemon: per_second(rate),
        beside: format!("judged alone {}", per_second(beside)),
        ratio: Some(rate / beside),
        goal: "none: the store's durable write is the cost".into(),
        ..Row::default()
    });
    Ok(())
}

/// Tasks that consume one step after the other, each of a factor of its own.
async fn crowd(
    store: &Arc<dyn Store>,
    account: AccountId,
    window: &Window,
) -> Result<JoinSet<Result<()>>> {
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let seed = fresh_seed()?;
        let id = FactorId(Uuid::now_v7());
        let now = SystemClock.now();
        let factor = FactorRecord {
            id,
            account,
            kind: FactorKind::Totp,
            name: None,
            sealed: vec![0],
            created_at: now,
            last_used_at: None,
            last_step: None,
            credential: None,
            sign_count: None,
        };
        store.add_factor(factor, None, vec![]).await?;
        let (store, window) = (Arc::clone(store), window.clone());
        let time = AtomicI64::new(now.seconds());
        tasks.spawn(async move {
            let mut last = None;
            while !window.is_closed() {
                // A step later each time: every code is right once.
                let at = Timestamp::from_seconds(time.fetch_add(30, Ordering::Relaxed));
                let step = judge(&seed, at)?;
                // Of some millions of codes a few are those of the step beside, which was used.
                if last >= Some(step) {
                    continue;
                }
                last = Some(step);
                let consumed = store.consume_totp_step(id, step, at).await?;
                ensure!(consumed, "a fresh step was refused");
                window.completed();
            }
            Ok(())
        });
    }
    Ok(tasks)
}

async fn finish(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

fn fresh_seed() -> Result<TotpSeed> {
    Ok(TotpSeed::generate(TotpSettings::default(), &SystemRandom::new())?)
}

/// The step of the right code of this moment, found as a login finds it.
fn judge(seed: &TotpSeed, at: Timestamp) -> Result<i64> {
    let code = code(seed, at)?;
    match totp::verify(seed, &code, at, None) {
        Ok(step) => Ok(step.step()),
        Err(refusal) => anyhow::bail!("a right code was refused: {}", refusal.as_str()),
    }
}

fn code(seed: &TotpSeed, at: Timestamp) -> Result<String> {
    let secret = seed.expose_base32();
    let secret = totp_rs::Secret::try_from_base32(secret.as_str());
    let secret = secret.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let codes = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    Ok(codes.generate(u64::try_from(at.seconds())?).to_string())
}

/// Codes judged a second on one thread, nothing consumed.
fn computed() -> Result<f64> {
    let seed = fresh_seed()?;
    let begun = Instant::now();
    let mut time = SystemClock.now().seconds();
    let mut count = 0u32;
    while begun.elapsed() < LENGTH {
        judge(&seed, Timestamp::from_seconds(time))?;
        time += 30;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
