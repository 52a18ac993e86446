//! Every event, 48 bytes each, to be told again; and which generation each slate came from.

use engine::event::LONG_VIEW_MS;
use engine::{Event, EventKind, UserId, VideoId};
use rustc_hash::FxHashMap;
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_64;

use crate::train::POSITION_UNKNOWN;

/// Most events; of more, the ranker of before serves on.
const DEEDS_MAX: usize = 50_000_000;
/// Most slates that are remembered; of more, every night is made again.
const SLATES_MAX: usize = 10_000_000;
/// The deed answers no slate that is asked about.
const NO_SLATE: u32 = u32::MAX;

/// One event. Numbers are the log's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    pub(super) ts_ms: i64,
    pub(super) user: u32,
    pub(super) video: u32,
    market: u32,
    pub(super) scene: u32,
    pub(super) slate: u32,
    watch_ms: Option<u32>,
    duration_ms: u32,
    pub(super) position: u16,
    pub(super) kind: EventKind,
    pub(super) undo: bool,
    pub(super) long_view: bool,
}

/// Where a slate came from, as the `served` rows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// The log's number of the generation.
    pub(super) generation: u32,
    /// The log's number of the scene that it was made for.
    pub(super) scene: u32,
    /// When it was first served, which is at most a slate's life after it was made.
    pub(super) served_ms: i64,
}

impl Deed {
    /// The share watched, 0 to 1; 1 where nothing was measured.
    pub(super) fn watch_ratio(&self) -> f32 {
        let length_ms = if self.duration_ms > 0 {
            self.duration_ms
        } else {
            LONG_VIEW_MS
        };
        self.watch_ms.map_or(1.0, |watched| {
            (f64::from(watched) / f64::from(length_ms)).min(1.0) as f32
        })
    }
}

/// Numbers names in the order they come.
#[derive(Debug)]
struct Names<T> {
    numbers: FxHashMap<T, u32>,
    all: Vec<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            numbers: FxHashMap::default(),
            all: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Names<T> {
    fn number(&mut self, name: &T) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.numbers.insert(name.clone(), number);
        self.all.push(name.clone());
        number
    }

    /// Orders the names; the new number of each old one.
    fn settle(&mut self) -> Vec<u32>
    where
        T: Ord,
    {
        let mut order: Vec<u32> = (0..self.all.len() as u32).collect();
        order.sort_unstable_by_key(|old| self.all.get(*old as usize));
        let mut new = vec![0; order.len()];
        for (number, old) in (0u32..).zip(&order) {
            if let Some(slot) = new.get_mut(*old as usize) {
                *slot = number;
            }
        }
        self.all.sort_unstable();
        self.numbers
            .values_mut()
            .for_each(|old| *old = renumbered(&new, *old));
        new
    }
}

fn renumbered(numbers: &[u32], old: u32) -> u32 {
    numbers.get(old as usize).copied().unwrap_or(old)
}

/// Everything users did.
#[derive(Debug, Default)]
pub(super) struct Log {
    users: Names<UserId>,
    videos: Names<VideoId>,
    markets: Names<SmolStr>,
    scenes: Names<SmolStr>,
    /// Hashes of recommendation ids that impressions name.
    slates: Names<u64>,
    generations: Names<SmolStr>,
    /// By the hash of a recommendation id.
    origins: FxHashMap<u64, Origin>,
    /// By the log's number of a user: whether they did anything in the time that slates are of.
    recent: Vec<bool>,
    deeds: Vec<Deed>,
    overflowed: bool,
    too_many_slates: bool,
}

impl Log {
    /// Takes an event in. Slates are remembered that are from after `recent_from_ms`.
    pub(super) fn add(&mut self, event: &Event, long_view_ms: u32, recent_from_ms: i64) {
        let recent = event.ts_ms > recent_from_ms;
        let slate = recent && !event.recommendation_id.is_empty() && !self.too_many_slates;
        if event.kind == EventKind::Served && slate {
            self.add_origin(event);
        }
        if matches!(event.kind, EventKind::Served | EventKind::Exposure) || self.overflowed {
            return;
        }
        if self.deeds.len() >= DEEDS_MAX {
            self.overflowed = true;
            self.deeds = Vec::new();
            self.forget_slates();
            return;
        }
        let slate = if event.kind == EventKind::Impression && slate {
            self.slates.number(&slate_hash(event))
        } else {
            NO_SLATE
        };
        let user = self.users.number(&event.user_id);
        if self.recent.len() <= user as usize {
            self.recent.resize(user as usize + 1, false);
        }
        if let Some(own) = self.recent.get_mut(user as usize) {
            *own |= recent;
        }
        if self.slates.all.len() > SLATES_MAX {
            self.forget_slates();
        }
        self.deeds.push(Deed {
            slate,
            ts_ms: event.ts_ms,
            user,
            video: self.videos.number(&event.video_id),
            market: self.markets.number(&event.market),
            scene: self.scenes.number(&event.scene),
            watch_ms: event.watch_ms,
            duration_ms: event.duration_ms.unwrap_or(0),
            position: event.slate_position.unwrap_or(POSITION_UNKNOWN),
            kind: event.kind,
            undo: event.undo,
            long_view: !event.undo && event.is_long_view(long_view_ms),
        });
    }

