//! What a batch adds to the counters, kept apart by row until it is written.

use std::collections::BTreeMap;

use engine::event::LONG_VIEW_MS;
use engine::{Event, EventKind, VideoId};
use guard::Deadline;
use smol_str::SmolStr;
use store::counters::{
    ARM_KEPT_S, ArmCounts, ArmTally, HotVideo, KEPT_S, Place, Tick, VideoCounts, day_of,
};
use store::intake::Placed;
use store::{Error, Tables};

use crate::rows;

/// Arms of one event that are counted; an event is part of one per layer.
pub(crate) const ARMS_MAX: usize = 16;

/// The events of one batch, by the row that counts them, in the order of the shard.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    videos: BTreeMap<String, OfVideo>,
    arms: BTreeMap<String, Vec<InArm>>,
}

/// What a user had not done before this event.
#[derive(Debug, Default)]
pub(crate) struct Firsts {
    /// Of this kind for the video in this hour.
    pub popular: bool,
    /// For each arm: anything that day; this kind of event that day.
    pub arms: Vec<(SmolStr, [bool; 2])>,
}

#[derive(Debug)]
struct OfVideo {
    video_id: VideoId,
    ticks: Vec<(Place, Tick)>,
}

#[derive(Debug)]
struct InArm {
    place: Place,
    kind: EventKind,
    tally: ArmTally,
    firsts: [bool; 2],
}

impl Tally {
    /// Notes one event.
    pub fn note(&mut self, placed: &Placed, firsts: Firsts) {
        let Placed {
            event, position, ..
        } = placed;
        let place = place_of(placed);
        let long_view = event.is_long_view(LONG_VIEW_MS);
        let tick = Tick {
            kind: event.kind,
            long_view,
            hour: firsts.popular.then(|| hour(event.ts_ms)),
        };
        for (arm, firsts) in firsts.arms {
            let id = ArmCounts::row_id(&arm, day_of(event.ts_ms), &position.shard);
            let tally = ArmTally {
                long_views: u64::from(long_view),
                watch_ms: u64::from(event.watch_ms.unwrap_or(0)),
                ..ArmTally::default()
            };
            self.arms.entry(id).or_default().push(InArm {
                place: place.clone(),
                kind: event.kind,
                tally,
                firsts,
            });
        }
        let id = VideoCounts::row_id(&event.video_id, &position.shard);
        let of_video = self.videos.entry(id).or_insert_with(|| OfVideo {
            video_id: event.video_id.clone(),
            ticks: Vec::new(),
        });
        of_video.ticks.push((place, tick));
    }

    /// Writes every counter, value and last position in one conditional write each; answers how the
    /// videos stand in their newest hours.
    ///
    /// # Errors
    /// The store's; some counters may be written then, which the next attempt sees by their position.
    pub async fn write(
        &self,
        tables: &dyn Tables,
        now_s: i64,
        deadline: &Deadline,
    ) -> Result<Vec<(VideoId, HotVideo)>, Error> {
        let (hot, ()) = futures_util::try_join!(
            self.write_videos(tables, now_s, deadline),
            self.write_arms(tables, now_s, deadline),
        )?;
        Ok(hot)
    }

    async fn write_videos(
        &self,
        tables: &dyn Tables,
        now_s: i64,
        deadline: &Deadline,
    ) -> Result<Vec<(VideoId, HotVideo)>, Error> {
        let ids: Vec<String> = self.videos.keys().cloned().collect();
        let loaded = rows::load(tables, &ids, deadline).await?;
        let now_hour = now_s.div_euclid(3_600);
        let mut hot = Vec::with_capacity(ids.len());
        let expires_at_s = now_s + KEPT_S;
        rows::rewrite(tables, loaded, expires_at_s, deadline, |id, row| {
            let mut counts = rows::readable(row, VideoCounts::decode)?;
            let mut changed = false;
            let Some(of_video) = self.videos.get(id) else {
                return Ok(None);
            };
            for (place, tick) in &of_video.ticks {
                changed |= counts.count(place, *tick);
            }
            // Also where nothing changed: an attempt that was cut may not have told of it.
            hot.push((of_video.video_id.clone(), HotVideo::of(&counts, now_hour)));
            Ok(changed.then(|| counts.encode()))
        })
        .await?;
        Ok(hot)
    }

    async fn write_arms(
        &self,
        tables: &dyn Tables,
        now_s: i64,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let ids: Vec<String> = self.arms.keys().cloned().collect();
        let loaded = rows::load(tables, &ids, deadline).await?;
        rows::rewrite(tables, loaded, now_s + ARM_KEPT_S, deadline, |id, row| {
            let mut counts = rows::readable(row, ArmCounts::decode)?;
            let mut changed = false;
            for one in self.arms.get(id).into_iter().flatten() {
                changed |= counts.count(&one.place, one.kind, one.tally, one.firsts);
            }
            Ok(changed.then(|| counts.encode()))
        })
        .await
    }
}

/// The arms an event is part of: `layer=arm`, joined by `;`.
pub(crate) fn arms_of(event: &Event) -> impl Iterator<Item = &str> {
    let arms = event.arms.split(';').filter(|arm| arm.contains('='));
    arms.take(ARMS_MAX)
}

/// Where an event lies in its shard.
pub(crate) fn place_of(placed: &Placed) -> Place {
    Place {
        sequence: placed.position.sequence.clone(),
        index: placed.index,
    }
}

/// Unix time in hours.
pub(crate) fn hour(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(3_600_000)
}
