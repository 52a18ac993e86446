//! A generation of any bytes: opening refuses it, or everything can be read and asked.

#![no_main]

#[path = "../../shared/engine/tests/laws/reading.rs"]
mod reading;

use std::sync::Arc;
use std::time::Duration;

use engine::{
    CategoriesMatch, EngineTuning, Index, Interaction, Pipeline, Query, Recipe, UserState, VideoId,
};
use futures_util::FutureExt;
use guard::{Deadline, ManualClock};
use libfuzzer_sys::fuzz_target;
use smol_str::SmolStr;

fuzz_target!(|bytes: &[u8]| {
    let mut sealed = bytes.to_vec();
    reading::reseal(&mut sealed);
    // As it came, and as somebody would send it who knows how checksums are made.
    for bytes in [bytes.to_vec(), sealed] {
        if let Ok(index) = Index::open(Arc::new(bytes)) {
            reading::read_all(&index);
            ask(&Arc::new(index));
        }
    }
});

fn ask(index: &Arc<Index>) {
    let videos = (0..5).filter_map(|item| index.typed_video_id(item));
    let past = |video_id: VideoId| Interaction {
        video_id,
        kind: engine::EventKind::Like,
        ts_ms: 1,
        watch_ratio: 1.0,
    };
    let user = UserState {
        recent: videos.map(past).collect(),
        ..UserState::default()
    };
    let user = Arc::new(user);
    let first = index.typed_video_id(0);
    let similar = first.map_or(Recipe::Trending, Recipe::Similar);
    for recipe in [
        Recipe::Personal,
        Recipe::Cohort(1),
        similar,
        Recipe::Latest,
        Recipe::Popular,
    ] {
        let clock = Arc::new(ManualClock::default());
        let query = Query {
            index: Arc::clone(index),
            recipe,
            user: Some(Arc::clone(&user)),
            session: Vec::new(),
            scene: SmolStr::new_static("home"),
            market: SmolStr::new_static("DE"),
            categories: Vec::new(),
            categories_match: CategoriesMatch::Any,
            exclude: Vec::new(),
            hidden: Arc::default(),
            wanted: 20,
            tuning: Arc::new(EngineTuning::default()),
            deadline: Deadline::after(clock, Duration::from_secs(1)),
            now_ms: 1_700_000_000_000,
            seed: 1,
        };
        let ranked = Pipeline::standard().run(&query).now_or_never();
        assert!(ranked.is_some_and(|ranked| ranked.items.len() <= query.wanted));
    }
}
