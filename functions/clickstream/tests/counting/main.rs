//! Every event counts once, whatever is replayed, split, enlarged or killed.

use bytes::Bytes;
use engine::{Event, EventKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::counters::VideoCounts;
use store::dead_letters::{DeadLetter, PREFIX};
use store::{BatchOutcome, Consumer, Objects, events};

#[cfg(test)]
mod delivery;
#[cfg(test)]
mod world;

use delivery::{Dice, deliver, name, traffic};
use world::{HOUR_MS, NOW_MS, World, event, record};

#[tokio::test]
async fn ten_thousand_events_over_four_shards_with_twenty_kills_count_once() {
    let (world, mut dice) = (World::new(), Dice::new(7));
    let shards = traffic(&world, &mut dice, 4, 10_000);
    assert_eq!(deliver(&world, &mut dice, &shards, 20).await, 20);
    world.check(&(0..4).map(name).collect::<Vec<_>>()).await;
}

#[test]
fn any_delivery_counts_once() {
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let law = |(seed, shards, total): (u64, usize, usize)| {
        runtime.block_on(async {
            let (world, mut dice) = (World::new(), Dice::new(seed));
            let shards = traffic(&world, &mut dice, shards, total);
            deliver(&world, &mut dice, &shards, 3).await;
            world
                .check(&(0..shards.len()).map(name).collect::<Vec<_>>())
                .await;
        });
        Ok(())
    };
    // Killed while it told what is hot: nobody waits for that, and the batch is applied.
    law((3_286_449_360_463_455_525, 2, 355)).unwrap();
    runner
        .run(&(any::<u64>(), 1..4_usize, 150..400_usize), law)
        .unwrap();
}

#[tokio::test]
async fn a_kill_at_every_write_of_a_batch_changes_nothing() {
    let mut dice = Dice::new(11);
    for kill_at in 1.. {
        let world = World::new();
        let shards = traffic(&world, &mut dice, 1, 25);
        world.tables.dies_at(kill_at);
        let killed = world
            .consumer
            .consume(shards[0].clone(), &world.deadline)
            .await;
        let survived = !world.tables.is_dead();
        let told = survived || world.tables.died_telling(&name(0));
        assert_eq!(killed.failed_from.is_none(), told);
        world.tables.lives_on();
        for cut in [1, 3, shards[0].len()] {
            for batch in shards[0].chunks(cut) {
                let outcome = world
                    .consumer
                    .consume(batch.to_vec(), &world.deadline)
                    .await;
                assert_eq!(outcome, BatchOutcome::done());
            }
        }
        world.check(&[name(0)]).await;
        if survived {
            assert!(kill_at > 20, "the batch writes more than that");
            break;
        }
    }
}

#[tokio::test]
async fn two_handlers_of_one_shard_count_once() {
    let (world, mut dice) = (World::new(), Dice::new(13));
    let shards = traffic(&world, &mut dice, 1, 120);
    let (short, long) = (shards[0][..10].to_vec(), shards[0].clone());
    let (one, other) = tokio::join!(
        world.consumer.consume(short, &world.deadline),
        world.consumer.consume(long.clone(), &world.deadline),
    );
    assert_eq!((one, other), (BatchOutcome::done(), BatchOutcome::done()));
    world.consumer.consume(long, &world.deadline).await;
    world.check(&[name(0)]).await;
}

#[tokio::test]
async fn an_event_sent_again_after_a_reshard_counts_once() {
    let world = World::new();
    let sent = event(1, 1, 1, EventKind::Click, NOW_MS);
    let parent = world.record("parent", 9, std::slice::from_ref(&sent));
    let other = event(2, 1, 1, EventKind::Click, NOW_MS - 2 * HOUR_MS);
    let child = world.record("child", 3, &[sent, other]);
    for batch in [
        vec![parent.clone()],
        vec![child.clone()],
        vec![parent],
        vec![child],
    ] {
        assert_eq!(
            world.consumer.consume(batch, &world.deadline).await,
            BatchOutcome::done()
        );
    }
    world
        .check(&["parent".to_owned(), "child".to_owned()])
        .await;
}

#[tokio::test]
async fn a_long_view_counts_also_where_a_short_one_came_first() {
    let world = World::new();
    let watch = |id, watched_ms| Event {
        watch_ms: Some(watched_ms),
        duration_ms: Some(60_000),
        ..event(id, 1, 1, EventKind::Watch, NOW_MS)
    };
    let batch = [watch(1, 900), watch(2, 58_000), watch(3, 59_000)];
    let batch = vec![world.record("s", 1, &batch)];
    let outcome = world.consumer.consume(batch, &world.deadline).await;
    assert_eq!(outcome, BatchOutcome::done());
    let video = [event(1, 1, 1, EventKind::Watch, NOW_MS).video_id];
    let shards = ["s".to_owned()];
    let counts = VideoCounts::load(&*world.tables, &video, &shards, &world.deadline);
    let counts = counts.await.unwrap().remove(0);
    let hour = NOW_MS.div_euclid(HOUR_MS);
    assert_eq!(counts.hours[&hour][&EventKind::Watch], 1);
    assert_eq!(counts.long_views.get(&hour), Some(&1), "and once only");
}

#[tokio::test]
async fn only_poison_fails_and_its_payload_is_kept() {
    let world = World::new();
    let good = event(1, 1, 1, EventKind::Click, NOW_MS);
    let poison = Bytes::from_static(b"\x01not an event");
    let items = vec![
        ("k".to_owned(), events::encode(&good)),
        ("k".to_owned(), poison.clone()),
    ];
    let mixed = record("s", 5, store::aggregate::pack(items).remove(0).data);
    let mut torn = world
        .record("s", 6, &[event(2, 1, 2, EventKind::Like, NOW_MS)])
        .data
        .to_vec();
    let last = torn.len() - 1;
    torn[last] ^= 1;
    let batch = vec![
        world.record("s", 4, std::slice::from_ref(&good)),
        mixed,
        record("s", 6, torn.clone().into()),
        world.record("s", 7, &[event(2, 1, 2, EventKind::Like, NOW_MS)]),
    ];
    for _ in 0..2 {
        let outcome = world.consumer.consume(batch.clone(), &world.deadline).await;
        assert_eq!(outcome, BatchOutcome::done());
    }
    world.check(&["s".to_owned()]).await;
    let kept = world.objects.list(PREFIX, &world.deadline).await.unwrap();
    let keys: Vec<&str> = kept.iter().map(|meta| meta.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "dead/clickstream/s/5.1.json",
            "dead/clickstream/s/6.record.json"
        ]
    );
    let payloads = [poison, torn.into()];
    for (meta, payload) in kept.iter().zip(payloads) {
        let json = world
            .objects
            .get(&meta.key, 10_000, &world.deadline)
            .await
            .unwrap();
        let letter: DeadLetter = serde_json::from_slice(&json).unwrap();
        assert_eq!(letter.payload().unwrap(), payload);
        assert!(
            !letter.reason.contains("not an event"),
            "a reason names no content"
        );
    }
}

#[tokio::test]
async fn damaged_rows_do_not_stop_their_shard() {
    use store::{Change, Expect, Table, Tables, Write};
    let world = World::new();
    let click = event(1, 1, 1, EventKind::Click, NOW_MS);
    let batch = vec![world.record("s", 1, std::slice::from_ref(&click))];
    let ids = [
        (
            Table::Counters,
            store::counters::VideoCounts::row_id(&click.video_id, "s"),
        ),
        (Table::Users, click.user_id.to_string()),
    ];
    for (table, id) in ids {
        let change = Change::Put {
            bytes: Bytes::from_static(b"junk"),
            expires_at_s: None,
        };
        let write = Write {
            id,
            expect: Expect::Any,
            change,
        };
        world
            .tables
            .write(table, vec![write], &world.deadline)
            .await
            .unwrap();
    }
    let outcome = world.consumer.consume(batch, &world.deadline).await;
    assert_eq!(outcome, BatchOutcome::done());
}
