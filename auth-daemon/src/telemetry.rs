//! The log (JSON lines on standard error) and the metrics recorder.

mod span_fields;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use span_fields::SpanFields;

/// Environment variable with the log's filter, e.g. `info,auth_core=debug`.
const FILTER: &str = "AUTH_DAEMON_LOG";

/// Starts the log. `default` is the level where the environment says nothing.
pub(crate) fn start_log(default: &str) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .fmt_fields(SpanFields)
        .with_writer(std::io::stderr);
    let filter = filter().or_else(|| default.parse().ok()).unwrap_or_default();
    // A second start (in tests) keeps the first one's subscriber.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

#[expect(clippy::disallowed_methods, reason = "the log begins before the configuration is read")]
fn filter() -> Option<Targets> {
    std::env::var(FILTER).ok()?.parse().ok()
}

/// Installs the recorder of metrics and describes them.
///
/// # Errors
/// When another recorder is installed.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .install_recorder()?;
    metrics::describe_counter!("auth_logins_total", "Logins by connector and result");
    metrics::describe_counter!("auth_first_factors_total", "First factors by connector and result");
    metrics::describe_counter!(
        "auth_tokens_total",
        "Answers of the token endpoint by grant and result"
    );
    metrics::describe_histogram!("auth_login_duration_seconds", "Time of a login's first factor");
    metrics::describe_gauge!("auth_hash_queue", "Password checks that wait for a hash thread");
    metrics::describe_gauge!(
        "auth_ldap_pool_connections",
        "Connections to a directory by pool and state"
    );
    metrics::describe_counter!(
        "auth_sync_runs_total",
        "Synchronisations that this node ended, by directory and result"
    );
    metrics::describe_histogram!("auth_sync_duration_seconds", "Time of a synchronisation");
    metrics::describe_counter!(
        "auth_sync_changes_total",
        "People by what a synchronisation of this node did with them"
    );
    metrics::describe_gauge!(
        "auth_sync_last_success_age_seconds",
        "Time since the last synchronisation of any node that succeeded"
    );
    metrics::describe_gauge!(
        "auth_sync_last_success_timestamp_seconds",
        "End of the last synchronisation of any node that succeeded"
    );
    metrics::describe_gauge!("auth_sessions", "Live sessions, by kind, up to the counted limit");
    metrics::describe_counter!(
        "auth_outbox_deliveries_total",
        "Attempts to tell others of events, by channel and result"
    );
    metrics::describe_histogram!(
        "auth_outbox_delivery_duration_seconds",
        "Time of an attempt by channel"
    );
    metrics::describe_gauge!("auth_outbox_pending", "Deliveries that wait, by destination");
    metrics::describe_gauge!("auth_outbox_dead", "Deliveries given up, by destination");
    metrics::describe_gauge!(
        "auth_outbox_oldest_seconds",
        "Age of the oldest delivery that waits, by destination"
    );
    metrics::describe_counter!(
        "auth_saml_legacy_algorithms_total",
        "SAML messages accepted only because of allow_sha1, by connection and algorithm"
    );
    metrics::describe_gauge!("auth_build_info", "Always 1; the version is a label");
    metrics::gauge!("auth_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}
