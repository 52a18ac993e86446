use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use engine::{UserId, VideoId};
use guard::ManualClock;
use store::outbox::{ServedAnswer, ServedPage};
use store::{Position, Record, Stream, StreamRecord};

use super::*;

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::starting_at(0))
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_hangs_is_abandoned_after_100_ms() {
    let drain = Drain::new(clock(), |_, _| std::future::pending());
    let before = tokio_now();
    drain.run(Moment::Answered).await;
    assert_eq!(tokio_now() - before, DRAIN_MAX);
}

#[tokio::test]
async fn a_drain_that_panics_is_survived_and_runs_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let drain = Drain::new(clock(), move |_, _| {
        let run = counted.fetch_add(1, Ordering::Relaxed);
        async move { assert_ne!(run, 0, "the first one panics") }
    });
    drain.run(Moment::Answered).await;
    drain.run(Moment::Answered).await;
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn before_the_end_everything_leaves_not_one_flush() {
    let outbox = Arc::new(Outbox::new(Arc::new(Taken), clock()));
    let tasks = Tasks::new();
    let drain = Drain::of_outbox(clock(), Arc::clone(&outbox), tasks);
    let page = Arc::new(ServedPage {
        user_id: UserId::parse("u").unwrap(),
        slate_id: "s".into(),
        scene: "home".into(),
        market: "".into(),
        arms: "".into(),
        generation: "".into(),
        items: vec![(0, VideoId::parse("v").unwrap(), 1.0); 1_000],
    });
    for number in 0..9 {
        let answer = ServedAnswer {
            number,
            ts_ms: 0,
            page: Arc::clone(&page),
        };
        assert_eq!(outbox.offer(answer), 0);
    }
    drain.run(Moment::Answered).await;
    assert_eq!(outbox.counts().sent, 0, "nothing is due");
    drain.run(Moment::Ending).await;
    assert_eq!((outbox.counts().sent, outbox.counts().waiting), (9_000, 0));
}

/// A stream that takes everything.
struct Taken;

#[async_trait]
impl Stream for Taken {
    async fn append(
        &self,
        records: Vec<Record>,
        _: &Deadline,
    ) -> Result<Vec<Result<Position, store::Error>>, store::Error> {
        let position = Position {
            shard: "0".to_owned(),
            sequence: "1".to_owned(),
        };
        Ok(records.iter().map(|_| Ok(position.clone())).collect())
    }

    async fn shards(&self, _: &Deadline) -> Result<Vec<String>, store::Error> {
        Ok(Vec::new())
    }

    async fn read(
        &self,
        _: &str,
        _: Option<&str>,
        _: usize,
        _: &Deadline,
    ) -> Result<Vec<StreamRecord>, store::Error> {
        Ok(Vec::new())
    }
}

#[expect(clippy::disallowed_methods, reason = "reads tokio's paused clock")]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
