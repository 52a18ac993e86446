//! Building a generation of ten million interactions, and what each of its parts weighs.

use engine::index::Index;
use engine::index::format::{Entry, Header, Kind};
use engine::{CreatorId, Event, EventKind, UserId, Video, VideoId};
use guard::Clock;
use learn::{BuildOptions, GenerationBuilder};
use ops::RealClock;
use serde::Serialize;
use smol_str::{SmolStr, format_smolstr};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::FromBytes;

use crate::measure::compare::Random;
use crate::measure::{Report, cpu};

const INTERACTIONS: usize = 10_000_000;
const USERS: usize = 500_000;
const VIDEOS: usize = 100_000;
const CATEGORIES: usize = 60;
const CREATORS: usize = 5_000;
pub const DAYS: i64 = 60;
pub const DAY_MS: i64 = 86_400_000;
/// 1 January 2026, 00:00 UTC.
pub const START_MS: i64 = 1_767_225_600_000;
const THREADS: usize = 2;
/// Events that are made before they are taken in.
pub const HANDED_OVER: usize = 4_096;

/// What a section weighs.
#[derive(Debug, Serialize)]
struct Weight {
    section: String,
    bytes: u64,
    per: &'static str,
    bytes_each: f64,
}

/// Row 15, the building of the index.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let clock = RealClock::new();
    let town = Town::new()?;
    let options = BuildOptions {
        threads: THREADS,
        ..BuildOptions::new("bench", START_MS + DAYS * DAY_MS)
    };
    let mut builder = GenerationBuilder::new(options);
    for video in town.videos() {
        builder.add_video(&video?)?;
    }
    let adding = take_in(&town, &mut builder, &clock)?;
    let (built, finishing) = timed(&clock, || builder.finish());
    let mut built = built?;
    let (bytes, writing) = timed(&clock, || built.to_bytes());
    let facts = format!("{:?}", built.report);
    drop(built);
    let peak = memory_bytes("VmHWM:");
    let spent = adding.cpu + finishing.cpu + writing.cpu;
    let wall = adding.wall + finishing.wall + writing.wall;
    let rate = INTERACTIONS as f64 / spent;
    report.check(
        "events per second and core: every event through the whole build",
        format!("{:.2} M", rate / 1e6),
        "≥ 1 M",
        rate >= 1e6,
    );
    report.tell(
        "taking in / building / writing, seconds of CPU",
        format!(
            "{:.1} / {:.1} / {:.1}",
            adding.cpu, finishing.cpu, writing.cpu
        ),
    );
    report.tell("wall time on two cores", format!("{wall:.1} s"));
    report.tell(
        "peak memory",
        format!("{:.2} GiB", peak as f64 / (1 << 30) as f64),
    );
    let weights = weights(&bytes)?;
    tell(report, &weights);
    let size = bytes.len();
    report.note(format!(
        "The generation's bytes, hashed by XXH3: {:016x}.",
        xxh3_64(&bytes)
    ));
    let (opened, opening) = timed(&clock, || Index::open(Arc::new(bytes)));
    opened?;
    report.tell(
        "opening it, every byte and every id checked",
        format!(
            "{:.0} ms for {:.0} MiB, {:.2} GB/s",
            opening.cpu * 1e3,
            size as f64 / f64::from(1 << 20),
            size as f64 / opening.cpu / 1e9
        ),
    );
    report.note(format!(
        "{INTERACTIONS} watches of {USERS} users on {VIDEOS} videos in {DAYS} days, in the order of \
         time, from a seed; nine in ten are long views. CPU seconds are those of all threads; the \
         making of the events is not among them: {HANDED_OVER} at a time are made, then taken in."
    ));
    report.note(facts);
    report.keep("sections", &weights);
    report.keep(
        "seconds",
        [adding.cpu, finishing.cpu, writing.cpu, opening.cpu],
    );
    report.keep("peak_bytes", peak);
    Ok(())
}

/// Hands every event over. What it costs to make them is not the builder's and not timed.
fn take_in(
    town: &Town,
    builder: &mut GenerationBuilder,
    clock: &RealClock,
) -> anyhow::Result<Spent> {
    let (mut adding, mut made) = (Spent::default(), Vec::with_capacity(HANDED_OVER));
    let mut hand_over = |made: &mut Vec<Event>| -> anyhow::Result<()> {
        let add = || made.iter().try_for_each(|event| builder.add_event(event));
        let (added, spent) = timed(clock, add);
        made.clear();
        adding.cpu += spent.cpu;
        adding.wall += spent.wall;
        Ok(added?)
    };
    town.events(INTERACTIONS, |event| {
        made.push(event);
        if made.len() == HANDED_OVER {
            hand_over(&mut made)?;
        }
        Ok(())
    })?;
    hand_over(&mut made)?;
    Ok(adding)
}

/// What a video, an interaction and the whole weigh.
fn tell(report: &mut Report, weights: &[Weight]) {
    for per in ["video", "interaction", "whole"] {
        let own = weights.iter().filter(|weight| weight.per == per);
        let sum: u64 = own.map(|weight| weight.bytes).sum();
        let each = match per {
            "video" => sum as f64 / VIDEOS as f64,
            "interaction" => sum as f64 / INTERACTIONS as f64,
            _ => sum as f64,
        };
        report.tell(&format!("bytes per {per}"), format!("{each:.1}"));
    }
}

/// Seconds.
#[derive(Default)]
pub struct Spent {
    /// Of all threads.
    pub cpu: f64,
    /// On the wall.
    pub wall: f64,
}

