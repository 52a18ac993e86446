//! Events with their place in the stream, as rows.

use bytes::Bytes;
use engine::event::ARMS_BYTES_MAX;
use engine::{CreatorId, Event, EventKind, Made, UserId, VideoId};
use smol_str::SmolStr;
use store::{Error, ErrorKind};

use crate::batch::{Batch, wrong};
use crate::column::{Column, Kind};
use crate::gathered::Gathered;
use crate::table::{self, TableFile, TableRow, TableWriter};

/// Longest text in any column.
const TEXT_BYTES_MAX: usize = 128;
const ID_BYTES_MAX: usize = 64;

/// One event and where it lay in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeRow {
    /// What happened.
    pub event: Event,
    /// The shard of its record; 1 to 128 bytes.
    pub shard: SmolStr,
    /// The sequence of its record; 1 to 128 bytes.
    pub sequence: SmolStr,
    /// Its place inside an aggregated record, from 0.
    pub index: u32,
}

/// A file of events, handing out batches of rows.
pub type EventFile = TableFile<LakeRow>;
/// Writes a file of events.
pub type EventWriter<W> = TableWriter<LakeRow, W>;

/// Rows as one Parquet file.
///
/// # Errors
/// `Invalid` when a row does not fit its columns.
pub fn encode_events(rows: &[LakeRow]) -> Result<Bytes, Error> {
    table::encode(rows, None)
}

