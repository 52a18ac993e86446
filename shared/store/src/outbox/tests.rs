use async_trait::async_trait;
use guard::ManualClock;

use super::*;
use crate::ports::{Position, Record, StreamRecord};
use crate::testing::{MemoryStream, Step, clock, user, video};
use crate::{Error, ErrorKind};

mod peak;

fn answer(number: usize, items: usize) -> ServedAnswer {
    answer_of(user(&format!("u{}", number % 7)), number, items)
}

fn answer_of(user_id: UserId, number: usize, items: usize) -> ServedAnswer {
    let page = ServedPage {
        user_id,
        slate_id: "s".into(),
        scene: "home".into(),
        market: "DE".into(),
        arms: "home=b".into(),
        generation: "2026-11-21.2".into(),
        items: (0..items as u16)
            .map(|at| (at, video(&format!("v{at}")), 1.0 / f32::from(at + 1)))
            .collect(),
    };
    ServedAnswer {
        number: number as u128,
        ts_ms: number as i64,
        page: Arc::new(page),
    }
}

fn offer(outbox: &Outbox, number: usize, items: usize) -> usize {
    outbox.offer(answer(number, items))
}

fn outbox(steps: impl IntoIterator<Item = Step>) -> (Arc<MemoryStream>, Arc<ManualClock>, Outbox) {
    let (stream, clock) = (MemoryStream::following(steps), clock());
    (stream.clone(), clock.clone(), Outbox::new(stream, clock))
}

fn deadline(budget: Duration) -> Deadline {
    Deadline::after(Arc::new(ops::RealClock::new()), budget)
}

fn balanced(counts: OutboxCounts) -> bool {
    counts.accepted == counts.sent + counts.dropped + counts.waiting
}

#[tokio::test]
async fn a_flush_is_due_after_a_second_or_fifty_answers() {
    let (_, clock, outbox) = outbox([]);
    assert!(!outbox.due(), "nothing waits");
    offer(&outbox, 0, 20);
    clock.advance(Duration::from_millis(999));
    assert!(!outbox.due());
    clock.advance(Duration::from_millis(1));
    assert!(outbox.due(), "the oldest waits for a second");
    assert_eq!(outbox.flush(&deadline(OUTBOX_AGE_MAX)).await, 20);
    assert!(!outbox.due());
    for i in 0..OUTBOX_ANSWERS_MAX {
        assert!(!outbox.due(), "after {i} answers");
        offer(&outbox, 0, 1);
    }
    assert!(outbox.due(), "fifty answers");
    outbox.flush(&deadline(OUTBOX_AGE_MAX)).await;
    offer(&outbox, 0, 1);
    clock.step_wall_ms(60_000);
    assert!(outbox.due(), "also after a freeze");
}

#[tokio::test]
async fn an_answer_is_told_item_by_item() {
    let (stream, _, outbox) = outbox([]);
    offer(&outbox, 12, 2);
    assert_eq!(outbox.flush(&deadline(OUTBOX_AGE_MAX)).await, 2);
    let events = stream.events();
    let expected = answer(12, 2).events().collect::<Vec<_>>();
    assert_eq!(events, expected);
    assert_eq!(events[1].event_id, "0000000000000000000000000000000c-1");
    assert_eq!(
        (events[1].kind, events[1].slate_position),
        (EventKind::Served, Some(1))
    );
    assert_eq!(
        (
            events[1].recommendation_id.as_str(),
            events[1].arms.as_str()
        ),
        ("s", "home=b")
    );
    assert_eq!(events[1].made, Made::new("2026-11-21.2", 500_000_000));
}

