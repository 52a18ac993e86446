//! Builds one generation.

mod ahead;
mod cohorts;
mod content;
mod counts;
pub mod current;
mod diary;
mod findings;
mod interner;
mod judge;
mod lists;
mod neighbours;
mod profiles;
mod rehearsal;
mod rows;
mod sessions;
mod shelf;
mod sums;
mod trends;
mod trial;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use engine::index::format::{CfKnobs, Findings, Kind};
use engine::index::{IndexError, IndexWriter};
use engine::{Event, Profile, UserId, Video};
use smol_str::SmolStr;

use crate::BuildOptions;
use crate::options::Window;
use crate::train::{Rows, Trained};
use counts::{Counts, newest_ms};
use diary::{Diary, History};
use rehearsal::Rehearsal;
use shelf::{Catalogue, Shelf};
use trends::Trends;

pub use rehearsal::Past;

/// Takes in a catalogue and its events, in any order, and builds a generation.
#[derive(Debug)]
pub struct GenerationBuilder {
    options: BuildOptions,
    shelf: Shelf,
    diary: Diary,
    rehearsal: Rehearsal,
}

/// A built generation.
#[derive(Debug)]
pub struct Built {
    index: IndexWriter,
    /// Everybody with at least one positive interaction, ordered by id.
    pub profiles: Vec<(UserId, Profile)>,
    /// What went in and what came out.
    pub report: BuildReport,
}

/// What went into a generation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildReport {
    /// Videos, hidden ones included.
    pub videos: usize,
    /// Users with at least one positive interaction.
    pub users: usize,
    /// Events counted.
    pub events: u64,
    /// Events left out because the catalogue does not know their video.
    pub unknown_videos: u64,
    /// Events left out because they are later than the generation.
    pub too_late: u64,
    /// Positive interactions, one per user and video.
    pub interactions: usize,
    /// Sessions of at least two videos.
    pub sessions: usize,
    /// Cohorts, the one for everybody included.
    pub cohorts: usize,
    /// How collaborative filtering is used, as a trial found best.
    pub cf: CfKnobs,
    /// What was found out about tastes as a whole.
    pub findings: Findings,
    /// How the ranker was trained; `None` where it was not asked for.
    pub ranker: Option<Trained>,
}

/// A generation could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// More of something than 32-bit numbers can name.
    #[error("too many {0} for one generation")]
    TooMany(&'static str),
    /// What is kept current is of another catalogue than the generation.
    #[error("what is kept current is of another catalogue")]
    OtherCatalogue,
    /// A video could not be written as JSON.
    #[error("render video {0}")]
    Render(String, #[source] serde_json::Error),
    /// What was built is refused by its reader.
    #[error("open what was built")]
    Unreadable(#[source] IndexError),
}

impl GenerationBuilder {
    /// An empty catalogue and an empty diary.
    #[must_use]
    pub fn new(options: BuildOptions) -> Self {
        Self {
            options,
            shelf: Shelf::default(),
            diary: Diary::default(),
            rehearsal: Rehearsal::default(),
        }
    }

    /// Takes a video in; a second one of the same id replaces the first.
    ///
    /// # Errors
    /// [`BuildError`] when it cannot be rendered or there are too many.
    pub fn add_video(&mut self, video: &Video) -> Result<(), BuildError> {
        let number = self.diary.video_number(&video.video_id)?;
        self.shelf.add(number, video)
    }

    /// Takes an event in. What the generation does not need (later than its time, of our own
    /// making) is left out.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn add_event(&mut self, event: &Event) -> Result<(), BuildError> {
        if let Some(train) = &self.options.ranker {
            self.rehearsal.add(event, &self.options, train);
        }
        self.diary.add(event, &self.options)
    }

    /// The generations that `served` rows of the days the ranker learns from name, in no order. Each
    /// that is still kept should be given to [`Self::add_past`]; what it served is then learned from
    /// as it was.
    #[must_use]
    pub fn served_by(&self) -> &[SmolStr] {
        self.rehearsal.generations()
    }

    /// Whether the ranker may learn from this user: from somebody who did something in those days.
    #[must_use]
    pub fn learns_from(&self, user: &UserId) -> bool {
        self.rehearsal.learns_from(user)
    }

    /// Takes in a generation that served.
    pub fn add_past(&mut self, past: Past) {
        self.rehearsal.add_past(past);
    }

    /// Builds the generation.
    ///
    /// # Errors
    /// [`BuildError::TooMany`] when it does not fit into one generation.
    pub fn finish(self) -> Result<Built, BuildError> {
        let options = self.options;
        let catalogue = self.shelf.arrange(self.diary.markets());
        let ranker = options.ranker.as_ref().map(|train| {
            self.rehearsal
                .train(&catalogue, &self.diary, &options, train)
        });
        let ranker = ranker.transpose()?;
        let history = self.diary.arrange(&catalogue, &options)?;
        let mut built = build(&catalogue, &history, None, &options);
        if let Some((model, trained)) = ranker {
            if let Some(model) = model {
                built.index.put_bytes(Kind::Model, model);
            }
            built.report.ranker = Some(trained);
        }
        Ok(built)
    }

    /// The rows a ranker would be trained and judged on, day by day, the newest first.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn rehearse(self) -> Result<Vec<Rows>, BuildError> {
        let catalogue = self.shelf.arrange(self.diary.markets());
        let train = self.options.ranker.clone().unwrap_or_default();
        self.rehearsal
            .rows(&catalogue, &self.diary, &self.options, &train)
    }
}

