//! Everything that has to hold before a generation is served.

use zerocopy::FromBytes;
use zerocopy::little_endian::{F32, U32, U64};

use super::format::{
    CfKnobs, Entry, Findings, Header, ItemRow, Kind, MAGIC, NAME_BYTES_MAX, NONE, SCHEMA,
    SCHEMA_OLDEST, SECTION_ALIGN, SECTIONS_MAX, Scored, StatsRow,
};
use super::view::{Plain, rows};
use super::writer::header_checksum;
use super::{Frame, Index, IndexError};
use crate::{CreatorId, VideoId};

/// Sections that may be absent: what came with a later schema, and what not every night makes.
const OPTIONAL: [Kind; 6] = [
    Kind::CfKnobs,
    Kind::Stats,
    Kind::Model,
    Kind::Findings,
    Kind::CategoryTrendingStarts,
    Kind::CategoryTrending,
];

/// Checks header, table, section bounds and checksums.
pub(super) fn frame(all: &[u8]) -> Result<Frame<'_>, IndexError> {
    let (header, rest) = Header::ref_from_prefix(all).map_err(|_| IndexError::NotAnIndex)?;
    if header.magic != MAGIC {
        return Err(IndexError::NotAnIndex);
    }
    let schema = header.schema.get();
    if !(SCHEMA_OLDEST..=SCHEMA).contains(&schema) {
        return Err(IndexError::Schema(schema));
    }
    let (actual, stated) = (all.len() as u64, header.file_bytes.get());
    if actual != stated {
        return Err(IndexError::Length { actual, stated });
    }
    let count = header.sections.get().min(SECTIONS_MAX) as usize;
    let table = rest.get(..count * size_of::<Entry>()).map(rows::<Entry>);
    let table = table.ok_or(IndexError::NotAnIndex)?;
    let name = header.name.get(..usize::from(header.name_bytes.get()));
    let name =
        name.filter(|name| name.len() <= NAME_BYTES_MAX && std::str::from_utf8(name).is_ok());
    let whole = header.sections.get() <= SECTIONS_MAX && name.is_some();
    if !whole || header_checksum(header, table) != header.checksum.get() {
        return Err(IndexError::HeaderChecksum);
    }
    let mut free_from = size_of::<Header>() + size_of_val(table);
    for entry in table {
        free_from = section(all, entry, free_from)?;
    }
    Ok((header, table))
}

/// Checks one section and returns where the next may start.
fn section(all: &[u8], entry: &Entry, free_from: usize) -> Result<usize, IndexError> {
    let kind = entry.kind.get();
    let out = IndexError::SectionBounds(kind);
    let start = usize::try_from(entry.offset.get()).map_err(|_| out)?;
    let length = usize::try_from(entry.bytes.get()).map_err(|_| out)?;
    let end = start.checked_add(length).ok_or(out)?;
    let bytes = all.get(start..end).ok_or(out)?;
    if start < free_from || !start.is_multiple_of(SECTION_ALIGN) {
        return Err(out);
    }
    if xxhash_rust::xxh3::xxh3_64(bytes) != entry.checksum.get() {
        return Err(IndexError::SectionChecksum(kind));
    }
    Ok(end)
}

/// Checks that every section is there and fits the others.
pub(super) fn sections(index: &Index) -> Result<(), IndexError> {
    for kind in Kind::ALL {
        if !index.has(kind) && !OPTIONAL.contains(&kind) {
            return Err(IndexError::Missing(kind.number()));
        }
    }
    let c = Check {
        index,
        videos: index.videos as usize,
    };
    c.whole::<ItemRow>(Kind::Items)?;
    c.dictionaries()?;
    c.items()?;
    c.lookup()?;
    c.collaborative()?;
    c.lists()
}

struct Check<'a> {
    index: &'a Index,
    videos: usize,
}

