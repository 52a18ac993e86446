//! The catalogue while it is taken in, and in the order of the generation.

use engine::index::IndexWriter;
use engine::index::format::{ItemRow, Kind, NONE, StatsRow, flags};
use engine::{UserState, Video, VideoId};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, I64, U32, U64};

use super::BuildError;
use super::counts::Counts;
use super::interner::Interner;
use super::trends::Trends;

/// What the generation needs of a video; numbers are the shelf's own until arranged.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) id: VideoId,
    pub(super) creator: u32,
    pub(super) language: u32,
    /// Until arranged; the catalogue has them then.
    categories: Vec<u32>,
    pub(super) tags: Vec<u32>,
    markets: Vec<u32>,
    market_set: u32,
    pub(super) duration_ms: u32,
    pub(super) published_ms: i64,
    from_ms: i64,
    until_ms: i64,
    hidden: bool,
    fragment: Box<[u8]>,
}

/// The catalogue while it is taken in.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    books: Vec<Option<Book>>,
    creators: Interner,
    languages: Interner,
    categories: Interner,
    tags: Interner,
    markets: Interner,
}

impl Shelf {
    pub(super) fn add(&mut self, number: u32, video: &Video) -> Result<(), BuildError> {
        let id = || video.video_id.as_str().to_owned();
        let fragment = serde_json::to_vec(video).map_err(|e| BuildError::Render(id(), e))?;
        let creator = video
            .creator
            .as_ref()
            .map(|creator| SmolStr::new(creator.as_str()));
        let book = Book {
            id: video.video_id.clone(),
            creator: one(&mut self.creators, creator.as_ref())?,
            language: one(&mut self.languages, video.language.as_ref())?,
            categories: many(&mut self.categories, &video.categories)?,
            tags: many(&mut self.tags, &video.tags)?,
            markets: many(&mut self.markets, &video.markets)?,
            market_set: 0,
            duration_ms: video.duration_ms,
            published_ms: video.published_at,
            from_ms: video.available_from.unwrap_or(i64::MIN),
            until_ms: video.available_until.unwrap_or(i64::MAX),
            hidden: video.hidden,
            fragment: fragment.into(),
        };
        let place = number as usize;
        if self.books.len() <= place {
            self.books.resize(place + 1, None);
        }
        if let Some(slot) = self.books.get_mut(place) {
            *slot = Some(book);
        }
        Ok(())
    }

    /// Orders the catalogue by id and every dictionary by text. Markets are those that videos name
    /// and those that `viewers` come from: each has a list of its own.
    pub(super) fn arrange(mut self, viewers: &[SmolStr]) -> Catalogue {
        for market in viewers.iter().filter(|market| !market.is_empty()) {
            // There are as many numbers as there are texts in the diary already.
            let _ = self.markets.number(market);
        }
        let mut numbered: Vec<(usize, Book)> = Vec::with_capacity(self.books.len());
        let known = self.books.len();
        for (number, book) in self.books.into_iter().enumerate() {
            numbered.extend(book.map(|book| (number, book)));
        }
        numbered.sort_unstable_by(|a, b| a.1.id.cmp(&b.1.id));
        let mut dense = vec![NONE; known];
        for (new, (old, _)) in (0u32..).zip(&numbered) {
            if let Some(slot) = dense.get_mut(*old) {
                *slot = new;
            }
        }
        let (creators, creator_numbers) = self.creators.sorted();
        let (languages, language_numbers) = self.languages.sorted();
        let (categories, category_numbers) = self.categories.sorted();
        let (_, tag_numbers) = self.tags.sorted();
        let (markets, market_numbers) = self.markets.sorted();
        let mut books: Vec<Book> = numbered.into_iter().map(|(_, book)| book).collect();
        for book in &mut books {
            book.creator = renumber(&creator_numbers, book.creator);
            book.language = renumber(&language_numbers, book.language);
            renumber_all(&category_numbers, &mut book.categories);
            renumber_all(&tag_numbers, &mut book.tags);
            renumber_all(&market_numbers, &mut book.markets);
        }
        let market_sets = number_sets(&mut books);
        let ids = books.iter().map(|book| book.id.clone()).collect();
        let durations_ms = books.iter().map(|book| book.duration_ms).collect();
        let hidden = books.iter().map(|book| book.hidden).collect();
        let (mut category_starts, mut category_numbers) = (vec![0], Vec::new());
        for book in &mut books {
            category_numbers.append(&mut book.categories);
            category_starts.push(category_numbers.len());
        }
        Catalogue {
            books,
            dense,
            ids,
            durations_ms,
            hidden,
            category_starts,
            category_numbers,
            creators,
            languages,
            categories,
            markets,
            market_sets,
        }
    }
}

