//! Collaborative filtering that is kept current, event by event.
//!
//! ```text
//! event ─► its user's records ─► Judge ─► what the user liked ─┬─► sessions, by recency, per video
//!                                                              └─► likings, both ways
//! ```
//!
//! The same catalogue and the same events in any order give the same rows, the same sessions and,
//! written, the same bytes as a [`GenerationBuilder`](crate::GenerationBuilder) gives: one user's
//! records are judged anew with every event of theirs, by the judge of the night, and what they
//! contributed before is replaced. What an event costs depends on its user's own history and on
//! logarithms, never on how much others did. What cannot be changed in part without changing a
//! rounding is left to the reader: the norm of a video is added up anew, in the order of the night,
//! when a row is asked for that needs it. Where likings fade (`neighbour_half_life_ms`) they do so for
//! everybody with each newest event, and a row adds up the norms of all videos that its fans liked.
//!
//! It is for a bounded stretch of time: nothing is taken out but what an event replaces. Who is
//! deleted, and what falls out of the window, is left out by beginning anew, as every night does. What
//! a recommendation reads is what was written ([`CurrentCf::put`]): flat arrays, numbered by recency.
//!
//! Memory: 24 bytes a record that is no impression, at most twice that while the list of its user
//! grows; some 45 a liking that counts, for the fan and for the video, and 16 more where likings do
//! not all weigh 1; some 80 a session and 16 for each video in it; some 250 a user; 130 a video besides
//! the catalogue, which is held as the night holds it. Impressions and events of unknown videos leave
//! nothing behind. `scripts/bench current` prints what an event comes to.
//!
//! Read in the order `sessions`, `likings`.

mod likings;
mod sessions;

use std::sync::Arc;

use engine::index::IndexWriter;
use engine::index::format::{CfKnobs, Scored};
use engine::{Event, EventKind, UserId, Video, VideoId};

use super::diary::{History, Once, Record};
use super::interner::Interner;
use super::judge::Judge;
use super::neighbours::{self, Scratch};
use super::sessions::Sessions;
use super::shelf::{Catalogue, Shelf};
use super::{BuildError, Built, trial};
use crate::BuildOptions;
use likings::CurrentLikings;
use sessions::{CurrentSessions, Session};

/// Who watched what together, as of the event that was taken in last.
///
/// Dense ids are those of a generation of the same catalogue.
pub struct CurrentCf {
    options: BuildOptions,
    catalogue: Catalogue,
    /// Under what numbers the catalogue was taken in.
    videos: Interner,
    users: Interner,
    people: Vec<Person>,
    sessions: CurrentSessions,
    likings: CurrentLikings,
    room: Room,
}

/// One user's records, in order, and the sessions they make.
#[derive(Debug)]
struct Person {
    id: UserId,
    records: Vec<Record>,
    sessions: Vec<Arc<Session>>,
}

/// What is used for one user, or one row, and then for the next.
struct Room {
    history: History,
    sessions: Sessions,
    once: Once,
    row: Scratch,
}

