use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::testing::{MemoryTables, clock, deadline, video};

mod races;

fn made(id: &str, title: &str) -> Video {
    Video {
        title: title.to_owned(),
        ..Video::new(video(id))
    }
}

fn hide(hidden: bool) -> Patch {
    Patch {
        hidden: Some(hidden),
        ..Patch::default()
    }
}

struct House {
    tables: Arc<MemoryTables>,
    clock: Arc<guard::ManualClock>,
    deadline: Deadline,
}

impl House {
    fn new() -> Self {
        let clock = clock();
        let deadline = Deadline::after(clock.clone(), Duration::from_secs(3_600));
        Self {
            tables: Arc::new(MemoryTables::default()),
            clock,
            deadline,
        }
    }

    /// A process of its own.
    fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.tables.clone(), self.clock.clone())
    }

    async fn hidden(&self, catalogue: &Catalogue) -> Vec<String> {
        let hidden = catalogue.hidden(&self.deadline).await;
        let mut ids: Vec<String> = hidden.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    }
}

#[tokio::test]
async fn what_is_put_is_loaded_and_walked() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    let videos: Vec<Video> = (0..VIDEOS_PER_CALL_MAX + 5)
        .map(|i| made(&format!("v{i}"), "t"))
        .collect();
    catalogue.put(videos.clone(), deadline).await.unwrap();
    let loaded = catalogue
        .load(&[video("v3"), video("none")], deadline)
        .await
        .unwrap();
    assert_eq!(loaded, [Some(videos[3].clone()), None]);
    let (mut walked, mut after) = (0, None);
    loop {
        let page = catalogue.scan(after, 50, deadline).await.unwrap();
        walked += page.videos.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(walked, videos.len());
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_survives_another_writer() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    catalogue
        .put(vec![made("v1", "before")], deadline)
        .await
        .unwrap();
    house.tables.conflicts.store(2, Ordering::SeqCst);
    let patch = Patch {
        tags: Some(vec!["x".into()]),
        ..Patch::default()
    };
    let video = catalogue
        .patch(&video("v1"), &patch, deadline)
        .await
        .unwrap();
    assert_eq!((video.title.as_str(), video.tags.len()), ("before", 1));
    let missing = catalogue
        .patch(&crate::testing::video("v2"), &patch, deadline)
        .await;
    assert_eq!(missing.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn every_process_knows_of_a_hidden_video_within_five_seconds() {
    let house = House::new();
    let (writer, reader) = (house.catalogue(), house.catalogue());
    let deadline = &house.deadline;
    writer
        .put(vec![made("v1", ""), made("v2", "")], deadline)
        .await
        .unwrap();
    assert!(house.hidden(&reader).await.is_empty());
    writer
        .patch(&video("v1"), &hide(true), deadline)
        .await
        .unwrap();
    assert!(writer.delete(&video("v2"), deadline).await.unwrap());
    assert!(
        !writer.delete(&video("v2"), deadline).await.unwrap(),
        "it is gone"
    );
    assert_eq!(
        house.hidden(&writer).await,
        ["v1", "v2"],
        "who hides knows at once"
    );
    house.clock.advance(OVERLAY_AGE_MAX);
    assert_eq!(house.hidden(&reader).await, ["v1", "v2"]);
    writer
        .patch(&video("v1"), &hide(false), deadline)
        .await
        .unwrap();
    writer
        .put(vec![made("v2", "again")], deadline)
        .await
        .unwrap();
    house.clock.advance(OVERLAY_AGE_MAX);
    assert!(house.hidden(&reader).await.is_empty(), "shown again");
}

#[tokio::test]
async fn what_is_hidden_is_at_hand_until_it_has_to_be_read() {
    let house = House::new();
    let catalogue = house.catalogue();
    let at_hand = || catalogue.hidden_at_hand(house.clock.now());
    assert!(at_hand().is_none(), "nobody has read it");
    house.hidden(&catalogue).await;
    let known = catalogue.hidden(&house.deadline).await;
    assert!(at_hand().is_some_and(|hidden| Arc::ptr_eq(&hidden, &known)));
    house.clock.advance(OVERLAY_AGE_MAX);
    assert!(at_hand().is_none(), "too old");
    assert!(
        at_hand().is_none(),
        "looking takes nobody's turn to read it"
    );
    let before = house.tables.loads.load(Ordering::SeqCst);
    house.hidden(&catalogue).await;
    assert!(house.tables.loads.load(Ordering::SeqCst) > before);
    assert!(at_hand().is_some());
}

#[tokio::test]
async fn the_overlay_is_read_by_age_and_the_last_good_one_stays() {
    let house = House::new();
    let catalogue = house.catalogue();
    catalogue
        .put(vec![made("v1", "")], &house.deadline)
        .await
        .unwrap();
    catalogue
        .patch(&video("v1"), &hide(true), &house.deadline)
        .await
        .unwrap();
    house.hidden(&catalogue).await;
    let before = house.tables.loads.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        house.hidden(&catalogue).await;
    }
    assert_eq!(house.tables.loads.load(Ordering::SeqCst), before, "fresh");
    house.tables.down.store(true, Ordering::SeqCst);
    house.clock.step_wall_ms(600_000);
    for _ in 0..1_000 {
        assert_eq!(house.hidden(&catalogue).await, ["v1"], "the last good one");
    }
    assert_eq!(
        house.tables.loads.load(Ordering::SeqCst),
        before + 1,
        "not asked by every request"
    );
    house.tables.down.store(false, Ordering::SeqCst);
    house.clock.advance(Duration::from_secs(1));
    house.hidden(&catalogue).await;
    assert_eq!(house.tables.loads.load(Ordering::SeqCst), before + 2);
}

#[tokio::test]
async fn an_import_full_of_hidden_videos_leaves_the_overlay_alone() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    let hidden = |id: &str| Video {
        hidden: true,
        ..made(id, "")
    };
    catalogue
        .put(vec![made("known", "")], deadline)
        .await
        .unwrap();
    catalogue
        .put(vec![hidden("known"), hidden("new")], deadline)
        .await
        .unwrap();
    assert_eq!(house.hidden(&catalogue).await, ["known"]);
}

