//! What holds for every slate.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::pipeline::{Candidate, Prepared};
use engine::ranker::Ranker;
use engine::source::{Proposal, Proposals, Source};
use engine::{Pipeline, Query, ReasonKind};
use futures_util::FutureExt;
use guard::{Deadline, ManualClock};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::wish::{Wish, wish};
use crate::world::{FILMS, World, name, world};

/// What goes wrong while a wish is answered: by itself nothing.
#[derive(Debug, Clone, Default)]
struct Trouble {
    /// By source: nothing, or what it does instead of its work.
    sources: Vec<Option<Fault>>,
    /// The ranker fails and leaves this behind.
    ranker: Option<f32>,
    /// The request arrives with no time left.
    no_time: bool,
}

#[derive(Debug, Clone)]
enum Fault {
    /// Does not answer in time.
    Late,
    /// Proposes what it may not: anything, twice, with scores that are none.
    Mad(Vec<(u32, f32)>),
}

fn score() -> impl Strategy<Value = f32> {
    (0..12, 0.0f32..1.0).prop_map(|(kind, score)| match kind {
        ..9 => score,
        9 => f32::NAN,
        10 => f32::INFINITY,
        _ => -1.0,
    })
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let item = (0..5, any::<u32>()).prop_map(|(kind, any)| {
        if kind < 4 {
            any % (FILMS as u32 + 5)
        } else {
            any
        }
    });
    let mad = vec((item, score()), 0..60).prop_map(Fault::Mad);
    let fault = prop_oneof![Just(Fault::Late), mad];
    let parts = (
        vec(option::weighted(0.3, fault), SOURCES.len()),
        option::weighted(0.2, score()),
        prop::bool::weighted(0.05),
    );
    let some = parts.prop_map(|(sources, ranker, no_time)| Trouble {
        sources,
        ranker,
        no_time,
    });
    let none = Trouble {
        sources: Vec::new(),
        ranker: None,
        no_time: false,
    };
    prop_oneof![Just(none), some]
}

/// Every source, and the numbers of the recipes (see [`Wish`]) that ask it.
const SOURCES: [(&str, &[usize]); 6] = [
    ("cf", &[2, 6, 7]),
    ("content", &[2, 6, 7]),
    ("trending", &[0, 1, 3, 6, 7]),
    ("latest", &[4]),
    ("cohort", &[0, 1]),
    ("popular", &[5]),
];

struct Faulty(&'static str, Fault);

#[async_trait]
impl Source for Faulty {
    fn name(&self) -> &'static str {
        self.0
    }

    fn reason(&self) -> ReasonKind {
        ReasonKind::WatchedTogether
    }

    async fn propose(&self, _: &Prepared<'_>) -> Proposals {
        let Fault::Mad(rows) = &self.1 else {
            return Proposals::overrun();
        };
        let proposal = |(item, score): &(u32, f32)| Proposal {
            item: *item,
            score: *score,
            because: *item,
        };
        Proposals {
            items: rows.iter().map(proposal).collect(),
            overran: false,
        }
    }
}

struct Failing(f32);

#[async_trait]
impl Ranker for Failing {
    fn name(&self) -> &'static str {
        "rank"
    }

    async fn rank(&self, _: &Prepared<'_>, all: &mut [Candidate]) -> Result<(), &'static str> {
        all.iter_mut().for_each(|one| one.score = self.0);
        Err("rank_failed")
    }
}

impl Trouble {
    fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::standard();
        for ((source, _), fault) in SOURCES.iter().zip(&self.sources) {
            if let Some(fault) = fault {
                assert!(pipeline.set_source(Box::new(Faulty(source, fault.clone()))));
            }
        }
        if let Some(score) = self.ranker {
            pipeline.set_ranker(Box::new(Failing(score)));
        }
        pipeline
    }

    /// What the answer has to admit.
    fn causes(&self, wish: &Wish) -> BTreeSet<String> {
        let ranked = matches!(wish.recipe, 0..3 | 6..);
        let arranged = !matches!(wish.recipe, 4 | 5);
        let mut causes = BTreeSet::new();
        let mut admit = |happened: bool, cause: &str| {
            if happened {
                causes.insert(cause.to_owned());
            }
        };
        admit(self.no_time, "recall_skipped");
        admit(self.no_time && ranked, "rank_skipped");
        admit(self.no_time && arranged, "rerank_skipped");
        admit(
            !self.no_time && ranked && self.ranker.is_some(),
            "rank_failed",
        );
        for ((source, recipes), fault) in SOURCES.iter().zip(&self.sources) {
            let late = matches!(fault, Some(Fault::Late)) && recipes.contains(&wish.recipe);
            admit(late && !self.no_time, &format!("{source}_timeout"));
        }
        causes
    }
}

proptest! {
    // Four answers by each world: 10,000 in both.
    #![proptest_config(ProptestConfig::with_cases(1_250))]

    /// One property, because making a world costs more than asking it everything.
    #[test]
    fn slates_hold_what_may_be_shown_once_and_as_many_as_asked(
        world in world(),
        asked in vec(wish(), 4),
    ) {
        let index = world.index();
        for wish in &asked {
            let query = wish.query(Arc::clone(&index));
            slate_is_lawful(&world, query, wish, &Trouble::default())?;
        }
    }

    #[test]
    fn slates_hold_the_same_whatever_fails(
        world in world(),
        asked in vec((wish(), trouble()), 4),
    ) {
        let index = world.index();
        for (wish, trouble) in &asked {
            slate_is_lawful(&world, wish.query(Arc::clone(&index)), wish, trouble)?;
        }
    }
}

fn slate_is_lawful(
    world: &World,
    mut query: Query,
    wish: &Wish,
    trouble: &Trouble,
) -> Result<(), TestCaseError> {
    if trouble.no_time {
        query.deadline = Deadline::after(Arc::new(ManualClock::default()), Duration::ZERO);
    }
    // Ready at the first poll: none of these stages needs a runtime.
    let ranked = trouble.pipeline().run(&query).now_or_never().unwrap();
    let shown: Vec<_> = ranked
        .items
        .iter()
        .map(|item| item.video_id.clone())
        .collect();
    let distinct: BTreeSet<_> = shown.iter().cloned().collect();
    let eligible: BTreeSet<_> = world.eligible(wish).into_iter().map(name).collect();

    prop_assert_eq!(distinct.len(), shown.len(), "a video stands twice");
    let wrong: Vec<_> = distinct.difference(&eligible).collect();
    prop_assert!(wrong.is_empty(), "{:?} must not be shown", wrong);
    prop_assert_eq!(shown.len(), wish.wanted.min(eligible.len()), "too few");
    let mut causes = trouble.causes(wish);
    if shown.len() < wish.wanted {
        causes.insert("size_not_enough".to_owned());
    }
    let admitted: BTreeSet<_> = ranked.degraded.iter().map(ToString::to_string).collect();
    prop_assert_eq!(admitted, causes);
    prop_assert_eq!(ranked.explained.len(), shown.len());
    prop_assert!(ranked.items.iter().all(|item| !item.sources.is_empty()));
    prop_assert!(ranked.items.iter().all(|item| item.score.is_finite()));
    Ok(())
}