impl TableRow for LakeRow {
    const TABLE: &'static str = "events";
    const VERSION: u32 = 2;
    const COLUMNS: &'static [Column] = &[
        Column::new("event_id", Kind::Text).unique(),
        Column::new("kind", Kind::Text),
        Column::new("user_id", Kind::Text),
        Column::new("video_id", Kind::Text),
        Column::new("ts_ms", Kind::Int64).unique(),
        Column::new("watch_ms", Kind::Int64).nullable(),
        Column::new("duration_ms", Kind::Int64).nullable(),
        Column::new("scene", Kind::Text).nullable(),
        Column::new("market", Kind::Text).nullable(),
        Column::new("creator_id", Kind::Text).nullable(),
        Column::new("undo", Kind::Bool),
        Column::new("recommendation_id", Kind::Text).nullable(),
        Column::new("slate_position", Kind::Int32).nullable(),
        Column::new("shard", Kind::Text),
        Column::new("sequence", Kind::Text),
        Column::new("record_index", Kind::Int32),
        Column::new("arms", Kind::Text).nullable().added(),
        Column::new("generation", Kind::Text).nullable().added(),
        Column::new("propensity_ppb", Kind::Int32)
            .nullable()
            .added(),
    ];

    fn gather(rows: &[Self], columns: &mut Gathered) -> Result<(), Error> {
        rows.iter().try_for_each(Self::check)?;
        let events = || rows.iter().map(|row| &row.event);
        let number = |number: Option<u32>| number.map(i64::from);
        columns.text("event_id", events().map(|e| e.event_id.as_str()))?;
        columns.text("kind", events().map(|e| e.kind.as_str()))?;
        columns.text("user_id", events().map(|e| e.user_id.as_str()))?;
        columns.text("video_id", events().map(|e| e.video_id.as_str()))?;
        columns.int64("ts_ms", events().map(|e| e.ts_ms))?;
        columns.int64("watch_ms", events().map(|e| number(e.watch_ms)))?;
        columns.int64("duration_ms", events().map(|e| number(e.duration_ms)))?;
        columns.text("scene", events().map(|e| present(&e.scene)))?;
        columns.text("market", events().map(|e| present(&e.market)))?;
        let creators = events().map(|e| e.creator_id.as_ref().map(CreatorId::as_str));
        columns.text("creator_id", creators)?;
        columns.boolean("undo", events().map(|e| e.undo))?;
        let answers = events().map(|e| present(&e.recommendation_id));
        columns.text("recommendation_id", answers)?;
        let positions = events().map(|e| e.slate_position.map(i32::from));
        columns.int32("slate_position", positions)?;
        columns.text("shard", rows.iter().map(|row| row.shard.as_str()))?;
        columns.text("sequence", rows.iter().map(|row| row.sequence.as_str()))?;
        let indexes = rows.iter().map(|row| i32::try_from(row.index).ok());
        columns.int32("record_index", indexes)?;
        columns.text("arms", events().map(|e| present(&e.arms)))?;
        let made = || events().map(|e| e.made.as_ref());
        columns.text(
            "generation",
            made().map(|m| m.map(|m| m.generation.as_str())),
        )?;
        let chance = |made: &Made| i32::try_from(made.propensity_ppb).ok();
        columns.int32("propensity_ppb", made().map(|m| m.and_then(chance)))
    }

    fn read(batch: &Batch<Self>) -> Result<Vec<Self>, Error> {
        let id = |name| batch.text(name, ID_BYTES_MAX);
        let text = |name| batch.text(name, TEXT_BYTES_MAX);
        let (event_id, kind, user_id) = (id("event_id")?, id("kind")?, id("user_id")?);
        let (video_id, creator_id) = (id("video_id")?, id("creator_id")?);
        let (scene, market) = (text("scene")?, text("market")?);
        let recommendation_id = text("recommendation_id")?;
        let (shard, sequence) = (text("shard")?, text("sequence")?);
        let ts = batch.int64("ts_ms")?;
        let (watch, duration) = (batch.int64("watch_ms")?, batch.int64("duration_ms")?);
        let undo = batch.boolean("undo")?;
        let position = batch.int32("slate_position")?;
        let index = batch.int32("record_index")?;
        let arms = batch.text("arms", ARMS_BYTES_MAX)?;
        let generation = batch.text("generation", ID_BYTES_MAX)?;
        let chance = batch.int32("propensity_ppb")?;
        let known = |text: Option<&str>| text.map(SmolStr::new).unwrap_or_default();
        let row = |at: usize| -> Result<Self, Error> {
            let creator = creator_id.optional(at)?;
            let event = Event {
                event_id: SmolStr::new(event_id.required(at)?),
                kind: kind_of(kind.required(at)?)?,
                user_id: UserId::parse(user_id.required(at)?)
                    .map_err(|_| wrong::<Self>("user_id"))?,
                video_id: VideoId::parse(video_id.required(at)?)
                    .map_err(|_| wrong::<Self>("video_id"))?,
                ts_ms: ts.required(at)?,
                watch_ms: watch.narrowed(at)?,
                duration_ms: duration.narrowed(at)?,
                scene: known(scene.optional(at)?),
                market: known(market.optional(at)?),
                creator_id: creator
                    .map(|id| CreatorId::parse(id).map_err(|_| wrong::<Self>("creator_id")))
                    .transpose()?,
                undo: undo.required(at)?,
                recommendation_id: known(recommendation_id.optional(at)?),
                slate_position: position.narrowed(at)?,
                arms: known(arms.optional(at)?),
                made: match generation.optional(at)? {
                    None => None,
                    Some(name) => {
                        let chance = chance.narrowed(at)?.unwrap_or(Made::CERTAIN_PPB);
                        let made = Made::new(name, chance);
                        Some(made.ok_or_else(|| wrong::<Self>("propensity_ppb"))?)
                    }
                },
            };
            let index = index.narrowed(at)?;
            let row = Self {
                event,
                shard: SmolStr::new(shard.required(at)?),
                sequence: SmolStr::new(sequence.required(at)?),
                index: index.ok_or_else(|| wrong::<Self>("record_index"))?,
            };
            row.check().map_err(|_| wrong::<Self>("event_id"))?;
            Ok(row)
        };
        (0..batch.rows()).map(row).collect()
    }
}

impl LakeRow {
    /// What readers will insist on is insisted on by writers.
    fn check(&self) -> Result<(), Error> {
        let ids_fit = (1..=ID_BYTES_MAX).contains(&self.event.event_id.len());
        let texts = [
            &self.event.scene,
            &self.event.market,
            &self.event.recommendation_id,
        ];
        let texts_fit = texts.into_iter().all(|text| text.len() <= TEXT_BYTES_MAX);
        let places = [&self.shard, &self.sequence];
        let places_fit = places
            .into_iter()
            .all(|text| (1..=TEXT_BYTES_MAX).contains(&text.len()));
        let arms_fit = self.event.arms.len() <= ARMS_BYTES_MAX;
        if ids_fit && texts_fit && arms_fit && places_fit && i32::try_from(self.index).is_ok() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            "an event has text the lake has no room for",
        ))
    }
}

fn kind_of(word: &str) -> Result<EventKind, Error> {
    let found = EventKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word);
    found.ok_or_else(|| wrong::<LakeRow>("kind"))
}

fn present(text: &SmolStr) -> Option<&str> {
    (!text.is_empty()).then_some(text.as_str())
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
