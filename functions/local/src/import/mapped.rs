//! Files of any shape, whose columns are named on the command line.
//!
//! Events: `user_id` and `video_id` must be named; `ts`, `kind`, `event_id`, `watch_ms` or
//! `watch_s`, `duration_ms` or `duration_s`, `scene`, `market`, `creator_id` may be. `kind=click`
//! is that kind for every row when no column is called `click`. Without `ts` rows are ordered as
//! they are in the file, one second apart from 1 January 2020 on.
//!
//! Videos: `id` must be named; `title`, `creator`, `categories`, `tags`, `language`,
//! `duration_ms` or `duration_s`, `published_at`, `markets`, `hidden` may be. The parts of a list
//! are separated by `|`, `,` or `;`.

use std::collections::HashMap;

use anyhow::{Context, bail};
use engine::{EventKind, Video};
use smol_str::SmolStr;

use super::convert::{Converter, Out, Reason};
use super::event::{bare, identified};
use super::plan::Part;
use super::records::{self, Cells, Column, Layout};
use super::value;
use crate::cli;

/// 1 January 2020, 00:00 UTC.
const UNTIMED_FROM_MS: i64 = 1_577_836_800_000;
const UNTIMED_STEP_MS: i64 = 1_000;
const TEXT_BYTES_MAX: usize = 64;
const LIST: [char; 3] = ['|', ',', ';'];

const EVENT_FIELDS: [&str; 11] = [
    "user_id",
    "video_id",
    "ts",
    "kind",
    "event_id",
    "watch_ms",
    "watch_s",
    "duration_ms",
    "duration_s",
    "scene",
    "market",
];
const CREATOR_FIELD: &str = "creator_id";
const VIDEO_FIELDS: [&str; 11] = [
    "id",
    "title",
    "creator",
    "categories",
    "tags",
    "language",
    "duration_ms",
    "duration_s",
    "published_at",
    "markets",
    "hidden",
];

/// The parts that the arguments name.
pub(super) fn parts(args: &cli::Import) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    if let Some(file) = &args.videos {
        let text = args.map_videos.as_deref().unwrap_or("");
        let map = Map::parse(text, &VIDEO_FIELDS).context("--map-videos")?;
        map.must_have(&["id"], "--map-videos id=…")?;
        let (layout, columns) = (layout(file)?, map.columns());
        let reading = format!("videos 1 {}", map.describe());
        parts.push(Part::new(
            file.clone(),
            reading,
            layout,
            columns,
            Videos { map },
        )?);
    }
    let fields: Vec<&str> = EVENT_FIELDS.into_iter().chain([CREATOR_FIELD]).collect();
    for file in &args.paths {
        let text = args.map.as_deref().unwrap_or("");
        let mut map = Map::parse(text, &fields).context("--map")?;
        map.must_have(
            &["user_id", "video_id"],
            "--preset, or --map user_id=…,video_id=…",
        )?;
        let layout = layout(file)?;
        let kind = kind(&mut map, file, layout, &args.kind)?;
        let reading = format!("events 1 {} {}", map.describe(), kind.as_str());
        let columns = map.columns();
        let events = Events {
            untimed: !map.has("ts"),
            map,
            kind,
            rows: 0,
        };
        parts.push(Part::new(file.clone(), reading, layout, columns, events)?);
    }
    Ok(parts)
}

fn layout(file: &std::path::Path) -> anyhow::Result<Layout> {
    let unknown = || {
        format!(
            "{}: its name does not end in .csv .tsv .txt .jsonl or .parquet",
            file.display()
        )
    };
    Layout::of(file).with_context(unknown)
}

/// The kind of rows without one of their own. `kind=click` names a column if the file has it.
fn kind(
    map: &mut Map,
    file: &std::path::Path,
    layout: Layout,
    default: &str,
) -> anyhow::Result<EventKind> {
    if let Some(word) = map.name("kind") {
        let constant = kind_of(word);
        let column = [Column::required(word)];
        // In JSON lines nobody knows the columns beforehand; a kind's word is taken for the kind.
        let no_column =
            layout == Layout::JsonLines || records::open(file, layout, &column).is_err();
        if let (Some(kind), true) = (constant, no_column) {
            map.remove("kind");
            return Ok(kind);
        }
    }
    let words = || {
        EventKind::ALL
            .iter()
            .take(9)
            .map(|kind| kind.as_str())
            .collect::<Vec<_>>()
    };
    kind_of(default).with_context(|| format!("--kind is one of {}", words().join(", ")))
}

/// The kind that a word names, of those that clients may report.
fn kind_of(word: &str) -> Option<EventKind> {
    let reported = |kind: &EventKind| !matches!(kind, EventKind::Served | EventKind::Exposure);
    EventKind::ALL
        .into_iter()
        .filter(reported)
        .find(|kind| word.eq_ignore_ascii_case(kind.as_str()))
}

