//! Small random generations, and what they should mean.

use std::collections::{BTreeSet, HashSet};

use engine::index::IndexWriter;
use engine::index::format::{CfKnobs, Findings, ItemRow, Kind, NONE, Scored, flags};
use engine::{UserState, VideoId};
use proptest::collection::vec;
use proptest::prelude::*;
use smol_str::{SmolStr, format_smolstr};
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, I64, U32, U64};

pub const NOW_MS: i64 = 1_000_000;
/// A world has fewer: small ones have every border in them.
pub const FILMS: usize = 24;
pub const CREATORS: u32 = 4;
pub const CATEGORIES: u32 = 4;
pub const MARKETS: u32 = 3;

/// One video of a random world.
#[derive(Debug, Clone)]
pub struct Film {
    pub creator: Option<u32>,
    pub categories: BTreeSet<u32>,
    pub markets: BTreeSet<u32>,
    pub hidden: bool,
    pub from_ms: i64,
    pub until_ms: i64,
    pub quality: f32,
    pub links: Vec<(usize, f32)>,
}

/// A random generation.
#[derive(Debug, Clone)]
pub struct World {
    pub films: Vec<Film>,
    pub sessions: Vec<Vec<usize>>,
    pub trending: Vec<usize>,
}

pub fn name(film: usize) -> VideoId {
    VideoId::parse(&format!("v{film:03}")).unwrap()
}

pub fn creator(number: u32) -> SmolStr {
    format_smolstr!("c{number}")
}

pub fn category(number: u32) -> SmolStr {
    format_smolstr!("k{number}")
}

pub fn market(number: u32) -> SmolStr {
    format_smolstr!("M{number}")
}

/// Fewer than `most` of them.
fn few(of: u32, most: usize) -> impl Strategy<Value = BTreeSet<u32>> {
    vec(0..of, 0..most).prop_map(BTreeSet::from_iter)
}

// Of plain numbers: every choice between strategies makes a new random generator, and that would be
// most of these tests' time.
prop_compose! {
    pub fn film()(
        creator in (0..2 * CREATORS).prop_map(|number| number.checked_sub(CREATORS)),
        categories in few(CATEGORIES, 3),
        markets in few(MARKETS, 2),
        hidden in prop::bool::weighted(0.1),
        window in (0..10).prop_map(|kind| match kind {
            ..8 => (i64::MIN, i64::MAX),
            8 => (NOW_MS + 1, i64::MAX),
            _ => (i64::MIN, NOW_MS),
        }),
        quality in 0.0f32..1.0,
        links in vec((0..FILMS, 0.01f32..1.0), 0..6),
    ) -> Film {
        let (from_ms, until_ms) = window;
        Film { creator, categories, markets, hidden, from_ms, until_ms, quality, links }
    }
}

pub fn world() -> impl Strategy<Value = World> {
    let parts = (
        vec(film(), 0..FILMS),
        vec(vec(0..FILMS, 2..6), 0..12),
        vec(0..FILMS, 0..20),
    );
    parts.prop_map(|(films, sessions, trending)| World {
        films,
        sessions,
        trending,
    })
}

