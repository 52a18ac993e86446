//! A small, deterministic, plausible catalogue and history, for a first look at an empty store.
//!
//! Popularity follows Zipf's law; every user has a first and a second favourite topic and a few
//! creators, and watches longer what fits: tastes that a recommender can find. The same seed and
//! the same `now_ms` give the same bytes.

mod titles;

use engine::{CreatorId, Event, EventKind, UserId, Video, VideoId};
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use smol_str::{SmolStr, format_smolstr};

use titles::TOPICS;

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Videos.
    pub videos: usize,
    /// Users.
    pub users: usize,
    /// Impressions of one user, on average.
    pub impressions_per_user: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            videos: 1_200,
            users: 600,
            impressions_per_user: 60,
        }
    }
}

const CREATORS: usize = 120;
const HISTORY_MS: i64 = 14 * 86_400_000;
const SEED: u64 = 0x5ee1_0a11;
const MARKETS: [&str; 4] = ["US", "DE", "BR", "JP"];

/// The generated world.
#[derive(Debug)]
pub struct Demo {
    videos: Vec<Video>,
    topic_of: Vec<usize>,
    size: Size,
    now_ms: i64,
}

/// What one user likes.
struct Taste {
    first: usize,
    second: usize,
    creators: Vec<CreatorId>,
    market: SmolStr,
}

impl Demo {
    /// Makes the catalogue; the history ends at `now_ms`.
    #[must_use]
    pub fn new(size: Size, now_ms: i64) -> Self {
        let mut rng = StdRng::seed_from_u64(SEED);
        let topic_of: Vec<usize> = (0..size.videos)
            .map(|_| rng.random_range(0..TOPICS.len()))
            .collect();
        let videos = topic_of
            .iter()
            .enumerate()
            .map(|(n, topic)| video(n, *topic, now_ms, &mut rng));
        Self {
            videos: videos.collect(),
            topic_of,
            size,
            now_ms,
        }
    }

    /// The catalogue.
    #[must_use]
    pub fn videos(&self) -> &[Video] {
        &self.videos
    }

    /// The history, user by user, each in the order of time.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let shelves = Shelves::new(self);
        (0..self.size.users).flat_map(move |n| self.history(n, &shelves))
    }

    fn history(&self, n: usize, shelves: &Shelves) -> Vec<Event> {
        let mut rng = StdRng::seed_from_u64(SEED ^ (n as u64 + 1));
        let Ok(user_id) = UserId::parse(&format!("u{}", n + 1)) else {
            return Vec::new();
        };
        let taste = Taste::draw(self, &mut rng);
        let spread = self.size.impressions_per_user / 2;
        let count = self.size.impressions_per_user - spread + rng.random_range(0..=2 * spread);
        let mut times: Vec<i64> = (0..count)
            .map(|_| self.now_ms - rng.random_range(0..HISTORY_MS))
            .collect();
        times.sort_unstable();
        let mut events = Vec::new();
        for ts_ms in times {
            let index = shelves.draw(&taste, &mut rng);
            let Some(video) = self.videos.get(index).filter(|v| v.published_at <= ts_ms) else {
                continue;
            };
            let fit = taste.fit(video, self.topic_of.get(index).copied());
            let base = Event {
                event_id: SmolStr::default(),
                kind: EventKind::Impression,
                user_id: user_id.clone(),
                video_id: video.video_id.clone(),
                ts_ms,
                watch_ms: None,
                duration_ms: None,
                scene: SmolStr::new_static("home"),
                market: taste.market.clone(),
                creator_id: None,
                undo: false,
                recommendation_id: SmolStr::default(),
                slate_position: None,
                arms: SmolStr::default(),
                made: None,
            };
            react(base, video, fit, events.len(), &mut rng, &mut events);
        }
        events
    }
}

/// What a user does with a video on the screen: `fit` is how likely it is to be opened.
fn react(
    base: Event,
    video: &Video,
    fit: f64,
    serial: usize,
    rng: &mut StdRng,
    events: &mut Vec<Event>,
) {
    let mut happens = |kind: EventKind, after_ms: i64, watch_ms: Option<u32>| {
        events.push(Event {
            event_id: format_smolstr!("demo-{}-{serial}-{}", base.user_id, kind.as_str()),
            kind,
            ts_ms: base.ts_ms + after_ms,
            watch_ms,
            duration_ms: watch_ms.map(|_| video.duration_ms),
            ..base.clone()
        });
    };
    happens(EventKind::Impression, 0, None);
    if !rng.random_bool(fit) {
        return;
    }
    happens(EventKind::Click, 500, None);
    let share = (fit + rng.random_range(-0.4..0.5)).clamp(0.05, 1.0);
    let watch_ms = (f64::from(video.duration_ms) * share) as u32;
    happens(
        EventKind::Watch,
        1_000 + i64::from(watch_ms),
        Some(watch_ms),
    );
    if share > 0.8 && rng.random_bool(0.25) {
        happens(EventKind::Like, 1_500 + i64::from(watch_ms), None);
    }
}

/// Videos by topic, weighted by popularity.
struct Shelves {
    by_topic: Vec<(Vec<usize>, Option<WeightedIndex<f64>>)>,
    all: Option<WeightedIndex<f64>>,
}

