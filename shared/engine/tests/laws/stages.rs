//! What is given up when time runs out or a part fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::pipeline::{Candidate, Prepared};
use engine::ranker::Ranker;
use engine::source::{Proposal, Proposals, Source};
use engine::{Pipeline, Query, ReasonKind};
use guard::{Deadline, ManualClock};

use crate::wish::{Wish, quiet};
use crate::world::{Film, World};

fn query() -> Query {
    let film = |n: usize| Film {
        creator: Some(n as u32 % 3),
        categories: BTreeSet::from([n as u32 % 4]),
        markets: BTreeSet::new(),
        hidden: false,
        from_ms: i64::MIN,
        until_ms: i64::MAX,
        quality: 0.5,
        links: (1..5)
            .map(|step| ((n + step) % 30, 1.0 / step as f32))
            .collect(),
    };
    let world = World {
        films: (0..30).map(film).collect(),
        sessions: (0..20).map(|n| vec![n, n + 1, n + 3]).collect(),
        trending: (5..25).collect(),
    };
    world.query(&Wish {
        recent: vec![(1, true), (2, true)],
        known: true,
        ..quiet()
    })
}

/// A source that is somewhere else and does not answer in time.
struct Remote(Duration);

#[async_trait]
impl Source for Remote {
    fn name(&self) -> &'static str {
        "cf"
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::WatchedTogether
    }

    async fn propose(&self, _: &Prepared<'_>) -> Proposals {
        tokio::time::sleep(self.0).await;
        let items = vec![Proposal {
            item: 29,
            score: 1.0,
            because: 2,
        }];
        Proposals {
            items,
            overran: false,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_overruns_is_dropped_and_named() {
    let mut pipeline = Pipeline::standard();
    pipeline.set_source(Box::new(Remote(Duration::from_millis(81))));
    let ranked = pipeline.run(&query()).await;
    assert_eq!(ranked.degraded, ["cf_timeout"]);
    assert_eq!(ranked.items.len(), 10);
    assert!(
        ranked
            .items
            .iter()
            .all(|item| !item.sources.iter().any(|source| source == "cf"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_in_time_is_heard_and_gives_the_reason() {
    let mut pipeline = Pipeline::standard();
    pipeline.set_source(Box::new(Remote(Duration::from_millis(79))));
    let mut query = query();
    let home = Arc::make_mut(&mut query.tuning)
        .scenes
        .get_mut("home")
        .unwrap();
    home.weights.remove("content");
    let ranked = pipeline.run(&query).await;
    assert!(ranked.degraded.is_empty(), "{:?}", ranked.degraded);
    let own = ranked
        .items
        .iter()
        .find(|item| item.video_id.as_str() == "v029")
        .unwrap();
    assert_eq!(own.reason.kind, ReasonKind::WatchedTogether);
    assert_eq!(own.reason.because[0].as_str(), "v002");
}

#[tokio::test]
async fn with_too_little_time_no_stage_starts_and_the_slate_is_filled() {
    for left_ms in [0, 4] {
        let clock = Arc::new(ManualClock::default());
        let deadline = Deadline::after(clock, Duration::from_millis(left_ms));
        let ranked = Pipeline::standard()
            .run(&Query {
                deadline,
                ..query()
            })
            .await;
        assert_eq!(
            ranked.degraded,
            ["rank_skipped", "recall_skipped", "rerank_skipped"]
        );
        assert_eq!(ranked.items.len(), 10);
        assert!(
            ranked
                .items
                .iter()
                .all(|item| item.reason.kind == ReasonKind::Trending)
        );
    }
}

/// A ranker that is somewhere else and does not answer.
struct Silent;

#[async_trait]
impl Ranker for Silent {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(&self, _: &Prepared<'_>, _: &mut [Candidate]) -> Result<(), &'static str> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
#[expect(
    clippy::disallowed_methods,
    reason = "reads the paused clock that waiting moves"
)]
async fn a_ranker_that_is_silent_costs_its_budget_and_no_more() {
    let mut pipeline = Pipeline::standard();
    pipeline.set_ranker(Box::new(Silent));
    let before = tokio::time::Instant::now();
    let ranked = pipeline.run(&query()).await;
    assert_eq!(before.elapsed(), Duration::from_millis(80));
    assert_eq!(ranked.degraded, ["rank_timeout"]);
    assert_eq!(ranked.items.len(), 10);
}

struct Broken;

#[async_trait]
impl Ranker for Broken {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(&self, _: &Prepared<'_>, all: &mut [Candidate]) -> Result<(), &'static str> {
        all.iter_mut()
            .for_each(|candidate| candidate.score = f32::NAN);
        Err("rank_failed")
    }
}

#[tokio::test]
async fn a_ranker_that_fails_leaves_the_merged_order() {
    let mut pipeline = Pipeline::standard();
    pipeline.set_ranker(Box::new(Broken));
    let ranked = pipeline.run(&query()).await;
    assert_eq!(ranked.degraded, ["rank_failed"]);
    for (item, explained) in ranked.items.iter().zip(&ranked.explained) {
        assert_eq!(item.score, explained.merged);
    }
}

#[tokio::test]
async fn stages_tell_what_they_did_in_their_order() {
    let ranked = Pipeline::standard().run(&query()).await;
    let names: Vec<&str> = ranked.stages.iter().map(|stage| stage.name).collect();
    let expected = [
        "prepare",
        "source.cf",
        "source.content",
        "source.trending",
        "merge",
        "filter.seen",
        "filter.exclude",
        "filter.hidden",
        "filter.available",
        "filter.category",
        "filter.overlay",
        "rank",
        "rerank.mmr",
        "rerank.fresh",
        "rerank.diversity",
        "rerank.explore",
    ];
    assert_eq!(names, expected);
    let merged = ranked
        .stages
        .iter()
        .find(|stage| stage.name == "merge")
        .unwrap();
    assert!(merged.output <= merged.input && merged.output >= ranked.items.len());
}