#[tokio::test]
async fn the_same_import_again_leaves_the_overlay_alone() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    let hidden = Video {
        hidden: true,
        ..made("v1", "")
    };
    for _ in 0..2 {
        catalogue.put(vec![hidden.clone()], deadline).await.unwrap();
        assert!(house.hidden(&catalogue).await.is_empty(), "in no index");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_written_hides_rather_than_shows() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    catalogue.put(vec![made("v1", "")], deadline).await.unwrap();
    // The overlay's write goes through after one conflict, then every try at the video's row fails.
    house.tables.conflicts.store(1, Ordering::SeqCst);
    catalogue
        .patch(&video("v1"), &hide(true), deadline)
        .await
        .unwrap();
    house
        .tables
        .conflicts
        .store(PATCH_ATTEMPTS_MAX, Ordering::SeqCst);
    let error = catalogue
        .patch(&video("v1"), &hide(false), deadline)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(house.hidden(&catalogue).await, ["v1"]);
}

#[tokio::test]
async fn the_overlay_is_bounded_and_a_generation_empties_it() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    let wide = |i: usize| format!("{i:064}");
    let ids: Vec<VideoId> = (0..OVERLAY_IDS_MAX - 500)
        .map(|i| video(&wide(i)))
        .collect();
    for chunk in ids.chunks(2_000) {
        catalogue.overlay.add(chunk, deadline).await.unwrap();
    }
    for row in 0..4 {
        let bytes = house
            .tables
            .row(Table::Control, &format!("hidden/{row}"))
            .unwrap()
            .bytes;
        assert!(
            bytes.len() <= 256 * 1_024,
            "{} bytes in one row",
            bytes.len()
        );
    }
    let more: Vec<VideoId> = (0..2_000).map(|i| video(&format!("x{i}"))).collect();
    let error = catalogue.overlay.add(&more, deadline).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled);
    house.clock.advance(Duration::from_secs(60));
    let as_of_ms = house.clock.now().wall_ms;
    catalogue.settle(as_of_ms, deadline).await.unwrap();
    assert!(house.hidden(&catalogue).await.is_empty());
    catalogue.overlay.add(&more, deadline).await.unwrap();
    catalogue.settle(as_of_ms, deadline).await.unwrap();
    assert_eq!(
        house.hidden(&catalogue).await.len(),
        more.len(),
        "newer than the generation"
    );
}

#[tokio::test]
async fn rows_of_older_and_newer_writers_are_read_and_damage_is_an_error() {
    let house = House::new();
    let catalogue = house.catalogue();
    let newer = br#"{"video":{"id":"v1","title":"t","shelf":"top"},"seal":7}"#;
    house
        .tables
        .insert(Table::Videos, "v1", sealed::seal(VIDEO_SCHEMA, newer));
    let loaded = catalogue
        .load(&[video("v1")], &house.deadline)
        .await
        .unwrap();
    assert_eq!(loaded, [Some(made("v1", "t"))]);
    house
        .tables
        .insert(Table::Videos, "v1", Bytes::from_static(b"nonsense"));
    let error = catalogue
        .load(&[video("v1")], &house.deadline)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(
        catalogue
            .delete(&video("v1"), &deadline(&house.clock))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_video_too_large_is_invalid() {
    let house = House::new();
    let huge = made("v1", &"x".repeat(VIDEO_BYTES_MAX));
    let error = house
        .catalogue()
        .put(vec![huge], &house.deadline)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_cold_start_without_the_table_costs_one_reading_a_second() {
    let house = House::new();
    let catalogue = house.catalogue();
    house.tables.down.store(true, Ordering::SeqCst);
    for _ in 0..1_000 {
        assert!(house.hidden(&catalogue).await.is_empty());
    }
    assert_eq!(house.tables.loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_known_or_was_deleted_is_left_alone_by_put_absent() {
    let house = House::new();
    let (catalogue, deadline) = (house.catalogue(), &house.deadline);
    catalogue
        .put(vec![made("known", "mine"), made("gone", "mine")], deadline)
        .await
        .unwrap();
    catalogue.delete(&video("gone"), deadline).await.unwrap();
    let offered = ["known", "gone", "new"].map(|id| made(id, "theirs"));
    catalogue.put_absent(&offered, deadline).await.unwrap();
    let ids = ["known", "gone", "new"].map(video);
    let titles = catalogue.load(&ids, deadline).await.unwrap();
    let titles: Vec<Option<String>> = titles.into_iter().map(|v| v.map(|v| v.title)).collect();
    assert_eq!(
        titles,
        [Some("mine".to_owned()), None, Some("theirs".to_owned())]
    );
}
