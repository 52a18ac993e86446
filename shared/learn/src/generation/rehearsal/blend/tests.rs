use engine::feature::Scenes;
use engine::ranker::Split;
use engine::{Event, Video, VideoId};

use super::*;
use crate::{BuildOptions, GenerationBuilder};

const DAY_MS: i64 = 86_400_000;
/// When the night knew what it knows.
const NIGHT_MS: i64 = 20_000 * DAY_MS;

fn watch(user: &str, video: usize, ts_ms: i64) -> Event {
    let told = serde_json::json!({
        "event_id": "e", "kind": "watch", "user_id": user, "video_id": format!("v{video}"),
        "ts_ms": ts_ms, "watch_ms": 60_000, "duration_ms": 60_000,
    });
    serde_json::from_value(told).unwrap()
}

#[test]
fn of_a_night_two_days_old_nobody_is_asked_about_the_day_between() {
    let mut builder = GenerationBuilder::new(BuildOptions::new("old", NIGHT_MS));
    let mut events = Vec::new();
    for n in 0..10 {
        let video = Video::new(VideoId::parse(&format!("v{n}")).unwrap());
        builder.add_video(&video).unwrap();
        events.extend((0..3).map(|user| watch(&format!("old{user}"), n, NIGHT_MS - DAY_MS)));
    }
    events
        .iter()
        .for_each(|event| builder.add_event(event).unwrap());
    let night = Night::again(builder.finish().unwrap(), Scenes::default()).unwrap();
    // The day that is held back is the one after the next.
    let day_ms = NIGHT_MS + DAY_MS..NIGHT_MS + 2 * DAY_MS;
    events.extend([
        watch("between", 1, day_ms.start - 5),
        watch("between", 2, day_ms.start),
        watch("both", 3, day_ms.start - 5),
        watch("both", 4, day_ms.start + 1),
        watch("both", 5, day_ms.end),
        watch("both", 6, day_ms.end + 1),
        watch("after", 7, day_ms.end + 1),
    ]);
    let mut log = Log::default();
    events.iter().for_each(|event| log.add(event, 18_000, 0));
    log.settle();
    let forest = Forest::new(1, 0.0, vec![Split::PASS], vec![0.0, 0.0]).unwrap();
    let exams = exams(&log, &night, &day_ms, &forest, &TrainOptions::default());
    let item = |n: usize| night.index.find(&format!("v{n}")).unwrap();
    let wanted: Vec<&FxHashSet<u32>> = exams.iter().map(|exam| &exam.wanted).collect();
    assert_eq!(wanted, [&FxHashSet::from_iter([item(4), item(5)])]);
}
