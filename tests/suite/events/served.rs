//! How many `served` events a process takes along that is killed under load: those of its outbox, which
//! holds a second or fifty answers at most while a core is not full.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use embedded::EmbeddedStream;
use engine::EventKind;
use guard::{Clock, Deadline};
use ops::RealClock;
use store::Stream;
use store::intake::Intake;
use store::outbox::{OUTBOX_AGE_MAX, OUTBOX_ANSWERS_MAX};

use super::process::{Reelway, request};

/// Between two questions: fewer than fifty a second, so that age decides, and as many as it can.
const PACES: [Duration; 2] = [Duration::from_millis(60), Duration::ZERO];
const ROUNDS: usize = 3;
const LOAD: Duration = Duration::from_millis(2_500);
/// The process looks at its outbox every 50 ms and syncs what it sends; a busy machine takes longer.
const SLACK: Duration = Duration::from_millis(500);

/// Asks for new users' pages for a while; answers who got one, and when.
async fn load(
    reelway: &Reelway,
    clock: &RealClock,
    names: &str,
    pace: Duration,
) -> Vec<(String, Duration)> {
    let (mut given, began) = (Vec::new(), clock.now().mono);
    while clock.now().mono - began < LOAD {
        let user = format!("{names}-{}", given.len());
        let what = format!("GET /recommend?user_id={user}&limit=20");
        let answer = request(reelway.addr, &what, "", || ());
        let (status, page) = answer.expect("it answers until it is killed");
        if status == 200 {
            let items = page["items"].as_array().map_or(0, Vec::len);
            assert!(items > 0, "nothing is served: {page}");
            given.push((user, clock.now().mono));
        }
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
    }
    given
}

/// Whose `served` events are in the log.
pub(super) async fn told(data: &Path) -> BTreeSet<String> {
    let log = EmbeddedStream::open_to_read(&data.join("log")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let soon = Deadline::after(clock, Duration::from_secs(60));
    let mut users = BTreeSet::new();
    for shard in log.shards(&soon).await.unwrap() {
        let mut after = None::<String>;
        loop {
            let read = log.read(&shard, after.as_deref(), 1_000, &soon);
            let records = read.await.unwrap();
            let Some(last) = records.last() else { break };
            after = Some(last.position.sequence.clone());
            let events = Intake::decode(&records).events.into_iter();
            let served = events.filter(|placed| placed.event.kind == EventKind::Served);
            users.extend(served.map(|placed| placed.event.user_id.to_string()));
        }
    }
    users
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_under_load_costs_the_served_events_of_a_second_or_fifty_answers_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let clock = RealClock::new();
    for (pace, of_pace) in PACES.into_iter().zip(["slow", "fast"]) {
        let (mut all, mut worst, mut oldest) = (0, 0, Duration::ZERO);
        for round in 0..ROUNDS {
            let mut reelway = Reelway::start(folder.path());
            let given = load(&reelway, &clock, &format!("{of_pace}{round}"), pace).await;
            reelway.kill();
            let killed = clock.now().mono;
            let told = told(folder.path()).await;
            let lost: Vec<_> = given
                .iter()
                .filter(|(user, _)| !told.contains(user))
                .collect();
            let given_within = |age: Duration| {
                let young = given.iter().filter(|(_, at)| killed - *at <= age);
                young.count() as u64
            };
            let bound = given_within(OUTBOX_AGE_MAX).min(OUTBOX_ANSWERS_MAX) + given_within(SLACK);
            assert!(
                lost.len() as u64 <= bound,
                "{} lost, {bound} may be",
                lost.len()
            );
            let age = lost.first().map_or(Duration::ZERO, |(_, at)| killed - *at);
            assert!(age <= OUTBOX_AGE_MAX + SLACK, "one of {age:?} ago is lost");
            assert!(!told.is_empty(), "nothing was told at all");
            all += given.len();
            (worst, oldest) = (worst.max(lost.len()), oldest.max(age));
        }
        println!(
            "shown: served events of the local process, killed {ROUNDS} times under load: of {all} answers \
             ({of_pace}) a kill cost {worst} at most, the oldest {} ms old; the bound is \
             {OUTBOX_ANSWERS_MAX} answers or {} ms",
            oldest.as_millis(),
            OUTBOX_AGE_MAX.as_millis()
        );
    }
}