impl CurrentCf {
    /// Takes the whole catalogue in; of two videos of one id the second counts.
    ///
    /// # Errors
    /// [`BuildError`] when a video cannot be rendered or there are too many.
    pub fn new<'a>(
        options: BuildOptions,
        catalogue: impl IntoIterator<Item = &'a Video>,
    ) -> Result<Self, BuildError> {
        let (mut shelf, mut videos) = (Shelf::default(), Interner::default());
        for video in catalogue {
            let number = videos.number(video.video_id.as_str())?;
            shelf.add(number, video)?;
        }
        let catalogue = shelf.arrange(&[]);
        Ok(Self {
            sessions: CurrentSessions::new(catalogue.len(), &options),
            likings: CurrentLikings::new(catalogue.len(), &options),
            room: Room {
                history: History::default(),
                sessions: Sessions::default(),
                once: Once::default(),
                row: Scratch::new(catalogue.len(), options.neighbours_max),
            },
            options,
            catalogue,
            videos,
            users: Interner::default(),
            people: Vec::new(),
        })
    }

    /// Takes an event in, at its place among its user's. What says nothing of what was liked is left
    /// out: impressions, what is of our own making, later than the generation's time, or of a video
    /// that the catalogue does not know.
    ///
    /// # Errors
    /// [`BuildError::TooMany`].
    pub fn add_event(&mut self, event: &Event) -> Result<(), BuildError> {
        if !Self::hears(event) || event.ts_ms > self.options.as_of_ms {
            return Ok(());
        }
        let Some(video) = self.item(&event.video_id) else {
            return Ok(());
        };
        let user = self.users.number(event.user_id.as_str())?;
        if self.people.len() == user as usize {
            self.people.push(Person {
                id: event.user_id.clone(),
                records: Vec::new(),
                sessions: Vec::new(),
            });
        }
        if let Some(person) = self.people.get_mut(user as usize) {
            // Where viewers come from says nothing here.
            person.take(Record::of(event, video, 0));
        }
        self.judge(user);
        Ok(())
    }

    /// Whether an event of this kind can say what was liked.
    #[must_use]
    pub fn hears(event: &Event) -> bool {
        use EventKind::{Exposure, Impression, Served};
        !matches!(event.kind, Served | Exposure | Impression)
    }

    /// The dense id of a video of the catalogue.
    #[must_use]
    pub fn item(&self, video: &VideoId) -> Option<u32> {
        let number = self.videos.find(video.as_str())?;
        self.catalogue.dense(number)
    }

    /// Videos that the same people liked, best first: the row that a generation would hold now.
    ///
    /// Costs what the row costs the night, and adding up the norms of those videos that changed
    /// since they were last asked for.
    pub fn neighbours(&mut self, item: u32) -> Vec<Scored> {
        self.likings.refresh(item);
        neighbours::row(&self.likings, &mut self.room.row, item)
    }

    /// The newest sessions that hold a video, newest first: what each holds, oldest first.
    pub fn sessions_with(&self, item: u32) -> impl Iterator<Item = &[u32]> {
        self.sessions.with(item)
    }

    /// How much it says that a session holds a video; 0 where none does. Counts them.
    #[must_use]
    pub fn idf(&self, item: u32) -> f32 {
        self.sessions.idf(item)
    }

    /// The knobs a night would find best on everything taken in; it reads it all and tries for
    /// seconds.
    #[must_use]
    pub fn choose_knobs(&self) -> CfKnobs {
        trial::choose(&self.catalogue, &self.history(), &self.options)
    }

    /// Writes sessions, postings, idf, neighbours and the knobs as sections of a generation; answers
    /// how many sessions there are.
    pub fn put(&mut self, index: &mut IndexWriter, knobs: CfKnobs) -> usize {
        let (videos, options) = (self.catalogue.len(), &self.options);
        let flat = self.sessions.flat();
        flat.put(index, videos, knobs, options);
        self.likings.refresh_all();
        neighbours::put_rows(index, videos, &self.likings, |_| true, options);
        flat.len()
    }

    /// Judges a user's records and replaces what the user contributed before.
    fn judge(&mut self, user: u32) {
        let Some(person) = self.people.get_mut(user as usize) else {
            return;
        };
        let (catalogue, options) = (&self.catalogue, &self.options);
        let Room {
            history,
            sessions,
            once,
            ..
        } = &mut self.room;
        history.clear();
        sessions.clear();
        // Rates are not asked for, nor how often the user was shown something.
        let mut judge = Judge::new(catalogue, options, i64::MIN);
        judge.read(history, person.id.clone(), 0, &person.records);
        if let Some(reader) = history.users.first() {
            sessions.read(catalogue, history.liked(reader), once, options);
        }
        self.sessions.replace(&mut person.sessions, sessions, user);
        self.likings
            .replace(user, &person.id, catalogue, history, options);
    }

    /// Everybody's history, as the night would hold it.
    fn history(&self) -> History {
        let mut history = History::default();
        let mut people: Vec<&Person> = self.people.iter().collect();
        people.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let mut judge = Judge::new(&self.catalogue, &self.options, i64::MIN);
        for person in people {
            judge.read(&mut history, person.id.clone(), 0, &person.records);
        }
        history
    }
}

impl Person {
    fn take(&mut self, record: Record) {
        let place = self
            .records
            .partition_point(|own| own.order() <= record.order());
        self.records.insert(place, record);
    }
}

impl Built {
    /// Replaces who watched what together by what `cf`, of the same catalogue, knows by now; how it
    /// is used stays as the night found best.
    ///
    /// # Errors
    /// [`BuildError::OtherCatalogue`] when `cf` has another number of videos.
    pub fn refresh(&mut self, cf: &mut CurrentCf) -> Result<(), BuildError> {
        if cf.catalogue.len() != self.report.videos {
            return Err(BuildError::OtherCatalogue);
        }
        self.report.sessions = cf.put(&mut self.index, self.report.cf);
        Ok(())
    }
}
