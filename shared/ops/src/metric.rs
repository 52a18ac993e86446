//! Every metric there is: its name, its labels, what it means.
//!
//! Label values come from closed sets (an enum's text form, a route, a status), never from
//! callers. Without a recorder, which is the case on Lambda, measuring costs one atomic load and
//! keeps nothing.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Durations in seconds.
    Seconds,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it means, with its labels.
    pub meaning: &'static str,
}

/// Declares a constant per metric and the table of them all from one list.
macro_rules! declare {
    ($($constant:ident $kind:ident $name:literal $meaning:literal)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: &str = $name;
        )*

        /// Every metric, in the order of a request's way.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $constant, kind: Kind::$kind, meaning: $meaning }),*
        ];
    };
}

declare! {
    HTTP_REQUESTS Counter "reelway_http_requests_total" "Requests answered, by `route` and `status`."
    HTTP_SECONDS Seconds "reelway_http_seconds" "Time to answer a request, by `route`."
    LIMITED Counter "reelway_limited_total" "Requests refused by a limit, by `level`: interface, user, region, process."
    SLATES Counter "reelway_slates_total" "Slates answered, by `rung` of the ladder."
    LADDER_PROBES Counter "reelway_ladder_probes_total" "Answers for which the market's trending was made as well, by its `outcome`: whole, short, builtin."
    LADDER_PROBE_ITEMS Counter "reelway_ladder_probe_items_total" "Items of those answers, by what `also` has them: trending, none."
    DEGRADED Counter "reelway_degraded_total" "What answers had to give up, by `cause`."
    STAGE_SECONDS Seconds "reelway_stage_seconds" "Time of a stage of the pipeline or of a tier, by `stage`."
    TIER_READS Counter "reelway_tier_reads_total" "Reads of a tier, by `tier` and `outcome`."
    TIER_WRITES Counter "reelway_tier_writes_total" "Writes to a tier, by `tier` and `outcome`."
    HOT_KEYS Gauge "reelway_hot_keys" "Keys that are asked for all the time."
    EARLY_REFRESHES Counter "reelway_early_refreshes_total" "Hot values refreshed before they were stale."
    LEASES Counter "reelway_leases_total" "Cold keys that several processes may want, by `outcome`: ours, served, waited_out, lapsed."
    ENVELOPES_REFUSED Counter "reelway_envelopes_refused_total" "Cached bytes refused on the way in, by `cause`."
    FLIGHTS Gauge "reelway_flights" "Loads in flight, one per cold key."
    BREAKER_STATE Gauge "reelway_breaker_state" "0 closed, 1 half-open, 2 open, by `breaker`."
    BREAKER_OPENED Counter "reelway_breaker_opened_total" "How often a breaker opened, by `breaker`."
    BREAKER_REFUSED Counter "reelway_breaker_refused_total" "Calls a breaker did not let through, by `breaker`."
    TASKS Gauge "reelway_tasks" "Tasks running."
    STORE_CALLS Counter "reelway_store_calls_total" "Calls of a store, by `store`, `call` and `outcome`."
    STORE_SECONDS Seconds "reelway_store_seconds" "Time of a call of a store, by `store` and `call`."
    ROWS_UNREADABLE Counter "reelway_rows_unreadable_total" "Rows answered as absent because they cannot be read, by `table`."
    OVERLAY_READS_FAILED Counter "reelway_overlay_reads_failed_total" "Attempts to read hidden videos again that failed, by `kind`."
    REDIS_REBUILDS Counter "reelway_redis_rebuilds_total" "Connections to Redis given up and made anew, by `cause`."
    EVENTS_ACCEPTED Counter "reelway_events_accepted_total" "Client events acknowledged by the stream."
    EVENTS_REJECTED Counter "reelway_events_rejected_total" "Client events not accepted, by `code`."
    SERVED_BUFFERED Gauge "reelway_served_buffered" "`served` events waiting to be sent."
    SERVED_SENT Counter "reelway_served_sent_total" "`served` events acknowledged by the stream."
    SERVED_LOST Counter "reelway_served_lost_total" "`served` events given up, by `cause`."
    LOG_LOST Counter "reelway_log_lost_total" "Records of the embedded log that damage took, as far as they were read."
    CONSUMED Counter "reelway_consumed_total" "Stream records consumed, by `consumer` and `outcome`."
    CONSUMER_LAG_SECONDS Seconds "reelway_consumer_lag_seconds" "Age of records when applied, by `consumer`."
    DEAD_LETTERS Counter "reelway_dead_letters_total" "Records set aside with their payload, by `consumer`."
    GENERATION_LOADS Counter "reelway_generation_loads_total" "Attempts to map a new generation, by `outcome`."
    GENERATION_AGE_SECONDS Gauge "reelway_generation_age_seconds" "Age of the data in the mapped generation."
    TUNING_OFFERS Counter "reelway_tuning_offers_total" "Tuning documents offered, by `outcome`: applied, refused."
    JOB_RUNS Counter "reelway_job_runs_total" "Runs of a job, by `job` and `outcome`."
    JOB_SECONDS Seconds "reelway_job_seconds" "Time of a run of a job, by `job`."
}

/// Upper bounds of the buckets of [`Kind::Seconds`]: dense around the budgets of the stages.
const SECONDS: [f64; 16] = [
    0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.06, 0.08, 0.2, 0.5, 1.0, 5.0, 30.0,
    300.0,
];

/// How often [`upkeep`] folds samples into buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts keeping metrics for the whole process, for [`metrics_text`]. Samples of histograms pile
/// up until they are folded, so whoever installs also runs [`upkeep`]. A second call, or one in a
/// process that already has another recorder, changes nothing.
pub fn install() {
    RECORDER.get_or_init(|| match recorder() {
        Ok(handle) => Some(handle),
        Err(error) => {
            tracing::warn!(metric.error = %error, "metrics are not kept");
            None
        }
    });
}

/// Folds samples as long as it is polled; never ends. Nothing to do without [`install`].
pub async fn upkeep() {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        every.tick().await;
        if let Some(handle) = handle() {
            handle.run_upkeep();
        }
    }
}

/// All metrics in Prometheus' text form; empty without [`install`].
#[must_use]
pub fn metrics_text() -> String {
    handle().map(PrometheusHandle::render).unwrap_or_default()
}

fn handle() -> Option<&'static PrometheusHandle> {
    RECORDER.get().and_then(Option::as_ref)
}

fn recorder() -> Result<PrometheusHandle, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS)?;
    let handle = builder.install_recorder()?;
    for Metric {
        name,
        kind,
        meaning,
    } in ALL
    {
        match kind {
            Kind::Counter => describe_counter!(*name, *meaning),
            Kind::Gauge => describe_gauge!(*name, *meaning),
            Kind::Seconds => describe_histogram!(*name, Unit::Seconds, *meaning),
        }
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_say_their_kind() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric {
            name,
            kind,
            meaning,
        } in ALL
        {
            assert!(name.starts_with("reelway_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(
                *kind != Kind::Seconds || name.ends_with("_seconds"),
                "{name}"
            );
            assert!(meaning.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn what_was_measured_can_be_read() {
        install();
        install();
        metrics::counter!(SLATES, "rung" => "personal").increment(3);
        metrics::histogram!(STAGE_SECONDS, "stage" => "rank").record(0.004);
        let text = metrics_text();
        for line in [
            "reelway_slates_total{rung=\"personal\"} 3",
            "# TYPE reelway_stage_seconds histogram",
            "reelway_stage_seconds_bucket{stage=\"rank\",le=\"0.005\"} 1",
            "# HELP reelway_slates_total Slates answered",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
