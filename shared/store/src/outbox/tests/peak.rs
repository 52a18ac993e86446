//! The original's peak, 42,000 events a second, while one shard of four takes nothing.

use std::collections::HashMap;

use super::*;

/// How long one call of the stream takes.
const APPEND: Duration = Duration::from_millis(20);
/// How often a host looks at its outbox.
const TEND: Duration = Duration::from_millis(50);
const ITEMS: usize = 20;
/// Answers of ten milliseconds.
const ANSWERS: usize = 21;
const PERIOD: Duration = Duration::from_millis(10);
const THROTTLED: Duration = Duration::from_secs(4);
const HEALED: Duration = Duration::from_secs(2);

/// Counts how often each event was appended, and in which order they were taken.
#[derive(Default)]
struct FourShards {
    healed: AtomicBool,
    appends: Mutex<HashMap<SmolStr, u64>>,
    taken: Mutex<Vec<(UserId, u128, bool)>>,
    refused_records: Mutex<u64>,
}

#[async_trait]
impl Stream for FourShards {
    async fn append(
        &self,
        records: Vec<Record>,
        _: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        tokio::time::sleep(APPEND).await;
        let healed = self.healed.load(Ordering::SeqCst);
        let one = |record: Record| {
            let of_slow = is_throttled(&record);
            let taken = healed || !of_slow;
            *self.refused_records.lock().unwrap() += u64::from(!taken);
            for (_, data) in crate::aggregate::unpack(&record.data).unwrap() {
                let event = crate::events::decode(&data).unwrap();
                let place = u128::from(event.slate_position.unwrap());
                let number = event.ts_ms as u128 * ITEMS as u128 + place;
                *self
                    .appends
                    .lock()
                    .unwrap()
                    .entry(event.event_id)
                    .or_default() += 1;
                if taken {
                    let mut all = self.taken.lock().unwrap();
                    all.push((event.user_id, number, of_slow));
                }
            }
            let refusal = || Error::new(ErrorKind::Throttled, "append");
            taken.then(position).ok_or_else(refusal)
        };
        Ok(records.into_iter().map(one).collect())
    }

    async fn shards(&self, _: &Deadline) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn read(
        &self,
        _: &str,
        _: Option<&str>,
        _: usize,
        _: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        Ok(Vec::new())
    }
}

fn position() -> Position {
    Position {
        shard: "0".to_owned(),
        sequence: "1".to_owned(),
    }
}

fn is_slow(user: &UserId) -> bool {
    is_throttled(&Record {
        partition_key: crate::publish::bucket(user),
        data: bytes::Bytes::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn at_the_peak_a_throttled_shard_of_four_costs_the_others_nothing_and_counts_are_exact() {
    let stream = Arc::new(FourShards::default());
    let clock: Arc<dyn Clock> = Arc::new(ops::RealClock::new());
    let outbox = Outbox::new(stream.clone(), clock);
    let users: Vec<UserId> = (0..997).map(|n| user(&format!("u{n}"))).collect();
    let (mut offered, mut of_quick) = (0_u64, 0_u64);
    let offering = async {
        for period in 0..(THROTTLED + HEALED).as_millis() / PERIOD.as_millis() {
            if period == THROTTLED.as_millis() / PERIOD.as_millis() {
                stream.healed.store(true, Ordering::SeqCst);
            }
            for _ in 0..ANSWERS {
                let number = offered as usize / ITEMS;
                let user_id = users[number % users.len()].clone();
                let slow = is_slow(&user_id);
                let refused = outbox.offer(answer_of(user_id, number, ITEMS));
                assert!(slow || refused == 0, "a healthy shard's event is refused");
                offered += ITEMS as u64;
                of_quick += if slow { 0 } else { ITEMS as u64 };
            }
            assert!(outbox.counts().waiting <= OUTBOX_EVENTS_MAX as u64);
            tokio::time::sleep(PERIOD).await;
        }
    };
    let tending = async {
        let mut every = tokio::time::interval(TEND);
        loop {
            every.tick().await;
            outbox.tend(&deadline(Duration::from_secs(5))).await;
        }
    };
    tokio::select! {
        () = offering => {}
        () = tending => {}
    }
    assert_eq!(outbox.finish(&deadline(Duration::from_secs(60))).await, 0);

    let counts = outbox.counts();
    let taken = stream.taken.lock().unwrap();
    let appends = stream.appends.lock().unwrap();
    let quick = taken.iter().filter(|(_, _, slow)| !slow).count() as u64;
    assert_eq!(
        quick, of_quick,
        "everything of the other three leaves, once"
    );
    assert_eq!(counts.accepted + counts.refused, offered);
    assert_eq!(counts.accepted, counts.sent + counts.dropped);
    assert_eq!((counts.sent, counts.waiting), (taken.len() as u64, 0));
    let again = appends.values().map(|times| times - 1).sum::<u64>();
    assert_eq!(counts.retried, again);
    let mut last = HashMap::new();
    for (user, number, _) in taken.iter() {
        let before = last.insert(user.clone(), *number);
        assert!(before < Some(*number), "{user} in order");
    }
    println!(
        "shown: {offered} events at 42,000/s, one of four shards throttled for {} s: {quick} of the \
         others left, none lost; {} of its own lost, {} appended again, {} records refused",
        THROTTLED.as_secs(),
        counts.refused + counts.dropped,
        counts.retried,
        stream.refused_records.lock().unwrap(),
    );
}