#[tokio::test]
async fn a_full_buffer_refuses_and_counts() {
    let (stream, _, outbox) = outbox([]);
    assert_eq!(offer(&outbox, 0, OUTBOX_EVENTS_MAX - 5), 0);
    assert_eq!(offer(&outbox, 0, 20), 15);
    assert_eq!(offer(&outbox, 0, 20), 20);
    let counts = outbox.counts();
    let accepted = OUTBOX_EVENTS_MAX as u64;
    assert_eq!(
        (counts.accepted, counts.refused, counts.waiting),
        (accepted, 35, accepted)
    );
    while outbox.flush(&deadline(OUTBOX_AGE_MAX)).await > 0 {}
    assert_eq!(outbox.counts().sent, accepted);
    assert_eq!(stream.events().len(), OUTBOX_EVENTS_MAX);
    assert_eq!(offer(&outbox, 0, 1), 0, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_later_waits_and_what_may_not_is_dropped() {
    let steps = (0..6).map(|_| Step::FailRecords(vec![0], ErrorKind::Throttled));
    let (stream, clock, outbox) =
        outbox(steps.chain([Step::FailRecords(vec![0], ErrorKind::Invalid)]));
    for number in 0..7 {
        offer(&outbox, number, 1);
    }
    let patient = deadline(Duration::from_secs(60));
    assert_eq!(outbox.flush(&patient).await, 6);
    let counts = outbox.counts();
    assert_eq!((counts.sent, counts.retried, counts.waiting), (6, 0, 1));
    for retried in 1..=5 {
        assert!(!outbox.due(), "it pauses");
        assert_eq!(outbox.flush(&patient).await, 0);
        assert_eq!(
            outbox.counts().retried,
            retried - 1,
            "not before its pause is over"
        );
        clock.advance(Duration::from_millis(800));
        assert!(outbox.due());
        assert_eq!(outbox.flush(&patient).await, 0);
        assert_eq!(outbox.counts().retried, retried);
    }
    clock.advance(Duration::from_millis(800));
    assert_eq!(outbox.flush(&patient).await, 0);
    let counts = outbox.counts();
    assert_eq!((counts.dropped, counts.retried, counts.waiting), (1, 6, 0));
    assert!(balanced(counts));
    assert_eq!(stream.events().len(), 6);
    assert_eq!(stream.calls.lock().unwrap().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_flush_loses_nothing_and_keeps_the_order() {
    let (stream, _, outbox) = outbox([Step::Hang]);
    for number in 0..14 {
        offer(&outbox, number, 3);
    }
    let patient = deadline(Duration::from_secs(60));
    let flush = outbox.flush(&patient);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), flush)
            .await
            .is_err()
    );
    for number in 14..21 {
        offer(&outbox, number, 3);
    }
    assert_eq!(outbox.counts().waiting, 63);
    assert_eq!(outbox.flush(&patient).await, 63);
    let arrived = stream.events();
    for user in 0..7 {
        let of_user = arrived
            .iter()
            .filter(|event| event.user_id.as_str() == format!("u{user}"));
        let order = of_user.map(|event| (event.ts_ms, event.slate_position));
        assert!(order.is_sorted());
    }
    assert!(balanced(outbox.counts()));
}

#[tokio::test(start_paused = true)]
async fn two_flushes_at_once_send_each_event_once() {
    let (stream, _, outbox) = outbox([Step::Hang]);
    offer(&outbox, 0, 30);
    let budget = deadline(Duration::from_secs(5));
    let both = async { tokio::join!(outbox.flush(&budget), outbox.flush(&budget)) };
    let abandoned = tokio::time::timeout(Duration::from_secs(1), both);
    assert!(abandoned.await.is_err());
    assert_eq!(stream.calls.lock().unwrap().len(), 1);
    assert_eq!(outbox.flush(&budget).await, 30);
    assert_eq!(stream.events().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_the_stream_lose_exactly_what_found_no_room() {
    let steps = (0..100_000).map(|_| Step::Fail(ErrorKind::Unavailable));
    let (stream, clock, outbox) = outbox(steps);
    let mut offered = 0;
    for _ in 0..60 {
        offered += 400;
        offer(&outbox, offered, 400);
        clock.advance(Duration::from_secs(10));
        if outbox.due() {
            outbox.flush(&deadline(Duration::from_millis(100))).await;
        }
        assert!(outbox.counts().waiting <= OUTBOX_EVENTS_MAX as u64);
    }
    let counts = outbox.counts();
    assert_eq!(counts.accepted + counts.refused, offered as u64);
    assert_eq!((counts.waiting, counts.refused), (10_000, 14_000));
    stream.script.lock().unwrap().clear();
    clock.advance(OUTBOX_AGE_MAX);
    while outbox.flush(&deadline(OUTBOX_AGE_MAX)).await > 0 {}
    assert_eq!((outbox.counts().sent, outbox.counts().dropped), (10_000, 0));
}

/// Takes a quarter of the partition keys never.
#[derive(Default)]
struct OneShardThrottled {
    others: MemoryStream,
    healed: AtomicBool,
}

fn is_throttled(record: &Record) -> bool {
    let slot = record.partition_key[1..].split('.').next().unwrap();
    slot.parse::<u32>().unwrap() % 4 == 0
}

#[async_trait]
impl Stream for OneShardThrottled {
    async fn append(
        &self,
        records: Vec<Record>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        let mut answers = Vec::new();
        for record in records {
            if is_throttled(&record) && !self.healed.load(Ordering::SeqCst) {
                answers.push(Err(Error::new(ErrorKind::Throttled, "append")));
            } else {
                answers.extend(self.others.append(vec![record], deadline).await?);
            }
        }
        Ok(answers)
    }

    async fn shards(&self, deadline: &Deadline) -> Result<Vec<String>, Error> {
        self.others.shards(deadline).await
    }

    async fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        self.others.read(shard, after, limit, deadline).await
    }
}

#[tokio::test(start_paused = true)]
async fn one_throttled_shard_of_four_keeps_nothing_from_the_others() {
    let stream = Arc::new(OneShardThrottled::default());
    let outbox = Outbox::new(stream.clone(), clock());
    let throttled = |user: &UserId| {
        let key = crate::publish::bucket(user);
        let data = bytes::Bytes::new();
        is_throttled(&Record {
            partition_key: key,
            data,
        })
    };
    let users = (0..).map(|n| user(&format!("u{n}")));
    let (slow, quick): (Vec<_>, Vec<_>) = users.take(400).partition(throttled);
    let offer = |users: &[UserId], answers: usize| {
        for (number, user_id) in users.iter().cycle().take(answers).enumerate() {
            let answer = answer_of(user_id.clone(), number, 20);
            assert_eq!(outbox.offer(answer), 0);
        }
    };
    let patient = deadline(Duration::from_secs(60));
    // More than a flush of what comes back.
    offer(&slow, 150);
    for _ in 0..2 {
        assert_eq!(outbox.flush(&patient).await, 0);
    }
    assert!(outbox.lock().waiting.is_empty(), "all of it was tried");
    offer(&quick, 100);
    assert_eq!(outbox.flush(&patient).await, 2_000);
    let counts = outbox.counts();
    assert_eq!((counts.sent, counts.waiting), (2_000, 3_000));
    assert!(balanced(counts));

    stream.healed.store(true, Ordering::SeqCst);
    assert_eq!(outbox.finish(&patient).await, 0);
    let counts = outbox.counts();
    assert_eq!((counts.sent, counts.dropped, counts.waiting), (5_000, 0, 0));
    assert_eq!(stream.others.events().len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_everything_leaves_or_is_counted_as_lost() {
    let (stream, _, outbox) = outbox([]);
    for number in 0..400 {
        offer(&outbox, number, 20);
    }
    assert_eq!(outbox.finish(&deadline(OUTBOX_AGE_MAX)).await, 0);
    assert_eq!(stream.events().len(), 8_000, "four flushes");

    assert_eq!(offer(&outbox, 0, 20), 20, "nobody would send it");
    assert_eq!(outbox.counts().refused, 20);

    let (_, _, outbox) = self::outbox((0..1_000).map(|_| Step::Fail(ErrorKind::Unavailable)));
    for number in 0..400 {
        offer(&outbox, number, 20);
    }
    let clock = clock();
    let soon = Deadline::after(clock.clone(), Duration::from_millis(100));
    let ends = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        clock.advance(Duration::from_millis(100));
    };
    let (lost, ()) = tokio::join!(outbox.finish(&soon), ends);
    assert_eq!(lost, 8_000);
    let counts = outbox.counts();
    assert_eq!((counts.sent, counts.dropped, counts.waiting), (0, 8_000, 0));
    assert!(balanced(counts));
}
