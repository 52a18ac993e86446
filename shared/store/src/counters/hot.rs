//! The videos that most happened to lately, by shard: the one row that readers need to know what
//! explodes.
//!
//! Its figures are copies of the videos' own counts of that shard, the larger one wins: writing it
//! twice, late or not at all loses nothing that counts.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::realtime::Row as Figures;
use engine::{EventKind, VideoId};
use guard::Deadline;
use prost::Message;

use super::VideoCounts;
use crate::ports::{Read, Table, Tables};
use crate::{Error, ErrorKind, sealed};

/// Videos of one shard that are kept, the hottest.
pub const HOT_MAX: usize = 500;
/// Newest hours of a video that are copied.
pub const HOT_HOURS: i64 = 3;
const HOT_SCHEMA: u8 = 1;

/// People of one hour: impressions, clicks, likes, long views.
type Hour = [u64; 4];

/// What happened to one video in the newest hours, as one shard saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotVideo {
    hours: BTreeMap<i64, Hour>,
}

/// The hot videos of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotVideos {
    videos: BTreeMap<VideoId, HotVideo>,
}

/// The stored form. Numbers are never reused.
#[derive(Clone, PartialEq, Message)]
struct HotMessage {
    #[prost(message, repeated, tag = "1")]
    videos: Vec<HotVideoMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct HotVideoMessage {
    #[prost(string, tag = "1")]
    id: String,
    /// For each hour: its number, then impressions, clicks, likes, long views.
    #[prost(uint64, repeated, tag = "2")]
    hours: Vec<u64>,
}

impl HotVideo {
    /// Copies the newest hours of what a shard has counted.
    #[must_use]
    pub fn of(counts: &VideoCounts, now_hour: i64) -> Self {
        let newest = counts.hours.range(now_hour - HOT_HOURS + 1..);
        let hours = newest.map(|(hour, kinds)| {
            let n = |kind| kinds.get(&kind).copied().unwrap_or(0);
            let long_views = counts.long_views.get(hour).copied().unwrap_or(0);
            let figures = [
                n(EventKind::Impression),
                n(EventKind::Click),
                n(EventKind::Like),
                long_views,
            ];
            (*hour, figures)
        });
        Self {
            hours: hours.collect(),
        }
    }

    /// Its hours (Unix time in hours) and what happened in them.
    pub fn hours(&self) -> impl Iterator<Item = (i64, Figures)> {
        self.hours.iter().map(|(hour, figures)| {
            let [impressions, clicks, likes, long_views] = figures.map(|n| n as f32);
            let figures = Figures {
                impressions,
                clicks,
                likes,
                long_views,
            };
            (*hour, figures)
        })
    }

    /// An hour ago counts half.
    fn heat(&self, now_hour: i64) -> f32 {
        let weighed = |(hour, figures): (i64, Figures)| {
            let age = now_hour.saturating_sub(hour).clamp(0, HOT_HOURS);
            figures.heat() * (-(age as f32)).exp2()
        };
        self.hours().map(weighed).sum()
    }

    fn join(&mut self, other: &Self) {
        for (hour, figures) in &other.hours {
            let own = self.hours.entry(*hour).or_default();
            for (own, other) in own.iter_mut().zip(figures) {
                *own = (*own).max(*other);
            }
        }
    }
}

impl HotVideos {
    /// The row of a shard.
    #[must_use]
    pub fn row_id(shard: &str) -> String {
        format!("hot#{shard}")
    }

    /// Takes over newer copies and keeps the [`HOT_MAX`] hottest.
    pub fn join<'a>(
        &mut self,
        newer: impl IntoIterator<Item = (&'a VideoId, &'a HotVideo)>,
        now_hour: i64,
    ) {
        for (id, video) in newer {
            match self.videos.get_mut(id) {
                Some(own) => own.join(video),
                None => {
                    self.videos.insert(id.clone(), video.clone());
                }
            }
        }
        let oldest = now_hour - HOT_HOURS + 1;
        for video in self.videos.values_mut() {
            video.hours.retain(|hour, _| *hour >= oldest);
        }
        self.videos.retain(|_, video| video.heat(now_hour) > 0.0);
        if self.videos.len() <= HOT_MAX {
            return;
        }
        let mut heats: Vec<(f32, VideoId)> = self
            .videos
            .iter()
            .map(|(id, video)| (video.heat(now_hour), id.clone()))
            .collect();
        heats.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        let surplus = heats.len() - HOT_MAX;
        for (_, id) in heats.into_iter().take(surplus) {
            self.videos.remove(&id);
        }
    }

    /// The videos, in the order of their ids.
    pub fn videos(&self) -> impl Iterator<Item = (&VideoId, &HotVideo)> {
        self.videos.iter()
    }

