//! Traffic over shards, and a delivery that repeats, cuts and kills.

use engine::{Event, EventKind};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use store::{BatchOutcome, Consumer, StreamRecord};

use crate::world::{HOUR_MS, NOW_MS, World, event};

const KINDS: [EventKind; 4] = [
    EventKind::Impression,
    EventKind::Click,
    EventKind::Watch,
    EventKind::Like,
];

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

/// Shards of records; a user's events share a shard, some are sent again under another position.
pub fn traffic(
    world: &World,
    dice: &mut Dice,
    shards: usize,
    total: usize,
) -> Vec<Vec<StreamRecord>> {
    let mut queues: Vec<Vec<Event>> = vec![Vec::new(); shards];
    for id in 0..total {
        let (user, video) = (dice.below(40) as u64, dice.below(30) as u64);
        let ts_ms = NOW_MS - dice.below(5 * HOUR_MS as usize) as i64;
        let event = event(id, user, video, KINDS[dice.below(4)], ts_ms);
        let queue = &mut queues[user as usize % shards];
        queue.push(event.clone());
        if dice.below(5) == 0 {
            let again = queue[queue.len().saturating_sub(1 + dice.below(30))].clone();
            queue.push(again);
        }
    }
    let mut records = Vec::with_capacity(shards);
    for (shard, queue) in queues.iter().enumerate() {
        let (mut of_shard, mut rest, mut sequence) = (Vec::new(), &queue[..], 95);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + dice.below(8)));
            of_shard.push(world.record(&name(shard), sequence, now));
            (rest, sequence) = (later, sequence + 1);
        }
        records.push(of_shard);
    }
    records
}

pub fn name(shard: usize) -> String {
    format!("shard-{shard:03}")
}

/// Delivers everything at least once, in order per shard, in batches of any cut, some of it again,
/// killing the consumer at up to `kills_max` writes. Answers how often it was killed.
pub async fn deliver(
    world: &World,
    dice: &mut Dice,
    shards: &[Vec<StreamRecord>],
    kills_max: usize,
) -> usize {
    let (mut at, mut kills) = (vec![0; shards.len()], 0);
    while at.iter().zip(shards).any(|(at, shard)| *at < shard.len()) {
        let shard = dice.below(shards.len());
        let records = &shards[shard];
        if dice.below(3) == 0 {
            at[shard] -= dice.below(6).min(at[shard]);
        }
        let end = (at[shard] + 1 + dice.below(20)).min(records.len());
        if kills < kills_max && dice.below(3) == 0 {
            world.tables.dies_at(1 + dice.below(30) as i64);
        }
        let batch = records[at[shard]..end].to_vec();
        let first = batch.first().map(|record| record.position.clone());
        let outcome = world.consumer.consume(batch, &world.deadline).await;
        let dead = world.tables.is_dead();
        kills += usize::from(dead);
        if dead && !world.tables.died_telling(&name(shard)) {
            assert_eq!(
                outcome.failed_from, first,
                "a failed write fails the batch from its first"
            );
        } else {
            assert_eq!(outcome, BatchOutcome::done());
            at[shard] = end;
        }
        world.tables.lives_on();
    }
    kills
}