    /// Of a slate served more than once, the first time counts.
    fn add_origin(&mut self, event: &Event) {
        let Some(made) = &event.made else {
            return;
        };
        let new = Origin {
            generation: self.generations.number(&made.generation),
            scene: self.scenes.number(&event.scene),
            served_ms: event.ts_ms,
        };
        let (names, scenes) = (&self.generations.all, &self.scenes.all);
        let order = |one: &Origin| {
            let name = names.get(one.generation as usize);
            (one.served_ms, name, scenes.get(one.scene as usize))
        };
        let origin = self.origins.entry(slate_hash(event)).or_insert(new);
        if order(&new) < order(origin) {
            *origin = new;
        }
        if self.origins.len() > SLATES_MAX {
            self.forget_slates();
        }
    }

    fn forget_slates(&mut self) {
        self.too_many_slates = true;
        self.slates = Names::default();
        self.origins = FxHashMap::default();
        self.generations = Names::default();
    }

    /// Numbers everything by its name, so that the order of taking in leaves no trace.
    pub(super) fn settle(&mut self) {
        let (users, videos) = (self.users.settle(), self.videos.settle());
        let (markets, scenes) = (self.markets.settle(), self.scenes.settle());
        let (slates, generations) = (self.slates.settle(), self.generations.settle());
        for origin in self.origins.values_mut() {
            origin.generation = renumbered(&generations, origin.generation);
            origin.scene = renumbered(&scenes, origin.scene);
        }
        for deed in &mut self.deeds {
            deed.user = renumbered(&users, deed.user);
            deed.video = renumbered(&videos, deed.video);
            deed.market = renumbered(&markets, deed.market);
            deed.scene = renumbered(&scenes, deed.scene);
            deed.slate = renumbered(&slates, deed.slate);
        }
    }

    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.deeds.iter().map(|deed| deed.ts_ms).max()
    }

    pub(super) fn deeds(&self) -> &[Deed] {
        &self.deeds
    }

    pub(super) fn user(&self, number: u32) -> Option<&UserId> {
        self.users.all.get(number as usize)
    }

    pub(super) fn video(&self, number: u32) -> Option<&VideoId> {
        self.videos.all.get(number as usize)
    }

    pub(super) fn scenes(&self) -> &[SmolStr] {
        &self.scenes.all
    }

    /// Whether this user did anything in the time that slates are of; before [`Self::settle`].
    pub(super) fn is_recent(&self, user: &UserId) -> bool {
        let number = self.users.numbers.get(user);
        number.is_some_and(|number| self.recent.get(*number as usize) == Some(&true))
    }

    /// The generations that slates came from.
    pub(super) fn generations(&self) -> &[SmolStr] {
        &self.generations.all
    }

    /// Where the slate came from that a deed answers.
    pub(super) fn origin(&self, slate: u32) -> Option<Origin> {
        let hash = self.slates.all.get(slate as usize)?;
        self.origins.get(hash).copied()
    }

    /// The events up to a time, as far as a generation is made of them.
    pub(super) fn events_up_to(&self, as_of_ms: i64) -> impl Iterator<Item = Event> {
        let before = self.deeds.iter().filter(move |deed| deed.ts_ms <= as_of_ms);
        before.filter_map(|deed| {
            let market = self.markets.all.get(deed.market as usize);
            Some(Event {
                event_id: SmolStr::default(),
                kind: deed.kind,
                user_id: self.user(deed.user)?.clone(),
                video_id: self.video(deed.video)?.clone(),
                ts_ms: deed.ts_ms,
                watch_ms: deed.watch_ms,
                duration_ms: Some(deed.duration_ms).filter(|ms| *ms > 0),
                scene: SmolStr::default(),
                market: market.cloned().unwrap_or_default(),
                creator_id: None,
                undo: deed.undo,
                recommendation_id: SmolStr::default(),
                slate_position: None,
                arms: SmolStr::default(),
                made: None,
            })
        })
    }
}

fn slate_hash(event: &Event) -> u64 {
    xxh3_64(event.recommendation_id.as_bytes())
}
