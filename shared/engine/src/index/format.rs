//! The bytes of a generation.
//!
//! ```text
//! Header 128 B │ table: Entry 32 B × sections │ padding │ section │ padding │ section …
//! ```
//!
//! Everything is little-endian and read in place; sections start at multiples of
//! [`SECTION_ALIGN`]. The views are byte-aligned types, so the slice itself may lie anywhere.
//! A *list* section comes as a pair: `…Starts` holds one offset more than there are rows, the
//! section behind it the rows one after another.

use zerocopy::little_endian::{F32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of every generation.
pub const MAGIC: [u8; 8] = *b"REELWAY\x01";
/// The schema that is written.
pub const SCHEMA: u32 = 2;
/// The oldest schema that is read.
pub const SCHEMA_OLDEST: u32 = 1;
/// Sections start at multiples of this.
pub const SECTION_ALIGN: usize = 64;
/// Longest name of a generation, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// More sections than any schema has.
pub const SECTIONS_MAX: u32 = 256;
/// "None" where an id is expected.
pub const NONE: u32 = u32::MAX;

/// The first 128 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// xxh3 of the rest of the header and the section table.
    pub checksum: U64,
    /// Schema it was written in.
    pub schema: U32,
    /// Entries in the section table.
    pub sections: U32,
    /// Length of the whole file.
    pub file_bytes: U64,
    /// Unix time in milliseconds up to which events were counted.
    pub as_of_ms: I64,
    /// Bytes of `name` in use.
    pub name_bytes: U16,
    /// Zero.
    pub reserved: [u8; 22],
    /// Name of the generation.
    pub name: [u8; NAME_BYTES_MAX],
}

/// Where a section lies.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Entry {
    /// A [`Kind`]; unknown ones are left alone, so that a newer writer may add.
    pub kind: U32,
    /// Zero.
    pub reserved: U32,
    /// From the start of the file.
    pub offset: U64,
    /// Length without padding.
    pub bytes: U64,
    /// xxh3 of the section.
    pub checksum: U64,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal),* $(,)?) => {
        /// What a section holds. Numbers are never used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Kind { $($(#[$doc])* $name = $number),* }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$name),*];

            /// The number in the section table.
            #[must_use]
            pub fn number(self) -> u32 {
                self as u32
            }
        }
    };
}

kinds! {
    /// [`ItemRow`] per video, in the order of the ids' text.
    Items = 1,
    /// List of id texts.
    IdStarts = 2,
    /// The texts.
    IdBytes = 3,
    /// Open-addressed table of dense ids, by xxh3 of the text; [`NONE`] is empty.
    Lookup = 4,
    /// List of creator ids, ascending.
    CreatorStarts = 5,
    /// The texts.
    CreatorBytes = 6,
    /// List of category names, ascending.
    CategoryNameStarts = 7,
    /// The texts.
    CategoryNameBytes = 8,
    /// List of market names, ascending.
    MarketNameStarts = 9,
    /// The texts.
    MarketNameBytes = 10,
    /// List of languages, ascending.
    LanguageStarts = 11,
    /// The texts.
    LanguageBytes = 12,
    /// Market set → market numbers; set 0 is empty and means everywhere.
    MarketSetStarts = 13,
    /// `u32` market numbers.
    MarketSets = 14,
    /// Video → category numbers.
    ItemCategoryStarts = 15,
    /// `u32` category numbers.
    ItemCategories = 16,
    /// Video → its JSON; `u64` offsets.
    FragmentStarts = 17,
    /// JSON objects.
    FragmentBytes = 18,
    /// [`StatsRow`] per video.
    Stats = 19,
    /// Session → videos, oldest session first, so that a higher number is a newer session.
    SessionStarts = 20,
    /// `u32` dense ids, in the order they were watched, without repeats.
    SessionItems = 21,
    /// Video → its newest sessions, newest first.
    PostingStarts = 22,
    /// `u32` session numbers.
    Postings = 23,
    /// `f32` per video: log(sessions / sessions with it), before truncation.
    Idf = 24,
    /// [`CfKnobs`], one row.
    CfKnobs = 25,
    /// [`Findings`], one row; since schema 2.
    Findings = 26,
    /// Video → videos watched by the same people, best first.
    NeighbourStarts = 30,
    /// [`Scored`].
    Neighbours = 31,
    /// Video → videos about the same, best first.
    ContentStarts = 32,
    /// [`Scored`].
    Content = 33,
    /// Row 0 is everywhere, row 1 + m is market m: what is watched now, best first.
    TrendingStarts = 34,
    /// [`Scored`].
    Trending = 35,
    /// [`Scored`]: every video, most liked first.
    Popular = 36,
    /// `u32` per video: every video, newest first.
    Latest = 37,
    /// Category → its videos, most liked first.
    CategoryListStarts = 38,
    /// [`Scored`].
    CategoryLists = 39,
    /// List of cohort keys, ascending.
    CohortKeyStarts = 40,
    /// The texts.
    CohortKeyBytes = 41,
    /// Cohort → what its people like, best first.
    CohortStarts = 42,
    /// [`Scored`].
    CohortSlates = 43,
    /// Category → what is watched now everywhere, best first; since schema 2.
    CategoryTrendingStarts = 44,
    /// [`Scored`].
    CategoryTrending = 45,
    /// The ranker's model, optional; its own format.
    Model = 50,
}