/// Which column each field is in.
struct Map {
    fields: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Map {
    fn parse(text: &str, known: &[&str]) -> anyhow::Result<Self> {
        let mut map = Self {
            fields: Vec::new(),
            places: HashMap::new(),
        };
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (field, column) = pair
                .split_once('=')
                .with_context(|| format!("`{pair}` is not field=column"))?;
            let (field, column) = (field.trim(), column.trim());
            if !known.contains(&field) || column.is_empty() {
                bail!("`{pair}`: the fields are {}", known.join(", "));
            }
            if map.has(field) {
                bail!("`{field}` is named twice");
            }
            map.places.insert(field.to_owned(), map.fields.len());
            map.fields.push((field.to_owned(), column.to_owned()));
        }
        Ok(map)
    }

    fn must_have(&self, fields: &[&str], how: &str) -> anyhow::Result<()> {
        match fields.iter().find(|field| !self.has(field)) {
            Some(field) => bail!("nothing says which column is {field}: give {how}"),
            None => Ok(()),
        }
    }

    fn has(&self, field: &str) -> bool {
        self.places.contains_key(field)
    }

    fn name(&self, field: &str) -> Option<&str> {
        let place = self.places.get(field)?;
        self.fields.get(*place).map(|(_, column)| column.as_str())
    }

    fn remove(&mut self, field: &str) {
        self.fields.retain(|(known, _)| known != field);
        let places = self.fields.iter().enumerate();
        self.places = places
            .map(|(place, (field, _))| (field.clone(), place))
            .collect();
    }

    /// A column that was named must be there.
    fn columns(&self) -> Vec<Column> {
        self.fields
            .iter()
            .map(|(_, column)| Column::required(column))
            .collect()
    }

    fn describe(&self) -> String {
        let pairs = self
            .fields
            .iter()
            .map(|(field, column)| format!("{field}={column}"));
        pairs.collect::<Vec<_>>().join(",")
    }

    fn text<'a>(&self, cells: &'a Cells, field: &str) -> &'a str {
        self.places.get(field).map_or("", |place| cells.get(*place))
    }

    /// A span given in milliseconds or in seconds.
    fn span_ms(&self, cells: &Cells, ms: &str, s: &str) -> Result<Option<u32>, Reason> {
        if self.has(ms) {
            return value::optional_whole(ms, self.text(cells, ms));
        }
        let text = self.text(cells, s);
        if text.is_empty() {
            return Ok(None);
        }
        let seconds = value::decimal(s, text)?;
        if seconds < 0.0 {
            Err(format!("{s}: negative"))
        } else {
            Ok(Some((seconds * 1e3) as u32))
        }
    }

    fn short(&self, cells: &Cells, field: &str) -> Result<SmolStr, Reason> {
        let text = self.text(cells, field);
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("{field}: longer than {TEXT_BYTES_MAX} bytes"));
        }
        Ok(SmolStr::new(text))
    }
}

struct Events {
    map: Map,
    kind: EventKind,
    untimed: bool,
    rows: i64,
}

impl Converter for Events {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let map = &self.map;
        self.rows += 1;
        let ts_ms = match self.untimed {
            true => UNTIMED_FROM_MS + (self.rows - 1) * UNTIMED_STEP_MS,
            false => value::time("ts", map.text(cells, "ts"))?,
        };
        let kind = match map.has("kind") {
            true => kind_of(map.text(cells, "kind")).ok_or("kind: not a kind of event")?,
            false => self.kind,
        };
        let user = value::user("user_id", map.text(cells, "user_id"))?;
        let video = value::video("video_id", map.text(cells, "video_id"))?;
        let mut event = bare(kind, &user, &video, ts_ms);
        event.watch_ms = map.span_ms(cells, "watch_ms", "watch_s")?;
        event.duration_ms = map
            .span_ms(cells, "duration_ms", "duration_s")?
            .filter(|ms| *ms > 0);
        event.scene = map.short(cells, "scene")?;
        event.market = map.short(cells, "market")?;
        event.creator_id = value::creator(CREATOR_FIELD, map.text(cells, CREATOR_FIELD))?;
        let event_id = map.text(cells, "event_id");
        out.events.push(match event_id.is_empty() {
            true => identified(event),
            // An event's id is made of the same characters as a video's.
            false => {
                let event_id = value::video("event_id", event_id)?.into();
                engine::Event { event_id, ..event }
            }
        });
        Ok(())
    }
}

struct Videos {
    map: Map,
}

impl Converter for Videos {
    fn record(&mut self, cells: &Cells, out: &mut Out) -> Result<(), Reason> {
        let map = &self.map;
        let list = |field| value::list(map.text(cells, field), &LIST);
        let mut video = Video::new(value::video("id", map.text(cells, "id"))?);
        video.title = map.text(cells, "title").to_owned();
        video.creator = value::creator("creator", map.text(cells, "creator"))?;
        video.categories = list("categories");
        video.tags = list("tags");
        video.markets = list("markets");
        let language = map.short(cells, "language")?;
        video.language = Some(language).filter(|language| !language.is_empty());
        video.duration_ms = map
            .span_ms(cells, "duration_ms", "duration_s")?
            .unwrap_or(0);
        let published = map.text(cells, "published_at");
        if !published.is_empty() {
            video.published_at = value::time("published_at", published)?;
        }
        video.hidden = value::flag("hidden", map.text(cells, "hidden"))?;
        out.videos.push(video);
        Ok(())
    }
}
