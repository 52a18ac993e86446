use std::time::Duration;

use bytes::Bytes;
use embedded::EmbeddedObjects;
use engine::{Profile, UserId};
use guard::ManualClock;
use jiff::civil::date;

use super::*;
use crate::Dedupe;
use crate::event_rows::sample::row;

fn deadline() -> Deadline {
    Deadline::after(
        Arc::new(ManualClock::starting_at(0)),
        Duration::from_secs(60),
    )
}

fn lake() -> (tempfile::TempDir, Arc<EmbeddedObjects>, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Arc::new(EmbeddedObjects::open(folder.path()).unwrap());
    let lake = Lake::new(objects.clone());
    (folder, objects, lake)
}

#[tokio::test]
async fn a_batch_lands_in_the_hours_of_its_events_under_a_name_that_repeats() {
    let (_folder, _objects, lake) = lake();
    let mut rows = vec![
        row(1, "shard-000", "9", 0),
        row(2, "shard-000", "10", 0),
        row(3, "shard-000", "11", 0),
    ];
    rows[1].event.ts_ms += 3_600_000 * 24;
    let keys = lake.write(rows.clone(), &deadline()).await.unwrap();
    assert_eq!(
        keys,
        [
            "lake/events/dt=2022-04-24/hour=15/shard-000_9_11.parquet",
            "lake/events/dt=2022-04-25/hour=15/shard-000_9_11.parquet",
        ]
    );
    assert_eq!(lake.write(rows.clone(), &deadline()).await.unwrap(), keys);
    let days = lake.days(&deadline()).await.unwrap();
    assert_eq!(days, [date(2022, 4, 24), date(2022, 4, 25)]);

    let mut read = Vec::new();
    for day in days {
        for object in lake.files(day, &deadline()).await.unwrap() {
            let collect = |batch| {
                read.extend(batch);
                Ok(())
            };
            lake.read_file(&object.key, &deadline(), collect)
                .await
                .unwrap();
        }
    }
    assert_eq!(read, [rows[0].clone(), rows[2].clone(), rows[1].clone()]);
    lake.delete(&keys, &deadline()).await.unwrap();
    assert!(lake.days(&deadline()).await.unwrap().is_empty());
}

#[tokio::test]
async fn overlapping_retries_deduplicate_exactly() {
    let (_folder, _objects, lake) = lake();
    let all: Vec<LakeRow> = (1..=30)
        .map(|n| row(n, "shard-000", &n.to_string(), 0))
        .collect();
    for batch in [&all[..10], &all[..20], &all[15..]] {
        lake.write(batch.to_vec(), &deadline()).await.unwrap();
    }
    let (mut dedupe, mut kept) = (Dedupe::new(), Vec::new());
    for object in lake.files(date(2022, 4, 24), &deadline()).await.unwrap() {
        for batch in lake.open(&object.key, &deadline()).await.unwrap() {
            kept.extend(batch.unwrap().into_iter().filter(|row| dedupe.admit(row)));
        }
    }
    kept.sort_by_key(|row| row.event.ts_ms);
    assert_eq!(kept, all);
}

#[tokio::test]
async fn a_damaged_object_is_named_and_leaves_no_file_behind() {
    let (_folder, objects, lake) = lake();
    let temporary = tempfile::tempdir().unwrap();
    let lake = lake.with_temporary(temporary.path().to_owned());
    let key = "lake/events/dt=2022-04-24/hour=15/x.parquet";
    objects
        .put(
            key,
            Bytes::from_static(b"PAR1 not really PAR1"),
            &deadline(),
        )
        .await
        .unwrap();
    let error = lake.open(key, &deadline()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.what.contains(key), "{error}");
    let missing = lake
        .open("lake/events/none.parquet", &deadline())
        .await
        .unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn profiles_are_kept_by_day_and_part() {
    let (_folder, _objects, lake) = lake();
    let (day, user_id) = (date(2022, 4, 30), UserId::parse("u").unwrap());
    let rows = vec![ProfileRow {
        user_id,
        profile: Profile {
            cohort: 7,
            ..Profile::default()
        },
    }];
    for part in 0..2 {
        lake.write_profiles(day, part, "g", rows.clone(), &deadline())
            .await
            .unwrap();
    }
    assert_eq!(lake.profile_days(&deadline()).await.unwrap(), [day]);
    let parts = lake.profile_files(day, &deadline()).await.unwrap();
    assert_eq!(parts.len(), 2);
    let file = lake
        .open_profiles(&parts[1].key, &deadline())
        .await
        .unwrap();
    assert_eq!(file.flat_map(Result::unwrap).collect::<Vec<_>>(), rows);
}
