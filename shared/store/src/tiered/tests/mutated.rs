//! Values in Redis that somebody changed: what users are answered with.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use redis::AsyncCommands;

use super::shared::Fleet;
use super::*;
use crate::envelope::{ENVELOPE_BYTES_MAX, VERSION};
use crate::redis::SharedKey;

/// Users, each with a value of their own.
const USERS: usize = 500;
/// One value in so many is another user's, whole; now and then, because it costs the connection.
const FOREIGN_ONE_IN: usize = 100;

fn name(number: usize) -> String {
    format!("u{number}")
}

fn key(number: usize) -> SharedKey {
    let name = name(number);
    SharedKey::slate(by(&name).key(), Some(&user(&name)))
}

/// Changes every user's value, each in another way.
async fn mutate(fleet: &Fleet, all: &[Vec<u8>], runner: &mut TestRunner) {
    let mutations = (
        0u8..4,
        0usize..1 << 16,
        0u8..8,
        proptest::collection::vec(0u8.., 0..64),
    );
    let mut client = fleet.server.client().await;
    for (number, good) in all.iter().enumerate() {
        let (kind, at, bit, noise) = mutations.new_tree(runner).unwrap().current();
        let (mut bytes, at) = (good.clone(), at % good.len());
        match (number, kind) {
            (0, _) => bytes = vec![b'R'; 10 << 20],
            (1, _) => bytes = vec![b'R'; ENVELOPE_BYTES_MAX + 1],
            _ if number % FOREIGN_ONE_IN == FOREIGN_ONE_IN / 2 => bytes = all[number - 1].clone(),
            (_, 0) => bytes[at] ^= 1 << bit,
            (_, 1) => bytes.truncate(at),
            (_, 2) => bytes[3] = VERSION + 1 + bit,
            _ => bytes = noise,
        }
        let _: () = client.set(key(number).as_str(), bytes).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_thousand_mutated_values_none_is_served_and_everybody_gets_their_own() {
    let fleet = Fleet::new().await;
    let maker = fleet.process().await;
    let (mut made, mut good) = (Vec::new(), Vec::new());
    let mut client = fleet.server.client().await;
    for number in 0..USERS {
        let (name, at) = (name(number), number % VIDEOS);
        fleet
            .world
            .watched(&name, &[at, (at * 7 + number) % VIDEOS])
            .await;
        let answer = fleet.ask(&maker, by(&name)).await;
        assert_eq!(answer.outcome, TierOutcome::Origin);
        made.push(answer.slate);
        let bytes: Vec<u8> = client.get(key(number).as_str()).await.unwrap();
        good.push(bytes);
    }
    let mut runner = TestRunner::deterministic();
    for at_once in [1, 64] {
        mutate(&fleet, &good, &mut runner).await;
        let reader = fleet.process().await;
        let (mut foreign, mut given_up) = (0, 0);
        let numbers: Vec<usize> = (0..USERS).collect();
        for some in numbers.chunks(at_once) {
            let asks = some.iter().map(|number| async {
                let patience = fleet.world.deadline(10_000);
                reader.tiered.slate(by(&name(*number)), &patience).await
            });
            for (number, answer) in some.iter().zip(join_all(asks).await) {
                let seen = (answer.slate.rung, answer.outcome);
                assert_eq!(seen, (Rung::Personal, TierOutcome::Origin), "{number}");
                let own = answer.slate.items == made[*number].items;
                foreign += usize::from(!own);
                given_up += usize::from(!answer.slate.degraded.is_empty());
            }
        }
        reader.settle().await;
        println!(
            "shown: {USERS} mutated values, {at_once} at once: {foreign} foreign, {given_up} requests without Redis"
        );
        assert_eq!(foreign, 0, "{at_once} at once");
        // A connection that is given up takes along what is under way on it, and the next is dialed
        // while more is asked: how many that are is the machine's to say. It is not given up for good.
        assert!(given_up < USERS, "{given_up}, {at_once} at once");
    }
}