impl Check<'_> {
    fn dictionaries(&self) -> Result<(), IndexError> {
        self.texts(Kind::IdStarts, Kind::IdBytes, Some(self.videos), |t| {
            VideoId::parse(t).is_ok()
        })?;
        self.texts(Kind::CreatorStarts, Kind::CreatorBytes, None, |t| {
            CreatorId::parse(t).is_ok()
        })?;
        self.texts(
            Kind::CategoryNameStarts,
            Kind::CategoryNameBytes,
            None,
            |_| true,
        )?;
        self.texts(Kind::MarketNameStarts, Kind::MarketNameBytes, None, |_| {
            true
        })?;
        self.texts(Kind::LanguageStarts, Kind::LanguageBytes, None, |_| true)?;
        self.texts(Kind::CohortKeyStarts, Kind::CohortKeyBytes, None, |_| true)
    }

    fn items(&self) -> Result<(), IndexError> {
        let index = self.index;
        let markets = index.markets().len();
        self.starts::<U32>(Kind::MarketSetStarts, Kind::MarketSets, None)?;
        self.ids(Kind::MarketSets, markets)?;
        self.starts::<U32>(
            Kind::ItemCategoryStarts,
            Kind::ItemCategories,
            Some(self.videos),
        )?;
        self.ids(Kind::ItemCategories, index.categories().len())?;
        let (creators, languages) = (index.creators().len(), index.languages().len());
        let sets = index.market_sets().len();
        let below = |id: U32, bound: usize| id.get() == NONE || (id.get() as usize) < bound;
        let holds = index.items().iter().all(|row| {
            below(row.creator, creators)
                && below(row.language, languages)
                && (row.market_set.get() as usize) < sets.max(1)
                && row.quality.get().is_finite()
                && row.popularity.get().is_finite()
                && row.momentum.get().is_finite()
        });
        require(holds, Kind::Items)?;
        let fragments = rows::<U64>(self.index.raw(Kind::FragmentStarts));
        let end = self.index.raw(Kind::FragmentBytes).len() as u64;
        let count = fragments.len() == self.videos + 1;
        let ascending = fragments.is_sorted_by(|a, b| a.get() <= b.get());
        let ends = fragments.first().is_some_and(|f| f.get() == 0)
            && fragments.last().is_some_and(|l| l.get() == end);
        require(count && ascending && ends, Kind::FragmentStarts)?;
        let stats = rows::<StatsRow>(index.raw(Kind::Stats)).len();
        require(!index.has(Kind::Stats) || stats == self.videos, Kind::Stats)
    }

    fn lookup(&self) -> Result<(), IndexError> {
        let table = self.whole::<U32>(Kind::Lookup)?;
        let sized = table.len().is_power_of_two() && table.len() > self.videos;
        let bounded = table
            .iter()
            .all(|d| d.get() == NONE || (d.get() as usize) < self.videos);
        require(sized && bounded, Kind::Lookup)
    }

    fn collaborative(&self) -> Result<(), IndexError> {
        let index = self.index;
        self.starts::<U32>(Kind::SessionStarts, Kind::SessionItems, None)?;
        self.ids(Kind::SessionItems, self.videos)?;
        let sessions = index.sessions().len();
        self.starts::<U32>(Kind::PostingStarts, Kind::Postings, Some(self.videos))?;
        self.ids(Kind::Postings, sessions)?;
        let postings = index.postings();
        let newest_first =
            (0..index.videos).all(|item| postings.row(item).is_sorted_by(|a, b| a.get() > b.get()));
        require(newest_first, Kind::Postings)?;
        let idf = self.whole::<F32>(Kind::Idf)?;
        let finite = idf.len() == self.videos && idf.iter().all(|x| x.get().is_finite());
        require(finite, Kind::Idf)?;
        let knobs = self.whole::<CfKnobs>(Kind::CfKnobs)?;
        let shares = knobs.iter().all(|k| {
            (0.0..=1.0).contains(&k.session_share.get())
                && (0.0..=1.0).contains(&k.seed_decay.get())
        });
        require(knobs.len() <= 1 && shares, Kind::CfKnobs)?;
        let findings = self.whole::<Findings>(Kind::Findings)?;
        let sound = findings.iter().all(|f| {
            (0.0..=1.0).contains(&f.common_share.get())
                && f.worth
                    .iter()
                    .all(|worth| (0.0..=1.0).contains(&worth.get()))
                && f.half_life_ms.get() > 0
                && f.window_ms.get() > 0
        });
        require(findings.len() <= 1 && sound, Kind::Findings)
    }

    fn lists(&self) -> Result<(), IndexError> {
        let index = self.index;
        let videos = Some(self.videos);
        self.scored_list(Kind::NeighbourStarts, Kind::Neighbours, videos)?;
        self.scored_list(Kind::ContentStarts, Kind::Content, videos)?;
        self.scored_list(
            Kind::TrendingStarts,
            Kind::Trending,
            Some(index.markets().len() + 1),
        )?;
        let categories = Some(index.categories().len());
        self.scored_list(Kind::CategoryListStarts, Kind::CategoryLists, categories)?;
        if index.has(Kind::CategoryTrendingStarts) || index.has(Kind::CategoryTrending) {
            let starts = Kind::CategoryTrendingStarts;
            self.scored_list(starts, Kind::CategoryTrending, categories)?;
        }
        let cohorts = Some(index.cohort_keys().len());
        self.scored_list(Kind::CohortStarts, Kind::CohortSlates, cohorts)?;
        self.scored(Kind::Popular)?;
        require(index.popular().len() == self.videos, Kind::Popular)?;
        self.ids(Kind::Latest, self.videos)?;
        require(index.latest().len() == self.videos, Kind::Latest)
    }

    /// The rows of a section that has to be a whole number of them.
    fn whole<T: Plain>(&self, kind: Kind) -> Result<&[T], IndexError> {
        let bytes = self.index.raw(kind);
        require(bytes.len().is_multiple_of(size_of::<T>().max(1)), kind)?;
        Ok(rows(bytes))
    }

    /// Offsets start at 0, never step back and end where the values end.
    fn starts<T: Plain>(
        &self,
        starts: Kind,
        values: Kind,
        count: Option<usize>,
    ) -> Result<(), IndexError> {
        let end = self.whole::<T>(values)?.len();
        let offsets = self.whole::<U32>(starts)?;
        let counted = count.is_none_or(|count| offsets.len() == count + 1);
        let first = offsets.first().is_some_and(|first| first.get() == 0);
        let last = offsets
            .last()
            .is_some_and(|last| last.get() as usize == end);
        let ascending = offsets.is_sorted_by(|a, b| a.get() <= b.get());
        require(counted && first && last && ascending, starts)
    }

    fn texts(
        &self,
        starts: Kind,
        bytes: Kind,
        count: Option<usize>,
        valid: impl Fn(&str) -> bool,
    ) -> Result<(), IndexError> {
        self.starts::<u8>(starts, bytes, count)?;
        let texts = self.index.texts(starts, bytes);
        let rows =
            u32::try_from(texts.len()).map_err(|_| IndexError::Inconsistent(starts.number()))?;
        let holds = (0..rows).all(|i| std::str::from_utf8(texts.list.row(i)).is_ok_and(&valid));
        let ascending = (1..rows).all(|i| texts.list.row(i - 1) < texts.list.row(i));
        require(holds && ascending, bytes)
    }

    fn ids(&self, kind: Kind, bound: usize) -> Result<(), IndexError> {
        let holds = self
            .whole::<U32>(kind)?
            .iter()
            .all(|id| (id.get() as usize) < bound);
        require(holds, kind)
    }

    fn scored(&self, kind: Kind) -> Result<(), IndexError> {
        let holds = self
            .whole::<Scored>(kind)?
            .iter()
            .all(|row| (row.item.get() as usize) < self.videos && row.score.get().is_finite());
        require(holds, kind)
    }

    fn scored_list(
        &self,
        starts: Kind,
        values: Kind,
        count: Option<usize>,
    ) -> Result<(), IndexError> {
        self.starts::<Scored>(starts, values, count)?;
        self.scored(values)
    }
}

fn require(holds: bool, kind: Kind) -> Result<(), IndexError> {
    if holds {
        Ok(())
    } else {
        Err(IndexError::Inconsistent(kind.number()))
    }
}