fn one(interner: &mut Interner, text: Option<&SmolStr>) -> Result<u32, BuildError> {
    text.filter(|text| !text.is_empty())
        .map_or(Ok(NONE), |text| interner.number(text))
}

fn many(interner: &mut Interner, texts: &[SmolStr]) -> Result<Vec<u32>, BuildError> {
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| interner.number(text))
        .collect()
}

fn renumber(numbers: &[u32], old: u32) -> u32 {
    numbers.get(old as usize).copied().unwrap_or(NONE)
}

fn renumber_all(numbers: &[u32], row: &mut Vec<u32>) {
    row.iter_mut()
        .for_each(|old| *old = renumber(numbers, *old));
    row.sort_unstable();
    row.dedup();
}

/// Gives every distinct set of markets a number, in the order of the books; 0 is everywhere.
fn number_sets(books: &mut [Book]) -> Vec<Vec<u32>> {
    let mut sets = vec![Vec::new()];
    let mut numbers: FxHashMap<Vec<u32>, u32> = FxHashMap::from_iter([(Vec::new(), 0)]);
    for book in books {
        let next = sets.len() as u32;
        book.market_set = *numbers.entry(book.markets.clone()).or_insert_with(|| {
            sets.push(book.markets.clone());
            next
        });
    }
    sets
}

/// The catalogue in the order of the generation; dense ids are places in `books`.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) books: Vec<Book>,
    dense: Vec<u32>,
    /// What is asked once per event or liking, apart from the rest of the books; categories row behind row.
    ids: Vec<VideoId>,
    durations_ms: Vec<u32>,
    hidden: Vec<bool>,
    category_starts: Vec<usize>,
    category_numbers: Vec<u32>,
    creators: Vec<SmolStr>,
    languages: Vec<SmolStr>,
    pub(super) categories: Vec<SmolStr>,
    pub(super) markets: Vec<SmolStr>,
    market_sets: Vec<Vec<u32>>,
}

impl Catalogue {
    pub(super) fn len(&self) -> usize {
        self.books.len()
    }

    /// The dense id of a number handed out while videos and events were taken in.
    pub(super) fn dense(&self, number: u32) -> Option<u32> {
        self.dense
            .get(number as usize)
            .copied()
            .filter(|dense| *dense != NONE)
    }

    pub(super) fn book(&self, item: u32) -> Option<&Book> {
        self.books.get(item as usize)
    }

    pub(super) fn id(&self, item: u32) -> Option<&VideoId> {
        self.ids.get(item as usize)
    }

    pub(super) fn duration_ms(&self, item: u32) -> u32 {
        self.durations_ms.get(item as usize).copied().unwrap_or(0)
    }

    pub(super) fn categories_of(&self, item: u32) -> &[u32] {
        let starts = self.category_starts.get(item as usize..item as usize + 2);
        let Some(&[start, end]) = starts else {
            return &[];
        };
        self.category_numbers.get(start..end).unwrap_or_default()
    }

    pub(super) fn hidden(&self, item: u32) -> bool {
        self.hidden.get(item as usize).copied().unwrap_or(true)
    }

