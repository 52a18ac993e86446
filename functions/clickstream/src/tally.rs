//! What a batch adds to the counters, kept apart by row until it is written.

use std::collections::{BTreeMap, HashMap};

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
pub(crate) struct Tally<'a> {
    videos: HashMap<(&'a str, &'a VideoId), Vec<(&'a Place, Tick)>>,
    arms: HashMap<(&'a str, SmolStr, i64), Vec<InArm<'a>>>,
}

/// What a user had not done before this event.
#[derive(Debug, Default)]
pub(crate) struct Firsts {
    /// Of this kind for the video in this hour.
    pub popular: bool,
    /// A long view of the video in this hour.
    pub long_view: bool,
    /// For each arm.
    pub arms: Vec<ArmFirsts>,
}

/// What a user had not done in an arm that day.
#[derive(Debug)]
pub(crate) struct ArmFirsts {
    /// `layer=arm`.
    pub arm: SmolStr,
    /// Anything at all.
    pub any: bool,
    /// This kind of event.
    pub of_kind: bool,
}

#[derive(Debug)]
struct InArm<'a> {
    place: &'a Place,
    kind: EventKind,
    tally: ArmTally,
    firsts: [bool; 2],
}

impl<'a> Tally<'a> {
    /// Notes one event.
    pub fn note(&mut self, placed: &'a Placed, firsts: Firsts) {
        let Placed {
            event,
            place,
            shard,
            ..
        } = placed;
        let long_view = event.is_long_view(LONG_VIEW_MS);
        let hour = hour(event.ts_ms);
        let tick = Tick {
            kind: event.kind,
            hour: firsts.popular.then_some(hour),
            long_view_hour: firsts.long_view.then_some(hour),
        };
        for ArmFirsts { arm, any, of_kind } in firsts.arms {
            let tally = ArmTally {
                long_views: u64::from(long_view),
                watch_ms: u64::from(event.watch_ms.unwrap_or(0)),
                ..ArmTally::default()
            };
            let row = (shard.as_str(), arm, day_of(event.ts_ms));
            self.arms.entry(row).or_default().push(InArm {
                place,
                kind: event.kind,
                tally,
                firsts: [any, of_kind],
            });
        }
        let row = (shard.as_str(), &event.video_id);
        self.videos.entry(row).or_default().push((place, tick));
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
        let videos = self.videos.iter().map(|((shard, video_id), ticks)| {
            let id = VideoCounts::row_id(video_id, shard);
            (id, (*video_id, ticks))
        });
        let videos: BTreeMap<String, _> = videos.collect();
        let ids: Vec<String> = videos.keys().cloned().collect();
        let loaded = rows::load(tables, &ids, deadline).await?;
        let now_hour = now_s.div_euclid(3_600);
        let mut hot = Vec::with_capacity(ids.len());
        let expires_at_s = now_s + KEPT_S;
        rows::rewrite(tables, loaded, expires_at_s, deadline, |id, row| {
            let mut counts = rows::readable(row, VideoCounts::decode)?;
            let mut changed = false;
            let Some((video_id, ticks)) = videos.get(id) else {
                return Ok(None);
            };
            for (place, tick) in *ticks {
                changed |= counts.count(place, *tick);
            }
            // Also where nothing changed: an attempt that was cut may not have told of it.
            hot.push(((*video_id).clone(), HotVideo::of(&counts, now_hour)));
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
        let arms = self.arms.iter().map(|((shard, arm, day), all)| {
            let id = ArmCounts::row_id(arm, *day, shard);
            (id, all)
        });
        let arms: BTreeMap<String, &Vec<InArm<'_>>> = arms.collect();
        let ids: Vec<String> = arms.keys().cloned().collect();
        let loaded = rows::load(tables, &ids, deadline).await?;
        rows::rewrite(tables, loaded, now_s + ARM_KEPT_S, deadline, |id, row| {
            let mut counts = rows::readable(row, ArmCounts::decode)?;
            let mut changed = false;
            for one in arms.get(id).into_iter().copied().flatten() {
                changed |= counts.count(one.place, one.kind, one.tally, one.firsts);
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

/// Unix time in hours.
pub(crate) fn hour(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(3_600_000)
}
