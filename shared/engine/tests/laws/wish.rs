//! Random requests, and what may be shown to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::index::Index;
use engine::{
    CategoriesMatch, CreatorId, EngineTuning, EventKind, Interaction, Profile, Query, Recipe,
    UserState,
};
use guard::{Deadline, ManualClock};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smol_str::SmolStr;

use crate::world::{
    CATEGORIES, CREATORS, FILMS, Film, MARKETS, NOW_MS, World, category, creator, market, name,
};

/// Videos that a request may name; some of them do not exist.
const NAMED: usize = FILMS + 5;

/// A random request to it.
#[derive(Debug, Clone)]
pub struct Wish {
    pub recipe: usize,
    pub recent: Vec<(usize, bool)>,
    pub seen: Vec<usize>,
    pub long_term: Vec<usize>,
    pub hidden_videos: Vec<usize>,
    pub hidden_creators: Vec<u32>,
    pub session: Vec<usize>,
    pub exclude: Vec<usize>,
    pub overlay: Vec<usize>,
    pub categories: Vec<u32>,
    pub all: bool,
    pub market: Option<u32>,
    pub known: bool,
    pub wanted: usize,
    pub candidates_max: u32,
    pub caps: (u32, u32, u32),
    /// Weight of likeness, shares of new and of random places, pool of these.
    pub arranging: (f32, f32, f32, u32),
    pub seed: u64,
}

prop_compose! {
    pub fn wish()(
        recipe in 0usize..8,
        user in (
            vec((0..NAMED, any::<bool>()), 0..8),
            vec(0..NAMED, 0..12),
            vec(0..NAMED, 0..6),
            vec(0..NAMED, 0..3),
            vec(0..CREATORS, 0..2),
        ),
        request in (
            vec(0..NAMED, 0..4),
            vec(0..NAMED, 0..5),
            vec(0..NAMED, 0..3),
            prop_oneof![2 => Just(vec![]), 1 => vec(0..CATEGORIES + 1, 1..3)],
            any::<bool>(),
            option::of(0..MARKETS + 1),
        ),
        known in any::<bool>(),
        wanted in 0usize..30,
        candidates_max in 10u32..40,
        caps in (1u32..3, 1u32..3, 2u32..12),
        arranging in (0.0f32..1.0, 0.0f32..0.5, 0.0f32..0.2, 2u32..40),
        seed in any::<u64>(),
    ) -> Wish {
        let (recent, seen, long_term, hidden_videos, hidden_creators) = user;
        let (session, exclude, overlay, categories, all, market) = request;
        Wish {
            recipe, recent, seen, long_term, hidden_videos, hidden_creators, session, exclude,
            overlay, categories, all, market, known, wanted, candidates_max, caps, arranging, seed,
        }
    }
}

/// A request that asks for nothing in particular.
pub fn quiet() -> Wish {
    Wish {
        recipe: 7,
        recent: Vec::new(),
        seen: Vec::new(),
        long_term: Vec::new(),
        hidden_videos: Vec::new(),
        hidden_creators: Vec::new(),
        session: Vec::new(),
        exclude: Vec::new(),
        overlay: Vec::new(),
        categories: Vec::new(),
        all: false,
        market: None,
        known: false,
        wanted: 10,
        candidates_max: 20,
        caps: (2, 4, 10),
        arranging: (0.0, 0.0, 0.0, 2),
        seed: 1,
    }
}