/// Does something, and says what it took.
pub fn timed<T>(clock: &RealClock, work: impl FnOnce() -> T) -> (T, Spent) {
    let (wall, spent) = (clock.now().mono, cpu::this_process());
    let done = work();
    let spent = Spent {
        cpu: (cpu::this_process() - spent).as_secs_f64(),
        wall: (clock.now().mono - wall).as_secs_f64(),
    };
    (done, spent)
}

/// What the system says of this process's memory: `VmHWM:` is the most that was resident at once, `VmRSS:`
/// what is.
pub fn memory_bytes(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

/// Every section's length, by what it grows with.
fn weights(bytes: &[u8]) -> anyhow::Result<Vec<Weight>> {
    let broken = |_| anyhow::anyhow!("the generation has no header");
    let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| broken(()))?;
    let count = header.sections.get() as usize;
    let (table, _) = <[Entry]>::ref_from_prefix_with_elems(rest, count).map_err(|_| broken(()))?;
    let weights = table.iter().map(|entry| {
        let kind = Kind::ALL
            .iter()
            .find(|kind| kind.number() == entry.kind.get());
        let per = match kind {
            Some(Kind::SessionStarts | Kind::SessionItems | Kind::Postings) => "interaction",
            Some(
                Kind::Items
                | Kind::IdStarts
                | Kind::IdBytes
                | Kind::Lookup
                | Kind::ItemCategoryStarts
                | Kind::ItemCategories
                | Kind::FragmentStarts
                | Kind::FragmentBytes
                | Kind::Stats
                | Kind::PostingStarts
                | Kind::Idf
                | Kind::NeighbourStarts
                | Kind::Neighbours
                | Kind::ContentStarts
                | Kind::Content
                | Kind::Popular
                | Kind::Latest
                | Kind::CategoryLists,
            ) => "video",
            _ => "whole",
        };
        let bytes = entry.bytes.get();
        Weight {
            section: kind.map_or_else(|| entry.kind.get().to_string(), |kind| format!("{kind:?}")),
            bytes,
            per,
            bytes_each: match per {
                "video" => bytes as f64 / VIDEOS as f64,
                "interaction" => bytes as f64 / INTERACTIONS as f64,
                _ => bytes as f64,
            },
        }
    });
    Ok(weights.collect())
}

/// A made town: users with two favourite categories who watch a few videos in a row.
pub struct Town {
    users: Vec<UserId>,
    videos: Vec<VideoId>,
}

impl Town {
    /// Everybody and every video, by name.
    ///
    /// # Errors
    /// When a made name is no id.
    pub fn new() -> anyhow::Result<Self> {
        let users = (0..USERS).map(|n| UserId::parse(&format!("user-{n:07}")));
        let videos = (0..VIDEOS).map(|n| VideoId::parse(&format!("video-{n:06}")));
        Ok(Self {
            users: users.collect::<Result<_, _>>()?,
            videos: videos.collect::<Result<_, _>>()?,
        })
    }

    /// The catalogue.
    pub fn videos(&self) -> impl Iterator<Item = anyhow::Result<Video>> {
        (0..VIDEOS).map(|number| self.video(number))
    }

    fn video(&self, number: usize) -> anyhow::Result<Video> {
        let mut random = Random(number as u64);
        let mut video = Video::new(VideoId::parse(&format!("video-{number:06}"))?);
        video.title = format!("A made film of number {number}");
        video.creator = Some(CreatorId::parse(&format!(
            "creator-{}",
            random.below(CREATORS)
        ))?);
        video.categories = vec![format_smolstr!("category-{}", number % CATEGORIES)];
        video.tags = (0..3)
            .map(|_| format_smolstr!("tag-{}", random.below(2_000)))
            .collect();
        video.duration_ms = 15_000 + random.below(600_000) as u32;
        video.published_at = START_MS - random.below(365) as i64 * DAY_MS;
        Ok(video)
    }

    /// So many events, in the order of time.
    ///
    /// # Errors
    /// What `take` says.
    pub fn events(
        &self,
        interactions: usize,
        mut take: impl FnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut random = Random(42);
        let mut made = 0;
        while made < interactions {
            // A few are much more active than the rest.
            let user = (USERS as f64 * random.unit().powi(2)) as usize;
            let start_ms = START_MS + (DAYS * DAY_MS) * made as i64 / interactions as i64;
            let likes = [user.wrapping_mul(7) % CATEGORIES, user / 3 % CATEGORIES];
            for step in 0..(2 + random.below(9)).min(interactions - made) {
                let rank = ((VIDEOS / CATEGORIES) as f64).powf(random.unit()) as usize - 1;
                let category = match random.below(10) {
                    0..5 => likes.first(),
                    5..8 => likes.last(),
                    _ => None,
                };
                let category = category
                    .copied()
                    .unwrap_or_else(|| random.below(CATEGORIES));
                let video = (rank * CATEGORIES + category).min(VIDEOS - 1);
                let (Some(user_id), Some(video_id)) =
                    (self.users.get(user), self.videos.get(video))
                else {
                    continue;
                };
                let long = random.below(10) > 0;
                take(Event {
                    event_id: SmolStr::new_static("e"),
                    kind: EventKind::Watch,
                    user_id: user_id.clone(),
                    video_id: video_id.clone(),
                    ts_ms: start_ms + step as i64 * 60_000,
                    watch_ms: Some(if long { 30_000 } else { 2_000 }),
                    duration_ms: Some(60_000),
                    scene: SmolStr::new_static("home"),
                    market: SmolStr::new_static(["DE", "FR", "US"].get(user % 3).unwrap_or(&"DE")),
                    creator_id: None,
                    undo: false,
                    recommendation_id: SmolStr::default(),
                    slate_position: None,
                    arms: SmolStr::default(),
                    made: None,
                })?;
                made += 1;
            }
        }
        Ok(())
    }
}
