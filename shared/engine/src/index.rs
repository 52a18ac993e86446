//! One generation: an immutable, validated index over a byte slice.
//!
//! Opened once, checked completely, then read in place: every offset and every id was found in
//! bounds, and accessors answer "nothing" rather than panic should the bytes change under them.

mod check;
mod error;
pub mod format;
mod ranking;
mod view;
mod visible;
mod writer;

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::FromBytes;
use zerocopy::little_endian::{F32, U32};

use crate::{CreatorId, Profile, VideoId};
pub use error::IndexError;
use format::{CfKnobs, Entry, Findings, Header, ItemRow, Kind, NONE, Scored, StatsRow};
pub use view::{Blobs, List, Plain, Texts};
pub use writer::IndexWriter;

/// Bytes of a generation: a mapped file, a vector.
pub type IndexBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

const KINDS: usize = 64;

/// One open generation. Clones of the `Arc` around it share the mapping.
pub struct Index {
    bytes: IndexBytes,
    spans: [(usize, usize); KINDS],
    generation: SmolStr,
    as_of_ms: i64,
    videos: u32,
    knobs: CfKnobs,
    findings: Findings,
    ranking: Option<ranking::Ranking>,
}

impl Index {
    /// Checks the bytes from end to end and takes them.
    ///
    /// # Errors
    /// [`IndexError`] names the section and what is wrong with it.
    pub fn open(bytes: IndexBytes) -> Result<Self, IndexError> {
        let all = (*bytes).as_ref();
        let (header, table) = check::frame(all)?;
        let mut spans = [(0, 0); KINDS];
        for entry in table {
            let start = usize::try_from(entry.offset.get()).unwrap_or(usize::MAX);
            let length = usize::try_from(entry.bytes.get()).unwrap_or(usize::MAX);
            if let Some(span) = spans.get_mut(entry.kind.get() as usize) {
                *span = (start, start.saturating_add(length));
            }
        }
        let name = header
            .name
            .get(..usize::from(header.name_bytes.get()))
            .unwrap_or_default();
        let generation = SmolStr::new(std::str::from_utf8(name).unwrap_or_default());
        let as_of_ms = header.as_of_ms.get();
        let mut index = Self {
            bytes,
            spans,
            generation,
            as_of_ms,
            videos: 0,
            knobs: CfKnobs::default(),
            findings: Findings::default(),
            ranking: None,
        };
        index.videos = u32::try_from(index.rows::<ItemRow>(Kind::Items).len()).unwrap_or(0);
        if let Some(knobs) = index.rows::<CfKnobs>(Kind::CfKnobs).first() {
            index.knobs = *knobs;
        }
        if let Some(findings) = index.rows::<Findings>(Kind::Findings).first() {
            index.findings = *findings;
        }
        check::sections(&index)?;
        index.ranking = ranking::open(&index)?;
        Ok(index)
    }

    /// The name of the generation.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Up to when events were counted, Unix time in milliseconds.
    #[must_use]
    pub fn as_of_ms(&self) -> i64 {
        self.as_of_ms
    }

    /// How many videos there are, hidden ones included. Dense ids are below it.
    #[must_use]
    pub fn videos(&self) -> usize {
        self.videos as usize
    }

    /// The dense id of a video.
    #[must_use]
    pub fn find(&self, video_id: &str) -> Option<u32> {
        let table = self.rows::<U32>(Kind::Lookup);
        let mask = table.len().wrapping_sub(1);
        let ids = self.ids();
        let mut slot = xxh3_64(video_id.as_bytes()) as usize & mask;
        for _ in 0..table.len() {
            let dense = table.get(slot)?.get();
            if dense == NONE {
                return None;
            }
            if ids.list.row(dense) == video_id.as_bytes() {
                return Some(dense);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    /// The id of a video; empty when there is none of this number.
    #[must_use]
    pub fn video_id(&self, item: u32) -> &str {
        self.ids().text(item)
    }

    /// The id of a video, typed.
    #[must_use]
    pub fn typed_video_id(&self, item: u32) -> Option<VideoId> {
        VideoId::parse(self.video_id(item)).ok()
    }

    /// The JSON of the video, byte for byte as it was rendered.
    #[must_use]
    pub fn fragment(&self, item: u32) -> &[u8] {
        let starts = self.rows(Kind::FragmentStarts);
        Blobs {
            starts,
            bytes: self.section(Kind::FragmentBytes),
        }
        .row(item)
    }

    /// The creator of a video.
    #[must_use]
    pub fn creator_id(&self, item: u32) -> Option<CreatorId> {
        let creator = self.item(item)?.creator.get();
        CreatorId::parse(self.creators().text(creator)).ok()
    }

    /// How many cohorts there are; at least one in a generation that knows users.
    #[must_use]
    pub fn cohorts(&self) -> u32 {
        u32::try_from(self.cohort_slates().len()).unwrap_or(0)
    }

    /// The cohort of a profile in *this* generation, found by the profile's strongest categories,
    /// so that profiles of an older generation land right.
    #[must_use]
    pub fn cohort_of_profile(&self, profile: &Profile) -> u32 {
        let keys = self.cohort_keys();
        crate::cohort::keys_of(&profile.categories)
            .iter()
            .find_map(|key| keys.find(key))
            .unwrap_or(0)
    }

    /// The row of a video.
    #[inline]
    #[must_use]
    pub fn item(&self, item: u32) -> Option<&ItemRow> {
        self.items().get(item as usize)
    }

    /// Every row, by dense id.
    #[must_use]
    pub fn items(&self) -> &[ItemRow] {
        self.rows(Kind::Items)
    }

    /// What happened to each video; may be empty.
    #[must_use]
    pub fn stats(&self) -> &[StatsRow] {
        self.rows(Kind::Stats)
    }

    /// Ids by dense id.
    #[must_use]
    pub fn ids(&self) -> Texts<'_> {
        self.texts(Kind::IdStarts, Kind::IdBytes)
    }

    /// Creators, ascending.
    #[must_use]
    pub fn creators(&self) -> Texts<'_> {
        self.texts(Kind::CreatorStarts, Kind::CreatorBytes)
    }

    /// Categories, ascending.
    #[must_use]
    pub fn categories(&self) -> Texts<'_> {
        self.texts(Kind::CategoryNameStarts, Kind::CategoryNameBytes)
    }

