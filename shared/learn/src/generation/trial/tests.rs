use engine::{Event, Video, VideoId};

use super::super::diary::Diary;
use super::super::shelf::Shelf;
use super::*;

const VIDEOS: usize = 300;
const USERS: usize = 900;

fn watch(user: usize, video: usize, ts_ms: i64) -> Event {
    let told = serde_json::json!({
        "event_id": "e", "kind": "watch", "user_id": format!("u{user}"),
        "video_id": format!("v{video}"), "ts_ms": ts_ms, "watch_ms": 60_000, "duration_ms": 60_000,
    });
    serde_json::from_value(told).unwrap()
}

/// Everybody watches eight videos of a stretch of forty that is their own.
fn town(options: &BuildOptions) -> (Catalogue, History) {
    let (mut shelf, mut diary) = (Shelf::default(), Diary::default());
    for video in 0..VIDEOS {
        let video = Video::new(VideoId::parse(&format!("v{video}")).unwrap());
        let number = diary.video_number(&video.video_id).unwrap();
        shelf.add(number, &video).unwrap();
    }
    for user in 0..USERS {
        for step in 0..8 {
            let video = (user * 7 + user * user * step % 40) % VIDEOS;
            let event = watch(user, video, (user + 1_000 * step) as i64);
            diary.add(&event, options).unwrap();
        }
    }
    let catalogue = shelf.arrange(diary.markets());
    let history = diary.arrange(&catalogue, options).unwrap();
    (catalogue, history)
}

#[test]
fn a_small_generation_answers_its_seeds_as_one_with_every_row_does() {
    let options = BuildOptions::new("trial", i64::MAX);
    let (catalogue, history) = town(&options);
    let (sample, exams) = sample(&history);
    let asked = &exams[..10];
    let seeds = asked.iter().flat_map(|exam| &exam.seeds);
    let small_one = small(&catalogue, &sample, seeds, &options).unwrap();
    let every = (0..VIDEOS as u32).map(|item| Seed { item, weight: 1.0 });
    let every: Vec<Seed> = every.collect();
    let whole = small(&catalogue, &sample, every.iter(), &options).unwrap();
    let rows = |index: &Index| {
        let items = 0..VIDEOS as u32;
        items
            .filter(|item| !index.neighbours().row(*item).is_empty())
            .count()
    };
    assert!(0 < rows(&small_one) && rows(&small_one) < rows(&whole));

    let mut scratch = Scratch::default();
    let mut told = |index: &Index, exam: &Exam, session_share: f32| -> Vec<(u32, u32)> {
        let knobs = CfKnobs {
            session_share: F32::new(session_share),
            ..options.cf
        };
        let best = predict_best(index, &knobs, &exam.seeds, 50, |_| true, &mut scratch);
        best.iter()
            .map(|row| (row.item, row.score.to_bits()))
            .collect()
    };
    for exam in asked {
        for share in SESSION_SHARES {
            let (few, all) = (told(&small_one, exam, share), told(&whole, exam, share));
            assert!(!all.is_empty());
            assert_eq!(few, all);
        }
    }
}