impl World {
    /// Videos that may be shown to this wish, worked out without the engine.
    pub fn eligible(&self, wish: &Wish) -> BTreeSet<usize> {
        let own = |film: usize| wish.known && wish.met().contains(&film);
        let wanted = |film: &Film| {
            let has = |category: &u32| film.categories.contains(category);
            match (wish.categories.is_empty(), wish.all) {
                (true, _) => true,
                (false, true) => wish.categories.iter().all(has),
                (false, false) => wish.categories.iter().any(has),
            }
        };
        let here = |film: &Film| {
            film.markets.is_empty() || wish.market.is_some_and(|m| film.markets.contains(&m))
        };
        let open = |(number, film): &(usize, &Film)| {
            let hid = |c: u32| wish.known && wish.hidden_creators.contains(&c);
            !film.hidden
                && film.from_ms <= NOW_MS
                && NOW_MS < film.until_ms
                && here(film)
                && wanted(film)
                && !film.creator.is_some_and(hid)
                && !own(*number)
                && !wish.session.contains(number)
                && !wish.exclude.contains(number)
                && !wish.overlay.contains(number)
                && !(wish.known && wish.hidden_videos.contains(number))
                && wish.similar_to() != Some(*number)
        };
        self.films
            .iter()
            .enumerate()
            .filter(open)
            .map(|(number, _)| number)
            .collect()
    }

    /// A query for the wish to this world.
    pub fn query(&self, wish: &Wish) -> Query {
        wish.query(self.index())
    }

    /// The generation as it is read.
    pub fn index(&self) -> Arc<Index> {
        Arc::new(Index::open(Arc::new(self.bytes())).unwrap())
    }
}

impl Wish {
    /// The wish as a query.
    pub fn query(&self, index: Arc<Index>) -> Query {
        let mut tuning = EngineTuning::default();
        let home = tuning.scenes.get_mut("home").unwrap();
        home.candidates_max = self.candidates_max;
        (home.creator_max, home.category_max, home.diversity_window) = self.caps;
        (
            home.mmr_weight,
            home.fresh_share,
            home.explore_share,
            home.explore_pool,
        ) = self.arranging;
        let names = |films: &[usize]| films.iter().copied().map(name).collect::<Vec<_>>();
        Query {
            index,
            recipe: self.recipe(),
            user: self.known.then(|| Arc::new(self.user())),
            session: names(&self.session),
            scene: SmolStr::new_static("home"),
            market: self.market.map(market).unwrap_or_default(),
            categories: self.categories.iter().copied().map(category).collect(),
            categories_match: if self.all {
                CategoriesMatch::All
            } else {
                CategoriesMatch::Any
            },
            exclude: names(&self.exclude),
            hidden: Arc::new(names(&self.overlay).into_iter().collect()),
            wanted: self.wanted,
            tuning: Arc::new(tuning),
            deadline: Deadline::after(Arc::new(ManualClock::default()), Duration::from_secs(1)),
            now_ms: NOW_MS,
            seed: self.seed,
        }
    }

    fn recipe(&self) -> Recipe {
        match self.recipe {
            0 => Recipe::Cohort(0),
            1 => Recipe::Cohort(9),
            2 => Recipe::Similar(name(3)),
            3 => Recipe::Trending,
            4 => Recipe::Latest,
            5 => Recipe::Popular,
            _ => Recipe::Personal,
        }
    }

    fn similar_to(&self) -> Option<usize> {
        (self.recipe == 2).then_some(3)
    }

    fn met(&self) -> BTreeSet<usize> {
        let recent = self.recent.iter().map(|(film, _)| *film);
        recent
            .chain(self.seen.iter().copied())
            .chain(self.long_term.iter().copied())
            .collect()
    }

    fn user(&self) -> UserState {
        let past = |(film, liked): &(usize, bool)| Interaction {
            video_id: name(*film),
            kind: if *liked {
                EventKind::Like
            } else {
                EventKind::Skip
            },
            ts_ms: 1,
            watch_ratio: 1.0,
        };
        UserState {
            recent: self.recent.iter().map(past).collect(),
            seen: self
                .seen
                .iter()
                .map(|f| UserState::seen_hash(name(*f).as_str()))
                .collect(),
            hidden_videos: self.hidden_videos.iter().copied().map(name).collect(),
            hidden_creators: self
                .hidden_creators
                .iter()
                .map(|number| CreatorId::parse(&creator(*number)).unwrap())
                .collect(),
            profile: Some(Profile {
                long_term: self.long_term.iter().copied().map(name).collect(),
                ..Profile::default()
            }),
            ..UserState::default()
        }
    }
}