    /// Markets, ascending.
    #[must_use]
    pub fn markets(&self) -> Texts<'_> {
        self.texts(Kind::MarketNameStarts, Kind::MarketNameBytes)
    }

    /// Languages, ascending.
    #[must_use]
    pub fn languages(&self) -> Texts<'_> {
        self.texts(Kind::LanguageStarts, Kind::LanguageBytes)
    }

    /// Cohort keys, ascending; the number is the cohort.
    #[must_use]
    pub fn cohort_keys(&self) -> Texts<'_> {
        self.texts(Kind::CohortKeyStarts, Kind::CohortKeyBytes)
    }

    /// Category numbers per video.
    #[must_use]
    pub fn item_categories(&self) -> List<'_, U32> {
        self.list(Kind::ItemCategoryStarts, Kind::ItemCategories)
    }

    /// Market numbers per market set.
    #[must_use]
    pub fn market_sets(&self) -> List<'_, U32> {
        self.list(Kind::MarketSetStarts, Kind::MarketSets)
    }

    /// Videos per session, oldest session first.
    #[must_use]
    pub fn sessions(&self) -> List<'_, U32> {
        self.list(Kind::SessionStarts, Kind::SessionItems)
    }

    /// Sessions per video, newest first.
    #[must_use]
    pub fn postings(&self) -> List<'_, U32> {
        self.list(Kind::PostingStarts, Kind::Postings)
    }

    /// How rare each video is among sessions.
    #[must_use]
    pub fn idf(&self) -> &[F32] {
        self.rows(Kind::Idf)
    }

    /// How session and neighbour scores should be used.
    #[must_use]
    pub fn cf_knobs(&self) -> &CfKnobs {
        &self.knobs
    }

    /// What the night found out about tastes as a whole.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Videos watched by the same people.
    #[must_use]
    pub fn neighbours(&self) -> List<'_, Scored> {
        self.list(Kind::NeighbourStarts, Kind::Neighbours)
    }

    /// Videos about the same.
    #[must_use]
    pub fn content(&self) -> List<'_, Scored> {
        self.list(Kind::ContentStarts, Kind::Content)
    }

    /// What is watched now in a market, or everywhere when the market has no list of its own.
    #[must_use]
    pub fn trending(&self, market: Option<u32>) -> &[Scored] {
        let lists: List<'_, Scored> = self.list(Kind::TrendingStarts, Kind::Trending);
        let own = market
            .map(|m| lists.row(m.saturating_add(1)))
            .filter(|row| !row.is_empty());
        own.unwrap_or_else(|| lists.row(0))
    }

    /// What is watched now in each category, everywhere; no rows before schema 2.
    #[must_use]
    pub fn category_trending(&self) -> List<'_, Scored> {
        self.list(Kind::CategoryTrendingStarts, Kind::CategoryTrending)
    }

    /// Every video, most liked first.
    #[must_use]
    pub fn popular(&self) -> &[Scored] {
        self.rows(Kind::Popular)
    }

    /// Every video, newest first.
    #[must_use]
    pub fn latest(&self) -> &[U32] {
        self.rows(Kind::Latest)
    }

    /// The videos of each category, most liked first.
    #[must_use]
    pub fn category_lists(&self) -> List<'_, Scored> {
        self.list(Kind::CategoryListStarts, Kind::CategoryLists)
    }

    /// What the people of each cohort like.
    #[must_use]
    pub fn cohort_slates(&self) -> List<'_, Scored> {
        self.list(Kind::CohortStarts, Kind::CohortSlates)
    }

    #[inline]
    fn section(&self, kind: Kind) -> &[u8] {
        let (start, end) = self.spans.get(kind as usize).copied().unwrap_or_default();
        (*self.bytes).as_ref().get(start..end).unwrap_or_default()
    }

    #[inline]
    fn rows<T: Plain>(&self, kind: Kind) -> &[T] {
        <[T]>::ref_from_bytes(self.section(kind)).unwrap_or_default()
    }

    fn list<T: Plain>(&self, starts: Kind, values: Kind) -> List<'_, T> {
        List {
            starts: self.rows(starts),
            values: self.rows(values),
        }
    }

    fn texts(&self, starts: Kind, bytes: Kind) -> Texts<'_> {
        Texts {
            list: self.list(starts, bytes),
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("generation", &self.generation)
            .field("videos", &self.videos)
            .finish_non_exhaustive()
    }
}

/// Used by the checks: the parts that have to fit together.
impl Index {
    fn has(&self, kind: Kind) -> bool {
        self.spans
            .get(kind as usize)
            .is_some_and(|span| *span != (0, 0))
    }

    fn raw(&self, kind: Kind) -> &[u8] {
        self.section(kind)
    }
}

/// A header and its table, as the checks hand them over.
type Frame<'a> = (&'a Header, &'a [Entry]);
