//! A generation of the schema before this one is read, one of the schema after it is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::index::format::{COMMON_SHARE, Header, SCHEMA};
use engine::index::{Index, IndexError};
use engine::{Pipeline, Recipe};
use futures_util::FutureExt;
use zerocopy::FromBytes;

use crate::reading::reseal;
use crate::wish::quiet;
use crate::world::World;

/// 24 videos and 40 users, written by the program that wrote schema 1.
const SCHEMA_1: &[u8] = include_bytes!("../golden/schema-1.idx");

#[test]
fn a_generation_of_the_schema_before_is_served() {
    let (header, _) = Header::ref_from_prefix(SCHEMA_1).unwrap();
    assert_eq!(
        header.schema.get() + 1,
        SCHEMA,
        "keep a golden file of each last schema"
    );
    let index = Index::open(Arc::new(SCHEMA_1)).unwrap();
    assert_eq!(index.generation(), "2026-01-04.1");
    assert_eq!(index.videos(), 24);
    let item = index.find("v05").unwrap();
    assert_eq!(index.creator_id(item).unwrap().as_str(), "c1");
    let row = index.neighbours().row(item);
    assert!(!row.is_empty() && row.is_sorted_by(|a, b| a.score.get() >= b.score.get()));
    assert!(!index.trending(None).is_empty());
    // What came later is absent and has a meaning all the same.
    assert!(index.category_trending().is_empty());
    assert_eq!(index.findings().common_share.get(), COMMON_SHARE);
    assert_eq!(index.cf_knobs().session_half_life.get(), 0);

    let world = World {
        films: Vec::new(),
        sessions: Vec::new(),
        trending: Vec::new(),
    };
    for recipe in [
        Recipe::Personal,
        Recipe::Cohort(0),
        Recipe::Trending,
        Recipe::Popular,
    ] {
        let mut query = world.query(&quiet());
        query.index = Arc::new(Index::open(Arc::new(SCHEMA_1)).unwrap());
        query.session = [index.typed_video_id(item).unwrap()].into();
        (query.recipe, query.wanted) = (recipe.clone(), 10);
        let ranked = Pipeline::standard().run(&query).now_or_never().unwrap();
        let shown: BTreeSet<_> = ranked.items.iter().map(|item| &item.video_id).collect();
        assert_eq!(shown.len(), 10, "{recipe:?}");
        assert!(
            ranked.degraded.is_empty(),
            "{recipe:?} {:?}",
            ranked.degraded
        );
    }
}

#[test]
fn a_generation_of_a_schema_that_nobody_knows_is_refused() {
    for schema in [0, SCHEMA + 1, u32::MAX] {
        let mut bytes = SCHEMA_1.to_vec();
        Header::mut_from_prefix(&mut bytes)
            .unwrap()
            .0
            .schema
            .set(schema);
        reseal(&mut bytes);
        let refused = Index::open(Arc::new(bytes)).err();
        assert_eq!(refused, Some(IndexError::Schema(schema)));
    }
}