    /// The bytes of the row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let video = |(id, video): (&VideoId, &HotVideo)| {
            let hours = video.hours.iter();
            let hours = hours.flat_map(|(hour, [a, b, c, d])| {
                [u64::try_from(*hour).unwrap_or(0), *a, *b, *c, *d]
            });
            HotVideoMessage {
                id: id.to_string(),
                hours: hours.collect(),
            }
        };
        let message = HotMessage {
            videos: self.videos.iter().map(video).collect(),
        };
        sealed::seal(HOT_SCHEMA, &message.encode_to_vec())
    }

    /// Reads the bytes of a row.
    ///
    /// # Errors
    /// `Corrupt` when they are not such a row; `Invalid` when a newer version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let corrupt = || Error::new(ErrorKind::Corrupt, "decode hot videos");
        let body = sealed::open(HOT_SCHEMA, bytes, "decode hot videos")?;
        let message = HotMessage::decode(body).map_err(|_| corrupt())?;
        let mut videos = BTreeMap::new();
        for video in message.videos {
            let id = VideoId::parse(&video.id).map_err(|_| corrupt())?;
            let (hours, rest) = video.hours.as_chunks::<5>();
            if !rest.is_empty() {
                return Err(corrupt());
            }
            let hour = |[hour, a, b, c, d]: &[u64; 5]| {
                (i64::try_from(*hour).unwrap_or(i64::MAX), [*a, *b, *c, *d])
            };
            let hours = hours.iter().map(hour).collect();
            videos.insert(id, HotVideo { hours });
        }
        Ok(Self { videos })
    }

    /// Loads the row of each shard that has one.
    ///
    /// # Errors
    /// The store's; `Corrupt` when a row cannot be read.
    pub async fn load(
        tables: &dyn Tables,
        shards: &[String],
        deadline: &Deadline,
    ) -> Result<Vec<Self>, Error> {
        let ids: Vec<String> = shards.iter().map(|shard| Self::row_id(shard)).collect();
        let rows = tables.load(Table::Counters, &ids, Read::Eventual, deadline);
        let rows = rows.await?.into_iter().flatten();
        rows.map(|row| Self::decode(&row.bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Place, Tick};

    const NOW: i64 = 480_000;

    fn watched(hours: &[(i64, u32)]) -> VideoCounts {
        let mut counts = VideoCounts::default();
        let mut index = 0;
        for (hour, times) in hours {
            for _ in 0..*times {
                index += 1;
                let tick = Tick {
                    kind: EventKind::Watch,
                    hour: Some(*hour),
                    long_view_hour: Some(*hour),
                };
                let place = Place {
                    sequence: "1".into(),
                    index,
                };
                counts.count(&place, tick);
            }
        }
        counts
    }

    fn id(n: usize) -> VideoId {
        VideoId::parse(&format!("v{n}")).unwrap()
    }

    #[test]
    fn late_and_repeated_copies_change_nothing() {
        let older = HotVideo::of(&watched(&[(NOW, 2)]), NOW);
        let newer = HotVideo::of(&watched(&[(NOW, 5), (NOW - 1, 1), (NOW - 9, 7)]), NOW);
        let mut hot = HotVideos::default();
        for copy in [&newer, &older, &newer] {
            hot.join([(&id(1), copy)], NOW);
        }
        let (_, kept) = hot.videos().next().unwrap();
        assert_eq!(kept, &newer, "the hours that are too old were never copied");
        let hours: Vec<(i64, f32)> = kept.hours().map(|(hour, f)| (hour, f.long_views)).collect();
        assert_eq!(hours, [(NOW - 1, 1.0), (NOW, 5.0)]);
        assert_eq!(HotVideos::decode(&hot.encode()).unwrap(), hot);
    }

    #[test]
    fn the_hottest_stay_and_what_cooled_down_goes() {
        let copies: Vec<(VideoId, HotVideo)> = (0..HOT_MAX + 50)
            .map(|n| {
                (
                    id(n),
                    HotVideo::of(&watched(&[(NOW, 1 + n as u32 % 90)]), NOW),
                )
            })
            .collect();
        let mut hot = HotVideos::default();
        hot.join(copies.iter().map(|(id, video)| (id, video)), NOW);
        assert_eq!(hot.videos().count(), HOT_MAX);
        assert!(hot.videos().all(|(_, video)| video.heat(NOW) >= 2.0 * 8.0));
        let bytes = hot.encode().len();
        assert!(bytes < 16 * 1_024, "{bytes} bytes");
        hot.join([], NOW + HOT_HOURS);
        assert_eq!(hot.videos().count(), 0);
    }
}
