//! Events with their place in the stream, as rows.

use std::sync::{Arc, LazyLock};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, PrimitiveArray, RecordBatch,
    StringArray, types::ArrowPrimitiveType,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use engine::event::ARMS_BYTES_MAX;
use engine::{CreatorId, Event, EventKind, UserId, VideoId};
use smol_str::SmolStr;
use store::{Error, ErrorKind};

use crate::column::{Columns, wrong};
use crate::table::{self, TableFile, TableRow, TableWriter};

/// Longest text in any column.
const TEXT_BYTES_MAX: usize = 128;
const ID_BYTES_MAX: usize = 64;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let fields = [
        ("event_id", Utf8, false),
        ("kind", Utf8, false),
        ("user_id", Utf8, false),
        ("video_id", Utf8, false),
        ("ts_ms", Int64, false),
        ("watch_ms", Int64, true),
        ("duration_ms", Int64, true),
        ("scene", Utf8, true),
        ("market", Utf8, true),
        ("creator_id", Utf8, true),
        ("undo", Boolean, false),
        ("recommendation_id", Utf8, true),
        ("slate_position", Int32, true),
        ("shard", Utf8, false),
        ("sequence", Utf8, false),
        ("record_index", Int32, false),
        ("arms", Utf8, true),
    ];
    let fields = fields.map(|(name, kind, nullable)| Field::new(name, kind, nullable));
    Arc::new(Schema::new(fields.to_vec()))
});

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
    table::encode(rows)
}

impl TableRow for LakeRow {
    const TABLE: &'static str = "events";
    const VERSION: u32 = 2;
    const ADDED_COLUMNS: &'static [&'static str] = &["arms"];
    const UNIQUE_COLUMNS: &'static [&'static str] = &["event_id", "ts_ms"];

    fn schema() -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, Error> {
        rows.iter().try_for_each(Self::check)?;
        let text = |of: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let known = |of: fn(&Self) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        };
        let columns = vec![
            text(|row| &row.event.event_id),
            text(|row| row.event.kind.as_str()),
            text(|row| row.event.user_id.as_str()),
            text(|row| row.event.video_id.as_str()),
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|row| row.event.ts_ms),
            )),
            numbers::<Int64Array, _>(rows.iter().map(|row| row.event.watch_ms.map(i64::from))),
            numbers::<Int64Array, _>(rows.iter().map(|row| row.event.duration_ms.map(i64::from))),
            known(|row| present(&row.event.scene)),
            known(|row| present(&row.event.market)),
            known(|row| row.event.creator_id.as_ref().map(CreatorId::as_str)),
            Arc::new(BooleanArray::from_iter(
                rows.iter().map(|row| Some(row.event.undo)),
            )),
            known(|row| present(&row.event.recommendation_id)),
            numbers::<Int32Array, _>(
                rows.iter()
                    .map(|row| row.event.slate_position.map(i32::from)),
            ),
            text(|row| &row.shard),
            text(|row| &row.sequence),
            numbers::<Int32Array, _>(rows.iter().map(|row| i32::try_from(row.index).ok())),
            known(|row| present(&row.event.arms)),
        ];
        RecordBatch::try_new(Self::schema(), columns).map_err(|source| {
            Error::because(ErrorKind::Invalid, "write events to the lake", source)
        })
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, Error> {
        let columns = Columns(batch);
        let id = |name| columns.text::<Self>(name, ID_BYTES_MAX);
        let text = |name| columns.text::<Self>(name, TEXT_BYTES_MAX);
        let (event_id, kind, user_id) = (id("event_id")?, id("kind")?, id("user_id")?);
        let (video_id, creator_id) = (id("video_id")?, id("creator_id")?);
        let (scene, market) = (text("scene")?, text("market")?);
        let recommendation_id = text("recommendation_id")?;
        let (shard, sequence) = (text("shard")?, text("sequence")?);
        let int64 = |name| columns.int64::<Self>(name);
        let (ts, watch, duration) = (int64("ts_ms")?, int64("watch_ms")?, int64("duration_ms")?);
        let undo = columns.boolean::<Self>("undo")?;
        let position = columns.int32::<Self>("slate_position")?;
        let index = columns.int32::<Self>("record_index")?;
        let arms = columns.added_text::<Self>("arms", ARMS_BYTES_MAX)?;
        let known = |text: Option<&str>| text.map(SmolStr::new).unwrap_or_default();
        let row = |at: usize| -> Result<Self, Error> {
            let creator = creator_id.optional::<Self>(at)?;
            let event = Event {
                event_id: SmolStr::new(event_id.required::<Self>(at)?),
                kind: kind_of(kind.required::<Self>(at)?)?,
                user_id: UserId::parse(user_id.required::<Self>(at)?)
                    .map_err(|_| wrong::<Self>("user_id"))?,
                video_id: VideoId::parse(video_id.required::<Self>(at)?)
                    .map_err(|_| wrong::<Self>("video_id"))?,
                ts_ms: value(ts, at).ok_or_else(|| wrong::<Self>("ts_ms"))?,
                watch_ms: narrowed(watch, at, "watch_ms")?,
                duration_ms: narrowed(duration, at, "duration_ms")?,
                scene: known(scene.optional::<Self>(at)?),
                market: known(market.optional::<Self>(at)?),
                creator_id: creator
                    .map(|id| CreatorId::parse(id).map_err(|_| wrong::<Self>("creator_id")))
                    .transpose()?,
                undo: flag(undo, at).ok_or_else(|| wrong::<Self>("undo"))?,
                recommendation_id: known(recommendation_id.optional::<Self>(at)?),
                slate_position: narrowed(position, at, "slate_position")?,
                arms: match &arms {
                    Some(arms) => known(arms.optional::<Self>(at)?),
                    None => SmolStr::default(),
                },
            };
            let index = narrowed(index, at, "record_index")?;
            let row = Self {
                event,
                shard: SmolStr::new(shard.required::<Self>(at)?),
                sequence: SmolStr::new(sequence.required::<Self>(at)?),
                index: index.ok_or_else(|| wrong::<Self>("record_index"))?,
            };
            row.check().map_err(|_| wrong::<Self>("event_id"))?;
            Ok(row)
        };
        (0..batch.num_rows()).map(row).collect()
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

fn numbers<A: FromIterator<Option<N>> + Array + 'static, N>(
    values: impl Iterator<Item = Option<N>>,
) -> ArrayRef {
    Arc::new(values.collect::<A>())
}

fn flag(array: &BooleanArray, at: usize) -> Option<bool> {
    (at < array.len() && array.is_valid(at)).then(|| array.value(at))
}

fn value<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, at: usize) -> Option<T::Native> {
    (at < array.len() && array.is_valid(at)).then(|| array.value(at))
}

fn narrowed<T: ArrowPrimitiveType, N: TryFrom<T::Native>>(
    array: &PrimitiveArray<T>,
    at: usize,
    column: &str,
) -> Result<Option<N>, Error> {
    let narrow = |wide| N::try_from(wide).map_err(|_| wrong::<LakeRow>(column));
    value(array, at).map(narrow).transpose()
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
