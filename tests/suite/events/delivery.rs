//! Traffic, and a delivery that repeats, cuts and kills.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use clickstream::{Clickstream, Parts};
use engine::Event;
use guard::{Clock, Deadline};
use ops::RealClock;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use store::{
    BatchOutcome, Consumer, DeadLetters, Ports, Position, StreamRecord, Users, publish_events,
};

use super::truth::{Truth, event};

const PATIENCE: Duration = Duration::from_secs(300);
const HOURS_MS: usize = 5 * 3_600_000;
const USERS: usize = 100;
const VIDEOS: usize = 40;
/// Events published at a time.
const CHUNK: usize = 2_500;
/// Most awaits that a doomed batch gets before it is dropped.
const AWAITS_MAX: usize = 12;
/// How often an empty answer is asked again before it is believed.
const EMPTY_READS_MAX: usize = 3;

/// Randomness that a seed repeats.
pub struct Dice(TestRng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }
}

/// Ports, and a consumer that can be killed and started anew.
pub struct Feed {
    pub ports: Ports,
    pub clock: Arc<dyn Clock>,
    consumer: Clickstream,
    pub killed: usize,
}

impl Feed {
    pub fn new(ports: Ports) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        Self {
            consumer: consumer(&ports, &clock),
            ports,
            clock,
            killed: 0,
        }
    }

    pub fn soon(&self) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), PATIENCE)
    }

    /// Publishes `total` new events, numbered from `first`, some of them again in a later request,
    /// as clients do that never heard the answer.
    pub async fn publish(&self, dice: &mut Dice, first: usize, total: usize, truth: &mut Truth) {
        let now_ms = self.clock.now().wall_ms;
        let mut open: Vec<Event> = Vec::new();
        let mut sent: Vec<Event> = Vec::new();
        for id in first..first + total {
            let (user, video) = (dice.below(USERS) as u64, dice.below(VIDEOS) as u64);
            let ts_ms = now_ms - dice.below(HOURS_MS) as i64;
            open.push(event(id, user, video, dice.below(5), ts_ms));
            if dice.below(8) == 0 && !sent.is_empty() {
                open.push(sent[dice.below(sent.len())].clone());
            }
            if open.len() >= CHUNK || id + 1 == first + total {
                let answers = publish_events(&*self.ports.stream, &open, &self.soon()).await;
                assert!(
                    answers.iter().all(Result::is_ok),
                    "{:?}",
                    answers.iter().find(|a| a.is_err())
                );
                truth.note(&open);
                sent.append(&mut open);
            }
        }
    }

    /// Publishes events that were published before.
    pub async fn send_again(&self, events: &[Event]) {
        let answers = publish_events(&*self.ports.stream, events, &self.soon()).await;
        assert!(answers.iter().all(Result::is_ok));
    }

    /// Everything in the stream, by shard, in order.
    pub async fn records(&self) -> BTreeMap<String, Vec<StreamRecord>> {
        let mut shards = BTreeMap::new();
        for shard in self.ports.stream.shards(&self.soon()).await.unwrap() {
            let (mut records, mut empty) = (Vec::<StreamRecord>::new(), 0);
            while empty < EMPTY_READS_MAX {
                let after = records
                    .last()
                    .map(|record| record.position.sequence.clone());
                let soon = self.soon();
                let read = self
                    .ports
                    .stream
                    .read(&shard, after.as_deref(), 5_000, &soon);
                let read = read.await.unwrap();
                empty = if read.is_empty() { empty + 1 } else { 0 };
                records.extend(read);
            }
            shards.insert(shard, records);
        }
        shards
    }

    /// Delivers these shards, each record one to three times, shards shuffled and in order within,
    /// in batches of any cut, until each is behind its last record; kills the consumer at a random
    /// await up to `kills_max` times.
    pub async fn deliver(
        &mut self,
        dice: &mut Dice,
        shards: &BTreeMap<String, Vec<StreamRecord>>,
        kills_max: usize,
    ) {
        let shards: Vec<&Vec<StreamRecord>> = shards.values().collect();
        let mut at = vec![0; shards.len()];
        let mut again = vec![0; shards.len()];
        let until = self.killed + kills_max;
        while at.iter().zip(&shards).any(|(at, shard)| *at < shard.len()) {
            let number = dice.below(shards.len());
            let records = shards[number];
            if dice.below(3) == 0 && again[number] < 2 * records.len() {
                let back = dice.below(40).min(at[number]);
                (at[number], again[number]) = (at[number] - back, again[number] + back);
            }
            let end = (at[number] + 1 + dice.below(8)).min(records.len());
            let batch = records[at[number]..end].to_vec();
            if batch.is_empty() {
                continue;
            }
            let doomed = self.killed < until && dice.below(4) > 0;
            let awaits = if doomed {
                1 + dice.below(AWAITS_MAX)
            } else {
                usize::MAX
            };
            let deadline = self.soon();
            match dropped_after(awaits, self.consumer.consume(batch, &deadline)).await {
                Some(outcome) => {
                    assert_eq!(outcome, BatchOutcome::done());
                    at[number] = end;
                }
                None => {
                    self.killed += 1;
                    self.consumer = consumer(&self.ports, &self.clock);
                }
            }
        }
    }

    /// Gives the consumer one batch, which it must take whole.
    pub async fn consume(&self, batch: Vec<StreamRecord>) {
        let outcome = self.consumer.consume(batch, &self.soon()).await;
        assert_eq!(outcome, BatchOutcome::done());
    }
}

pub fn consumer(ports: &Ports, clock: &Arc<dyn Clock>) -> Clickstream {
    Clickstream::new(Parts {
        users: Arc::new(Users::new(Arc::clone(&ports.tables))),
        counters: Arc::clone(&ports.tables),
        dead: DeadLetters::new(Arc::clone(&ports.objects), Clickstream::NAME),
        shared: None,
        clock: Arc::clone(clock),
    })
}

/// Polls work so many times, then drops it where it stands: what a killed process leaves behind.
pub async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut polled = 0;
    std::future::poll_fn(move |context| {
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polled >= polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A record that no producer of ours wrote.
pub fn poison(shard: &str, sequence: &str, data: &'static [u8]) -> StreamRecord {
    StreamRecord {
        position: Position {
            shard: shard.to_owned(),
            sequence: sequence.to_owned(),
        },
        partition_key: "k".to_owned(),
        data: bytes::Bytes::from_static(data),
        arrived_ms: 0,
    }
}