impl World {
    /// The generation's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut index = IndexWriter::new("test", NOW_MS);
        let films = self.films.len();
        let rows: Vec<ItemRow> = self
            .films
            .iter()
            .enumerate()
            .map(|(n, f)| row(n, f))
            .collect();
        index.put(Kind::Items, &rows);
        let names: Vec<VideoId> = (0..films).map(name).collect();
        texts(
            &mut index,
            Kind::IdStarts,
            Kind::IdBytes,
            names.iter().map(VideoId::as_str),
        );
        index.put(Kind::Lookup, &lookup(&names));
        let dictionary = |count: u32, of: fn(u32) -> SmolStr| (0..count).map(of).collect();
        let creators: Vec<SmolStr> = dictionary(CREATORS, creator);
        let categories: Vec<SmolStr> = dictionary(CATEGORIES, category);
        let markets: Vec<SmolStr> = dictionary(MARKETS, market);
        for (starts, bytes, words) in [
            (Kind::CreatorStarts, Kind::CreatorBytes, &creators),
            (
                Kind::CategoryNameStarts,
                Kind::CategoryNameBytes,
                &categories,
            ),
            (Kind::MarketNameStarts, Kind::MarketNameBytes, &markets),
            (Kind::LanguageStarts, Kind::LanguageBytes, &vec![]),
            (
                Kind::CohortKeyStarts,
                Kind::CohortKeyBytes,
                &vec![SmolStr::default()],
            ),
        ] {
            texts(&mut index, starts, bytes, words.iter().map(SmolStr::as_str));
        }
        let sets = std::iter::once(vec![]).chain(self.films.iter().map(|f| ids(&f.markets)));
        index.put_list(Kind::MarketSetStarts, Kind::MarketSets, sets);
        let own = self.films.iter().map(|film| ids(&film.categories));
        index.put_list(Kind::ItemCategoryStarts, Kind::ItemCategories, own);
        index.put(Kind::FragmentStarts, &vec![U64::new(0); films + 1]);
        index.put_bytes(Kind::FragmentBytes, Vec::new());
        self.put_sessions(&mut index);
        let links = |film: &Film| -> Vec<Scored> {
            let known = film.links.iter().filter(|(to, _)| *to < films);
            known
                .map(|(to, score)| Scored::new(*to as u32, *score))
                .collect()
        };
        index.put_list(
            Kind::NeighbourStarts,
            Kind::Neighbours,
            self.films.iter().map(links),
        );
        index.put_list(
            Kind::ContentStarts,
            Kind::Content,
            self.films.iter().rev().map(links),
        );
        self.put_lists(&mut index);
        index.to_bytes()
    }

    fn put_sessions(&self, index: &mut IndexWriter) {
        let sessions: Vec<BTreeSet<usize>> = self
            .sessions
            .iter()
            .map(|session| {
                session
                    .iter()
                    .copied()
                    .filter(|f| *f < self.films.len())
                    .collect()
            })
            .collect();
        let postings = (0..self.films.len()).map(|film| -> Vec<U32> {
            let with = (0u32..)
                .zip(&sessions)
                .filter(|(_, session)| session.contains(&film));
            let mut with: Vec<U32> = with.map(|(number, _)| U32::new(number)).collect();
            with.reverse();
            with
        });
        index.put_list(Kind::PostingStarts, Kind::Postings, postings);
        let items = sessions.iter().map(|session| -> Vec<U32> {
            session.iter().map(|film| U32::new(*film as u32)).collect()
        });
        index.put_list(Kind::SessionStarts, Kind::SessionItems, items);
        let idf = |film: usize| {
            let with = sessions.iter().filter(|session| session.contains(&film));
            (sessions.len().max(1) as f32 / with.count().max(1) as f32).ln()
        };
        let idf: Vec<F32> = (0..self.films.len()).map(idf).map(F32::new).collect();
        index.put(Kind::Idf, &idf);
    }

    fn put_lists(&self, index: &mut IndexWriter) {
        let films = self.films.len();
        let scored = |film: usize, rank: usize| Scored::new(film as u32, 1.0 / (rank + 1) as f32);
        let mut met = HashSet::new();
        let trending: Vec<Scored> = self
            .trending
            .iter()
            .filter(|film| **film < films && met.insert(**film))
            .enumerate()
            .map(|(rank, film)| scored(*film, rank))
            .collect();
        let rows = (0..=MARKETS).map(|row| if row == 0 { trending.clone() } else { vec![] });
        index.put_list(Kind::TrendingStarts, Kind::Trending, rows);
        let popular: Vec<Scored> = (0..films).map(|film| scored(film, film)).collect();
        index.put(Kind::Popular, &popular);
        let latest: Vec<U32> = (0..films).rev().map(|film| U32::new(film as u32)).collect();
        index.put(Kind::Latest, &latest);
        let lists = (0..CATEGORIES).map(|category| -> Vec<Scored> {
            let with = (0..films).filter(|film| self.films[*film].categories.contains(&category));
            with.map(|film| scored(film, film)).collect()
        });
        index.put_list(Kind::CategoryListStarts, Kind::CategoryLists, lists);
        let now = (0..CATEGORIES).map(|category| -> Vec<Scored> {
            let with = |film: &Scored| {
                let categories = &self.films[film.item.get() as usize].categories;
                categories.contains(&category)
            };
            trending.iter().copied().filter(with).collect()
        });
        index.put_list(Kind::CategoryTrendingStarts, Kind::CategoryTrending, now);
        index.put(Kind::Findings, &[Findings::default()]);
        index.put(Kind::CfKnobs, &[CfKnobs::default()]);
        let half = popular.iter().step_by(2).copied().collect::<Vec<_>>();
        index.put_list(
            Kind::CohortStarts,
            Kind::CohortSlates,
            std::iter::once(half),
        );
    }
}

fn ids(set: &BTreeSet<u32>) -> Vec<U32> {
    set.iter().copied().map(U32::new).collect()
}

fn texts<'a>(
    index: &mut IndexWriter,
    starts: Kind,
    bytes: Kind,
    words: impl Iterator<Item = &'a str>,
) {
    index.put_texts(starts, bytes, words);
}

fn row(number: usize, film: &Film) -> ItemRow {
    ItemRow {
        creator: U32::new(film.creator.unwrap_or(NONE)),
        duration_ms: U32::new(10_000),
        seen_hash: U32::new(UserState::seen_hash(name(number).as_str())),
        flags: U32::new(if film.hidden { flags::HIDDEN } else { 0 }),
        language: U32::new(NONE),
        market_set: U32::new(if film.markets.is_empty() {
            0
        } else {
            number as u32 + 1
        }),
        // The better half is new, the other half is old.
        published_ms: I64::new(match film.quality > 0.5 {
            true => number as i64,
            false => number as i64 - 1_000 * 3_600_000,
        }),
        from_ms: I64::new(film.from_ms),
        until_ms: I64::new(film.until_ms),
        quality: F32::new(film.quality),
        popularity: F32::new(1.0),
        momentum: F32::new(0.0),
        reserved: [0; 4],
    }
}

fn lookup(names: &[VideoId]) -> Vec<U32> {
    let size = (names.len() * 2).max(2).next_power_of_two();
    let mut table = vec![U32::new(NONE); size];
    for (number, name) in names.iter().enumerate() {
        let mut slot = xxh3_64(name.as_str().as_bytes()) as usize % size;
        while table[slot].get() != NONE {
            slot = (slot + 1) % size;
        }
        table[slot] = U32::new(number as u32);
    }
    table
}
