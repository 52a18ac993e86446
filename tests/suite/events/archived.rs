//! The archive, killed at any await: rows may repeat, and each event is in the lake once to whoever
//! reads it as `docs/lake.md` says.

use std::collections::BTreeMap;
use std::sync::Arc;

use archive::{Archive, Parts};
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use engine::Event;
use lake::{Dedupe, Lake};
use smol_str::SmolStr;
use store::{BatchOutcome, Consumer, DeadLetters, Ports};

use super::delivery::{Dice, Feed, dropped_after};
use super::truth::Truth;

const EVENTS: usize = 6_000;
const KILLS: usize = 20;
const RECORDS_MAX: usize = 60;
/// Most awaits that a doomed batch gets: writing an object takes a few.
const AWAITS_MAX: usize = 12;

fn archive_of(feed: &Feed) -> Archive {
    let objects = &feed.ports.objects;
    Archive::new(Parts {
        lake: Arc::new(Lake::new(Arc::clone(objects))),
        dead: DeadLetters::new(Arc::clone(objects), Archive::NAME),
        clock: Arc::clone(&feed.clock),
    })
}

#[tokio::test]
async fn an_archive_killed_in_the_middle_of_batches_has_every_event_once_after_deduplication() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let feed = Feed::new(Ports {
        tables: Arc::new(EmbeddedTables::open(&at("tables")).unwrap()),
        stream: Arc::new(EmbeddedStream::open(&at("log"), 4).unwrap()),
        objects: Arc::new(EmbeddedObjects::open(&at("objects")).unwrap()),
    });
    let (mut dice, mut truth, mut killed) = (Dice::new(31), Truth::default(), 0);
    feed.publish(&mut dice, 0, EVENTS, &mut truth).await;
    let shards = feed.records().await;
    while killed < KILLS {
        for records in shards.values() {
            let mut from = 0;
            while from < records.len() {
                // Cut anew on every try, as a mapping does after a failure.
                let end = (from + 1 + dice.below(RECORDS_MAX)).min(records.len());
                let doomed = killed < KILLS && dice.below(2) == 0;
                let awaits = if doomed {
                    1 + dice.below(AWAITS_MAX)
                } else {
                    usize::MAX
                };
                let (archive, soon) = (archive_of(&feed), feed.soon());
                let batch = records[from..end].to_vec();
                match dropped_after(awaits, archive.consume(batch, &soon)).await {
                    Some(outcome) => {
                        assert_eq!(outcome, BatchOutcome::done());
                        from = end;
                    }
                    None => killed += 1,
                }
            }
        }
    }
    let (lake, mut seen) = (Lake::new(Arc::clone(&feed.ports.objects)), Dedupe::new());
    let (mut rows, mut once) = (0, BTreeMap::<SmolStr, Event>::new());
    for meta in feed
        .ports
        .objects
        .list("lake/", &feed.soon())
        .await
        .unwrap()
    {
        for batch in lake.open(&meta.key, &feed.soon()).await.unwrap() {
            for row in batch.unwrap() {
                rows += 1;
                if seen.admit(&row) {
                    let id = row.event.event_id.clone();
                    assert!(once.insert(id, row.event).is_none(), "twice");
                }
            }
        }
    }
    // Not `assert_eq`, which would print every event.
    assert!(
        once == truth.0,
        "{} of {} events",
        once.len(),
        truth.0.len()
    );
    assert!(
        rows > EVENTS,
        "nothing was written twice: this shows nothing"
    );
    println!(
        "shown: {EVENTS} events archived through {killed} kills in the middle of batches: {rows} rows, \
         {} after deduplication: exact",
        once.len()
    );
}
