//! Sessions of identity providers.

use std::sync::Arc;

use super::{Outcome, cases, sample};
use crate::store::{Store, UpstreamSessionRecord};

cases!(
    "upstream",
    Case: upstream_sessions_are_taken_by_what_names_them,
    upstream_sessions_are_purged,
);

fn record(n: u32, subject: &str, index: Option<&str>) -> UpstreamSessionRecord {
    UpstreamSessionRecord {
        session: sample::session_id(n),
        connector: "okta".to_owned(),
        subject: subject.to_owned(),
        index: index.map(str::to_owned),
        sealed_hint: Some(vec![1, 2, 3]),
        expires_at: sample::at(3600),
    }
}

async fn upstream_sessions_are_taken_by_what_names_them(store: Arc<dyn Store>) -> Outcome {
    let (one, two, three) =
        (record(1, "s-1", Some("a")), record(2, "s-1", Some("b")), record(3, "s-2", Some("a")));
    let elsewhere = UpstreamSessionRecord { connector: "other".into(), ..record(4, "s-1", None) };
    for each in [&one, &two, &three, &elsewhere] {
        store.add_upstream_session(each.clone()).await?;
    }
    assert_eq!(store.upstream_session(one.session).await?, Some(one.clone()));
    assert_eq!(store.upstream_session(sample::session_id(9)).await?, None);
    let replaced = UpstreamSessionRecord { sealed_hint: None, ..one.clone() };
    store.add_upstream_session(replaced.clone()).await?;
    assert_eq!(store.upstream_session(one.session).await?, Some(replaced.clone()));

    let take = |subject: Option<&'static str>, index: Option<&'static str>| {
        store.take_upstream_sessions("okta", subject, index)
    };
    assert!(take(None, None).await?.is_empty(), "nothing names none");
    assert!(take(Some("s-2"), Some("b")).await?.is_empty(), "both have to match");
    assert!(take(Some("S-1"), None).await?.is_empty(), "compared byte for byte");
    assert_eq!(take(Some("s-1"), Some("b")).await?, [two]);
    assert_eq!(take(None, Some("a")).await?, [replaced, three], "by session");
    assert!(take(Some("s-1"), None).await?.is_empty(), "taken once");
    assert_eq!(store.upstream_session(elsewhere.session).await?, Some(elsewhere.clone()));
    Ok(())
}

async fn upstream_sessions_are_purged(store: Arc<dyn Store>) -> Outcome {
    let over = UpstreamSessionRecord { expires_at: sample::at(10), ..record(1, "s", None) };
    let live = record(2, "s", None);
    store.add_upstream_session(over.clone()).await?;
    store.add_upstream_session(live.clone()).await?;
    assert_eq!(store.purge(sample::at(11)).await?, 1);
    assert_eq!(store.upstream_session(over.session).await?, None);
    assert_eq!(store.upstream_session(live.session).await?, Some(live));
    Ok(())
}
