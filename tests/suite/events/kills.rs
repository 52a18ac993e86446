//! The consumer, killed at any await: over the embedded stores, and over DynamoDB Local and moto.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws::Aws;
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use store::dead_letters::PREFIX;
use store::{Ports, Record, Row, StreamRecord, Table};
use tests::Cloud;

use super::delivery::{Dice, Feed, poison};
use super::truth::Truth;

const SHARDS: u16 = 4;
const EVENTS: usize = 10_000;
const KILLS: usize = 20;
/// Neither an aggregate nor an event.
const POISON: [&[u8]; 2] = [
    b"{\"kind\":\"click\"}",
    b"\xf3\x89\x9a\xc2 not an aggregate",
];

fn embedded(folder: &tempfile::TempDir) -> Ports {
    let at = |name: &str| folder.path().join(name);
    Ports {
        tables: Arc::new(EmbeddedTables::open(&at("tables")).unwrap()),
        stream: Arc::new(EmbeddedStream::open(&at("log"), SHARDS).unwrap()),
        objects: Arc::new(EmbeddedObjects::open(&at("objects")).unwrap()),
    }
}

/// Everything that consuming may change.
async fn picture(feed: &Feed) -> BTreeMap<(Table, String), Row> {
    let mut rows = BTreeMap::new();
    for table in [Table::Users, Table::Counters] {
        let mut after = None;
        loop {
            let page = feed
                .ports
                .tables
                .scan(table, after, 500, &feed.soon())
                .await
                .unwrap();
            rows.extend(page.rows.into_iter().map(|(id, row)| ((table, id), row)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    // Hot videos are copies of the moment, written now and then; nothing counts on them.
    rows.retain(|(_, id), _| !id.starts_with("hot#"));
    rows
}

async fn put_poison(feed: &Feed) {
    let records = POISON.map(|data| Record {
        partition_key: "poison".to_owned(),
        data: bytes::Bytes::from_static(data),
    });
    let answers = feed
        .ports
        .stream
        .append(records.to_vec(), &feed.soon())
        .await
        .unwrap();
    assert!(answers.iter().all(Result::is_ok));
}

/// Poison is kept once, with its payload, however often it was delivered.
async fn check_poison(feed: &Feed) {
    let kept = feed.ports.objects.list(PREFIX, &feed.soon()).await.unwrap();
    let mut payloads = BTreeSet::new();
    for meta in &kept {
        let bytes = feed
            .ports
            .objects
            .get(&meta.key, 10_000, &feed.soon())
            .await
            .unwrap();
        let letter: store::dead_letters::DeadLetter = serde_json::from_slice(&bytes).unwrap();
        payloads.insert(letter.payload().unwrap().to_vec());
    }
    assert_eq!(payloads, POISON.iter().map(|data| data.to_vec()).collect());
}

/// Ten thousand events with poison among them, delivered and killed; answers what was sent.
async fn live_through(feed: &mut Feed, dice: &mut Dice) -> Truth {
    let mut truth = Truth::default();
    feed.publish(dice, 0, EVENTS / 2, &mut truth).await;
    put_poison(feed).await;
    feed.publish(dice, EVENTS / 2, EVENTS / 2, &mut truth).await;
    let shards = feed.records().await;
    assert_eq!(
        shards
            .values()
            .filter(|records| !records.is_empty())
            .count(),
        usize::from(SHARDS)
    );
    while feed.killed < KILLS {
        feed.deliver(dice, &shards, KILLS - feed.killed).await;
    }
    assert_eq!(truth.0.len(), EVENTS);
    truth
}

/// Delivering everything once more, in other batches, changes nothing.
async fn replay_changes_nothing(feed: &mut Feed, dice: &mut Dice) {
    let before = picture(feed).await;
    let shards = feed.records().await;
    feed.deliver(dice, &shards, 0).await;
    // Not `assert_eq`, which would print every row.
    assert!(picture(feed).await == before, "a replay changes a row");
}

#[tokio::test]
async fn twenty_kills_over_the_embedded_stores_leave_exact_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut feed, mut dice) = (Feed::new(embedded(&folder)), Dice::new(21));
    let truth = live_through(&mut feed, &mut dice).await;
    assert!(feed.killed >= KILLS, "{} kills", feed.killed);
    truth
        .check(Arc::clone(&feed.ports.tables), &feed.soon())
        .await;
    check_poison(&feed).await;
    replay_changes_nothing(&mut feed, &mut dice).await;
    println!(
        "shown: {EVENTS} events, {} kills, embedded stores: exact",
        feed.killed
    );
}

#[tokio::test]
async fn twenty_kills_and_a_reshard_over_the_emulators_leave_exact_counts() {
    let cloud = Cloud::start(SHARDS.into()).await.unwrap();
    let ports = Aws::connect(&cloud.settings().unwrap()).await.ports();
    let (mut feed, mut dice) = (Feed::new(ports), Dice::new(22));
    let mut truth = live_through(&mut feed, &mut dice).await;
    assert!(feed.killed >= KILLS, "{} kills", feed.killed);
    let before = feed.records().await;
    cloud.split_first_shard().await.unwrap();
    // Old events once more beside new ones, now on other shards.
    feed.publish(&mut dice, EVENTS, 600, &mut truth).await;
    let old: Vec<_> = truth.0.values().step_by(30).cloned().collect();
    feed.send_again(&old).await;
    let after = feed.records().await;
    assert!(after.len() > before.len(), "{} shards", after.len());
    feed.deliver(&mut dice, &after, 5).await;
    truth
        .check(Arc::clone(&feed.ports.tables), &feed.soon())
        .await;
    check_poison(&feed).await;
    replay_changes_nothing(&mut feed, &mut dice).await;
    println!(
        "shown: {} events, {} kills, {} shards after a reshard, DynamoDB Local and moto: exact",
        truth.0.len(),
        feed.killed,
        after.len()
    );
}

#[tokio::test]
async fn a_crash_between_the_last_write_and_the_answer_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (feed, mut dice) = (Feed::new(embedded(&folder)), Dice::new(23));
    let mut truth = Truth::default();
    feed.publish(&mut dice, 0, 400, &mut truth).await;
    let shards = feed.records().await;
    let all: Vec<Vec<StreamRecord>> = shards.values().cloned().collect();
    for batch in &all {
        feed.consume(batch.clone()).await;
    }
    let before = picture(&feed).await;
    // The answer never arrived: the same batches come again, smaller, and larger by poison.
    for batch in &all {
        for part in batch.chunks(3) {
            feed.consume(part.to_vec()).await;
        }
        let mut larger = batch.clone();
        let shard = &batch[0].position.shard;
        larger.push(poison(shard, "99999999999999999999", POISON[0]));
        feed.consume(larger).await;
    }
    assert!(picture(&feed).await == before, "a replay changes a row");
    truth
        .check(Arc::clone(&feed.ports.tables), &feed.soon())
        .await;
}