/// What a generation finds out by trials on the data itself.
#[derive(Debug, Clone, Copy)]
struct Found {
    cf: CfKnobs,
    findings: Findings,
}

/// Everything of a generation but the model. What was found out before is not tried again.
fn build(
    catalogue: &Catalogue,
    history: &History,
    known: Option<Found>,
    options: &BuildOptions,
) -> Built {
    let mut index = IndexWriter::new(&options.generation, options.as_of_ms);
    let counts = Counts::new(catalogue, history, options);
    let mut report = BuildReport {
        videos: catalogue.len(),
        users: history.users.len(),
        events: history.events,
        unknown_videos: history.unknown_videos,
        too_late: history.too_late,
        interactions: counts.interactions(),
        ..BuildReport::default()
    };
    let tastes = profiles::tastes(catalogue, history, options);
    let content = content::neighbours(catalogue, &counts, options);
    let Found {
        cf,
        findings: found,
    } = known.unwrap_or_else(|| {
        let cf = trial::choose(catalogue, history, options);
        let findings = findings::find(catalogue, history, &content, cf, options);
        Found { cf, findings }
    });
    (report.cf, report.findings) = (cf, found);
    report.sessions = sessions::put(&mut index, catalogue, history, cf, options);
    neighbours::put(&mut index, catalogue, history, |_| true, options);
    index.put(Kind::Findings, &[found]);
    content.put(&mut index, Kind::ContentStarts, Kind::Content);
    let window = Window {
        half_life_ms: found.half_life_ms.get(),
        longest_ms: found.window_ms.get(),
    };
    let now_ms = newest_ms(history, options);
    let trends = Trends::new(history, catalogue.len(), window, now_ms);
    lists::put(&mut index, catalogue, &counts, &trends, options);
    let cohorts = cohorts::put(&mut index, catalogue, history, &tastes, options);
    report.cohorts = cohorts.len();
    catalogue.put(&mut index, &counts, &trends);
    catalogue.put_fragments(&mut index);
    let profiles = profiles::finish(catalogue, history, &tastes, &cohorts, options);
    Built {
        index,
        profiles,
        report,
    }
}

impl Built {
    /// The generation in memory.
    #[must_use]
    pub fn to_bytes(&mut self) -> Vec<u8> {
        self.index.to_bytes()
    }

    /// Writes the generation to a new or emptied file and syncs it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_to(&mut self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        self.index.write_to(&mut out)?;
        out.flush()?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()
    }
}