/// One video, 64 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ItemRow {
    /// Creator number or [`NONE`].
    pub creator: U32,
    /// Length in milliseconds; 0 when not known.
    pub duration_ms: U32,
    /// [`crate::UserState::seen_hash`] of the id.
    pub seen_hash: U32,
    /// Bits of [`flags`].
    pub flags: U32,
    /// Language number or [`NONE`].
    pub language: U32,
    /// Market set; 0 means everywhere.
    pub market_set: U32,
    /// Unix time in milliseconds; 0 when not known.
    pub published_ms: I64,
    /// Not shown before; `i64::MIN` when unbounded.
    pub from_ms: I64,
    /// Not shown from then on; `i64::MAX` when unbounded.
    pub until_ms: I64,
    /// Smoothed chance, 0 to 1, that who meets it watches it long.
    pub quality: F32,
    /// Decayed number of people who liked it.
    pub popularity: F32,
    /// Decayed number of likings lately, what trending counts before its correction.
    pub momentum: F32,
    /// Zero.
    pub reserved: [u8; 4],
}

/// Bits of [`ItemRow::flags`].
pub mod flags {
    /// Hidden when the generation was built.
    pub const HIDDEN: u32 = 1;
}

/// What happened to a video in all the events that were counted.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StatsRow {
    /// Impressions.
    pub impressions: U32,
    /// Clicks.
    pub clicks: U32,
    /// Long views.
    pub long_views: U32,
    /// Likes, shares, follows and comments.
    pub reactions: U32,
    /// Skips and hides.
    pub refusals: U32,
    /// Users with a positive interaction.
    pub users: U32,
}

/// A video and a number.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Scored {
    /// Dense id.
    pub item: U32,
    /// Finite; higher is better.
    pub score: F32,
}

impl Scored {
    /// A pair.
    #[must_use]
    pub fn new(item: u32, score: f32) -> Self {
        Self {
            item: U32::new(item),
            score: F32::new(score),
        }
    }
}

/// How the night found that session and neighbour scores should be used.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct CfKnobs {
    /// Newest videos of the user that look for sessions.
    pub last: U32,
    /// Newest sessions that are looked at.
    pub sessions: U32,
    /// Closest of them that vote.
    pub voters: U32,
    /// Share of the session score in the blend, 0 to 1; the rest is the neighbours'.
    pub session_share: F32,
    /// Weight of the next older video as neighbour seed, 0 to 1.
    pub seed_decay: F32,
    /// A session with this many newer ones votes half; 0 is off, as in generations of schema 1.
    pub session_half_life: U32,
    /// Zero.
    pub reserved: [u8; 8],
}

impl Default for CfKnobs {
    fn default() -> Self {
        Self {
            last: U32::new(2),
            sessions: U32::new(500),
            voters: U32::new(50),
            session_share: F32::new(0.25),
            seed_decay: F32::new(0.95),
            session_half_life: U32::new(0),
            reserved: [0; 8],
        }
    }
}

/// What the night found out about tastes as a whole, on a last stretch of time that it held back.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Findings {
    /// An interaction this old counts half for what is trending, in milliseconds, above 0.
    pub half_life_ms: I64,
    /// An older one does not count, in milliseconds, above 0.
    pub window_ms: I64,
    /// What everybody watches counts for this share of a personal slate where the scene's weights
    /// are the default ones, 0 to 1; the rest is the user's own.
    pub common_share: F32,
    /// How often the first proposals of cf, of content and of what everybody watches were right,
    /// 0 to 1; 0 when that is not known.
    pub worth: [F32; 3],
}

/// How many of a source's proposals its worth speaks of.
pub const WORTH_PLACES: usize = 20;
/// The worth of a source of which nothing is known.
const WORTH_UNKNOWN: f32 = 0.02;

/// The share of what everybody watches in the default weights.
pub const COMMON_SHARE: f32 = 0.25;

impl Default for Findings {
    fn default() -> Self {
        Self {
            half_life_ms: I64::new(86_400_000),
            window_ms: I64::new(i64::MAX),
            common_share: F32::new(COMMON_SHARE),
            worth: [F32::new(0.0); 3],
        }
    }
}

impl Findings {
    /// The chance, above 0, at most 1, that one of a source's first proposals is right. What the
    /// newest and a team's own sources are worth is not measured: as much as content.
    #[must_use]
    pub fn worth(&self, source: &str) -> f32 {
        let [cf, content, common] = self.worth;
        let own = match source {
            "cf" => cf,
            "trending" | "popular" | "cohort" => common,
            _ => content,
        };
        if self.worth.iter().all(|worth| worth.get() > 0.0) {
            own.get()
        } else {
            WORTH_UNKNOWN
        }
    }

    /// What the weight of a source is multiplied by; `personal` is whether it speaks of the user.
    #[must_use]
    pub fn lift(&self, personal: bool) -> f32 {
        let share = self.common_share.get();
        if personal {
            (1.0 - share) / (1.0 - COMMON_SHARE)
        } else {
            share / COMMON_SHARE
        }
    }
}
