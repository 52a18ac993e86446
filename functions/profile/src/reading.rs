//! Reading the catalogue and the lake into what the night builds from.

use guard::Deadline;
use jiff::civil::Date;
use lake::{Dedupe, LakeRow};
use learn::{BuildOptions, GenerationBuilder};
use store::{Error, ErrorKind};

use crate::audience::Audience;
use crate::days::DayRows;
use crate::hold::Hold;
use crate::{Parts, unbuilt};

/// Videos read from the catalogue at a time.
const VIDEOS_PER_PAGE: usize = 500;
/// Lake batches between two renewals of the lease.
const BATCHES_PER_RENEWAL: usize = 64;

/// What was read so far.
pub(crate) struct Reading<'a> {
    parts: &'a Parts,
    pub builder: GenerationBuilder,
    pub audience: Audience,
    pub days: Vec<DayRows>,
    pub videos: u64,
    pub events: u64,
    pub dropped: u64,
}

impl<'a> Reading<'a> {
    pub fn new(parts: &'a Parts, options: BuildOptions) -> Self {
        Self {
            parts,
            builder: GenerationBuilder::new(options),
            audience: Audience::default(),
            days: Vec::new(),
            videos: 0,
            events: 0,
            dropped: 0,
        }
    }

    /// Takes every video in.
    pub async fn catalogue(&mut self, deadline: &Deadline) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self
                .parts
                .catalogue
                .scan(after, VIDEOS_PER_PAGE, deadline)
                .await?;
            for video in &page.videos {
                self.builder.add_video(video).map_err(unbuilt)?;
            }
            self.videos += page.videos.len() as u64;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes every event of a day in, once.
    ///
    /// What counts as the same event lies in the same day, because the lake is laid out by the
    /// event's own time; so memory is bounded by one day's rows.
    pub async fn day(
        &mut self,
        date: Date,
        hold: &mut Hold<'_>,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let mut once = Dedupe::new();
        let mut day = DayRows { date, rows: 0 };
        let mut batches = 0_usize;
        for object in self.parts.lake.files(date, deadline).await? {
            for batch in self.parts.lake.open(&object.key, deadline).await? {
                let rows = batch.map_err(|error| named(error, &object.key))?;
                day.rows += rows.len() as u64;
                self.audience
                    .meet(&rows, &self.parts.users, deadline)
                    .await?;
                self.take(&rows, &mut once)?;
                batches += 1;
                if batches.is_multiple_of(BATCHES_PER_RENEWAL) {
                    hold.renew(deadline).await?;
                }
                if deadline.expired() {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!("read {}", object.key),
                    ));
                }
                tokio::task::yield_now().await;
            }
        }
        self.days.push(day);
        Ok(())
    }

    fn take(&mut self, rows: &[LakeRow], once: &mut Dedupe) -> Result<(), Error> {
        for row in rows {
            if once.admit(row) && self.audience.apply(&row.event) {
                self.builder.add_event(&row.event).map_err(unbuilt)?;
                self.events += 1;
            } else {
                self.dropped += 1;
            }
        }
        Ok(())
    }
}

fn named(error: Error, key: &str) -> Error {
    Error {
        what: format!("{} ({key})", error.what),
        ..error
    }
}