impl Shelves {
    fn new(demo: &Demo) -> Self {
        // The catalogue is drawn at random, so the serial number can be the popularity rank.
        let zipf = |n: &usize| 1.0 / (*n as f64 + 8.0).powf(0.9);
        let shelf = |topic: usize| {
            let of_topic = |n: &usize| demo.topic_of.get(*n) == Some(&topic);
            let videos: Vec<usize> = (0..demo.videos.len()).filter(of_topic).collect();
            let weights = WeightedIndex::new(videos.iter().map(zipf)).ok();
            (videos, weights)
        };
        Self {
            by_topic: (0..TOPICS.len()).map(shelf).collect(),
            all: WeightedIndex::new((0..demo.videos.len()).map(|n| zipf(&n))).ok(),
        }
    }

    fn draw(&self, taste: &Taste, rng: &mut StdRng) -> usize {
        let topic = match rng.random_range(0..100) {
            0..45 => Some(taste.first),
            45..70 => Some(taste.second),
            _ => None,
        };
        let shelf = topic.and_then(|topic| self.by_topic.get(topic));
        if let Some((videos, Some(weights))) = shelf {
            return videos.get(rng.sample(weights)).copied().unwrap_or(0);
        }
        self.all.as_ref().map_or(0, |weights| rng.sample(weights))
    }
}

impl Taste {
    fn draw(demo: &Demo, rng: &mut StdRng) -> Self {
        let creators = demo
            .videos
            .iter()
            .filter_map(|v| v.creator.clone())
            .collect::<Vec<_>>();
        Self {
            first: rng.random_range(0..TOPICS.len()),
            second: rng.random_range(0..TOPICS.len()),
            creators: creators.sample(rng, 3).cloned().collect(),
            market: SmolStr::new_static(MARKETS.choose(rng).unwrap_or(&"US")),
        }
    }

    fn fit(&self, video: &Video, topic: Option<usize>) -> f64 {
        let by_topic = match topic {
            Some(topic) if topic == self.first => 0.7,
            Some(topic) if topic == self.second => 0.5,
            _ => 0.15,
        };
        let known = video
            .creator
            .as_ref()
            .is_some_and(|c| self.creators.contains(c));
        if known {
            (by_topic + 0.2_f64).min(0.95)
        } else {
            by_topic
        }
    }
}

fn video(n: usize, topic: usize, now_ms: i64, rng: &mut StdRng) -> Video {
    let topic_words = TOPICS.get(topic).unwrap_or(&TOPICS[0]);
    let subject = topic_words.subjects.choose(rng).unwrap_or(&"something");
    let form = titles::FORMS.choose(rng).unwrap_or(&"{}");
    let id = format!("v{}", n + 1);
    let mut video = match VideoId::parse(&id) {
        Ok(id) => Video::new(id),
        Err(_) => unreachable!("a letter and a number is an id"),
    };
    video.title = titles::title(form, subject, n);
    // Creators keep to a topic, so that following one says something.
    let creator = topic + TOPICS.len() * rng.random_range(0..CREATORS / TOPICS.len());
    video.creator = CreatorId::parse(&format!("creator-{creator}")).ok();
    video.categories = vec![SmolStr::new_static(topic_words.name)];
    video.tags = topic_words
        .tags
        .sample(rng, 2)
        .map(|tag| SmolStr::new_static(tag))
        .collect();
    video.tags.sort();
    video.language = Some(SmolStr::new_static(
        ["en", "de", "pt", "ja"].choose(rng).unwrap_or(&"en"),
    ));
    video.duration_ms = rng.random_range(8_000..240_000);
    // A few arrive during the history, so that there is something new.
    let age_ms = if n.is_multiple_of(9) {
        rng.random_range(0..HISTORY_MS)
    } else {
        2 * HISTORY_MS
    };
    video.published_at = now_ms - age_ms - 3_600_000;
    if (n + 1).is_multiple_of(97) {
        video.markets = vec![SmolStr::new_static("DE")];
    }
    video
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn the_same_arguments_give_the_same_world() {
        let size = Size {
            videos: 200,
            users: 20,
            impressions_per_user: 20,
        };
        let [a, b] = [Demo::new(size, NOW_MS), Demo::new(size, NOW_MS)];
        assert_eq!(a.videos(), b.videos());
        assert_eq!(
            a.events().collect::<Vec<_>>(),
            b.events().collect::<Vec<_>>()
        );
    }

    #[test]
    fn users_watch_their_favourite_topics_most() {
        let demo = Demo::new(Size::default(), NOW_MS);
        let mut watched: HashMap<UserId, HashMap<SmolStr, usize>> = HashMap::new();
        let topic: HashMap<_, _> = demo
            .videos()
            .iter()
            .map(|v| (v.video_id.clone(), v.categories[0].clone()))
            .collect();
        for event in demo.events().filter(|e| e.kind == EventKind::Watch) {
            let topics = watched.entry(event.user_id.clone()).or_default();
            *topics.entry(topic[&event.video_id].clone()).or_default() += 1;
        }
        let top_two = |topics: &HashMap<SmolStr, usize>| {
            let mut counts: Vec<usize> = topics.values().copied().collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            counts.iter().take(2).sum::<usize>() * 2 > counts.iter().sum()
        };
        let settled = watched.values().filter(|topics| top_two(topics)).count();
        assert!(
            settled * 10 > watched.len() * 9,
            "{settled} of {}",
            watched.len()
        );
    }

    #[test]
    fn event_ids_are_distinct_and_no_event_is_from_the_future() {
        let demo = Demo::new(
            Size {
                videos: 300,
                users: 50,
                impressions_per_user: 40,
            },
            NOW_MS,
        );
        let events: Vec<Event> = demo.events().collect();
        let ids: std::collections::HashSet<_> = events.iter().map(|e| &e.event_id).collect();
        assert_eq!(ids.len(), events.len());
        assert!(events.iter().all(|e| e.ts_ms <= NOW_MS + 300_000));
    }
}