    /// Writes what the catalogue and its counts say about each video, but not the video as it is shown.
    pub(super) fn put(&self, index: &mut IndexWriter, counts: &Counts, trends: &Trends) {
        let rows: Vec<ItemRow> = (0u32..)
            .zip(&self.books)
            .map(|(item, book)| row(book, item, counts, trends))
            .collect();
        index.put(Kind::Items, &rows);
        let stats: Vec<StatsRow> = counts.videos.iter().map(|count| count.row()).collect();
        index.put(Kind::Stats, &stats);
        let ids = self.books.iter().map(|book| book.id.as_str());
        index.put_texts(Kind::IdStarts, Kind::IdBytes, ids);
        index.put(Kind::Lookup, &self.lookup());
        let texts = |texts: &[SmolStr]| texts.iter().map(SmolStr::to_string).collect::<Vec<_>>();
        let mut put_texts = |starts, bytes, all: &[SmolStr]| {
            index.put_texts(starts, bytes, texts(all).iter().map(String::as_str));
        };
        put_texts(Kind::CreatorStarts, Kind::CreatorBytes, &self.creators);
        put_texts(Kind::LanguageStarts, Kind::LanguageBytes, &self.languages);
        put_texts(
            Kind::CategoryNameStarts,
            Kind::CategoryNameBytes,
            &self.categories,
        );
        put_texts(Kind::MarketNameStarts, Kind::MarketNameBytes, &self.markets);
        let sets = self.market_sets.iter().map(|set| numbers(set));
        index.put_list(Kind::MarketSetStarts, Kind::MarketSets, sets);
        let categories = (0..self.len() as u32).map(|item| numbers(self.categories_of(item)));
        index.put_list(Kind::ItemCategoryStarts, Kind::ItemCategories, categories);
    }

    /// Writes each video as it is shown.
    pub(super) fn put_fragments(&self, index: &mut IndexWriter) {
        let mut starts = vec![U64::ZERO];
        let mut bytes = Vec::new();
        for book in &self.books {
            bytes.extend_from_slice(&book.fragment);
            starts.push(U64::new(bytes.len() as u64));
        }
        index.put(Kind::FragmentStarts, &starts);
        index.put_bytes(Kind::FragmentBytes, bytes);
    }

    /// Writes that no video is to be shown.
    pub(super) fn put_no_fragments(&self, index: &mut IndexWriter) {
        index.put(Kind::FragmentStarts, &vec![U64::ZERO; self.len() + 1]);
        index.put_bytes(Kind::FragmentBytes, Vec::new());
    }

    /// Open addressing at most half full, filled in the order of dense ids.
    fn lookup(&self) -> Vec<U32> {
        let size = (self.books.len() * 2).max(2).next_power_of_two();
        let mut table = vec![U32::new(NONE); size];
        for (item, book) in (0u32..).zip(&self.books) {
            let mut slot = xxh3_64(book.id.as_str().as_bytes()) as usize & (size - 1);
            while table.get(slot).is_some_and(|taken| taken.get() != NONE) {
                slot = (slot + 1) & (size - 1);
            }
            if let Some(free) = table.get_mut(slot) {
                *free = U32::new(item);
            }
        }
        table
    }
}

pub(super) fn numbers(row: &[u32]) -> Vec<U32> {
    row.iter().copied().map(U32::new).collect()
}

fn row(book: &Book, item: u32, counts: &Counts, trends: &Trends) -> ItemRow {
    ItemRow {
        creator: U32::new(book.creator),
        duration_ms: U32::new(book.duration_ms),
        seen_hash: U32::new(UserState::seen_hash(book.id.as_str())),
        flags: U32::new(if book.hidden { flags::HIDDEN } else { 0 }),
        language: U32::new(book.language),
        market_set: U32::new(book.market_set),
        published_ms: I64::new(book.published_ms),
        from_ms: I64::new(book.from_ms),
        until_ms: I64::new(book.until_ms),
        quality: F32::new(counts.quality(item)),
        popularity: F32::new(counts.popularity(item)),
        momentum: F32::new(trends.momentum(item)),
        reserved: [0; 4],
    }
}
