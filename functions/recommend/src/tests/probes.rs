//! The step below is made and compared for some answers while all is well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ops::metric::{LADDER_PROBE_ITEMS, LADDER_PROBES};

use super::world::World;

/// Two in a thousand are compared, by chance: of so many hardly ever fewer than one in a thousand (the
/// Poisson chance of 20 or fewer where 40 are due is 0.0002).
const ANSWERS: u64 = 20_000;
const LIMIT: u64 = 3;
/// So that no user asks more often than one may.
const BETWEEN: Duration = Duration::from_millis(10);

/// Counters by name and labels.
#[derive(Debug, Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    fn sum(&self, name: &str, label: &str) -> u64 {
        let counters = self.0.lock().unwrap();
        let named = counters
            .iter()
            .filter(|(key, _)| key.starts_with(name) && key.contains(label));
        named.map(|(_, count)| count.load(Ordering::Relaxed)).sum()
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| format!(" {}", label.value()));
        let key = format!("{}{}", key.name(), labels.collect::<String>());
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(key).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn for_more_than_one_answer_in_a_thousand_trending_is_made_and_compared() {
    let world = World::new().await;
    let counters = Counters::default();
    let _here = metrics::set_default_local_recorder(&counters);
    for number in 0..ANSWERS {
        let user = 1 + number % 50;
        let reply = world
            .get(&format!("/recommend?user_id=u{user}&limit={LIMIT}"))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        world.clock.advance(BETWEEN);
    }
    let probes = counters.sum(LADDER_PROBES, "");
    assert!(probes * 1_000 > ANSWERS, "{probes} of {ANSWERS}");
    assert_eq!(counters.sum(LADDER_PROBES, " whole"), probes);
    let items = counters.sum(LADDER_PROBE_ITEMS, "");
    assert_eq!(items, probes * LIMIT, "every item is looked for");
}
