//! What the archive writes, and that retries write nothing else.

use bytes::Bytes;
use engine::Event;
use lake::Dedupe;
use store::{Consumer, events};

#[cfg(test)]
mod world;

use world::{HOUR_MS, World, event, record, records};

#[tokio::test]
async fn a_batch_becomes_one_object_per_hour_and_again_the_same() {
    let world = World::new();
    let batch = records(8..12);
    world.consume(&batch).await;
    let (keys, rows) = (world.keys("lake/").await, world.rows().await);
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(
        keys.iter()
            .all(|key| key.ends_with("/shard-000_8_11.parquet")),
        "{keys:?}"
    );
    let mut ids: Vec<(String, u32, Event)> = rows
        .iter()
        .map(|row| (row.sequence.to_string(), row.index, row.event.clone()))
        .collect();
    ids.sort_by_key(|(_, _, event)| event.ts_ms);
    let expected = (16..24_u32).map(|id| {
        let sent = event(id, HOUR_MS + i64::from(id) * 600_000);
        ((id / 2).to_string(), id % 2, sent)
    });
    assert_eq!(ids, expected.collect::<Vec<_>>());
    world.consume(&batch).await;
    assert_eq!(
        (world.keys("lake/").await, world.rows().await),
        (keys, rows)
    );
}

#[tokio::test]
async fn batches_cut_anew_add_nothing_that_deduplication_lets_through() {
    let world = World::new();
    for range in [0..4, 0..6, 4..7, 3..12] {
        world.consume(&records(range)).await;
    }
    let rows = world.rows().await;
    let mut once = Dedupe::new();
    assert_eq!(rows.iter().filter(|row| once.admit(row)).count(), 24);
    assert!(rows.len() > 24);
}

#[tokio::test]
async fn poison_and_events_out_of_time_are_kept_aside() {
    let world = World::new();
    let poison = Bytes::from_static(b"\x01nonsense");
    let out_of_time = events::encode(&event(2, -1));
    let good = events::encode(&event(1, HOUR_MS));
    world
        .consume(&[record(5, &[poison, out_of_time, good])])
        .await;
    assert_eq!(world.rows().await.len(), 1);
    let dead = world.keys("dead/").await;
    assert_eq!(
        dead,
        [
            "dead/archive/shard-000/5.0.json",
            "dead/archive/shard-000/5.1.json"
        ]
    );
}

#[tokio::test]
async fn a_store_that_fails_fails_the_batch_from_its_first_record() {
    let world = World::new();
    let batch = records(8..12);
    world.deadline.cancel();
    let outcome = world.archive.consume(batch.clone(), &world.deadline).await;
    assert_eq!(outcome.failed_from.as_ref(), Some(&batch[0].position));
}
