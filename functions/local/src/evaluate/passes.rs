//! Reading the store: once for what happened, once for what may be learned from.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use engine::{Event, Index, UserId, UserState, Video};
use guard::Deadline;
use lake::{Dedupe, LakeRow};
use learn::evaluate::{Course, Log, LogBuilder, Protocol, Replay};
use learn::{BuildError, BuildOptions, Built, CurrentCf, GenerationBuilder, TrainOptions};
use store::{Error, apply_event, apply_profile};

use super::contenders::{Learned, REFRESH_MS};
use crate::import::progress::Progress;
use crate::jobs::NIGHT_BUDGET;
use crate::service::Service;

/// Videos read from the catalogue at a time.
const VIDEOS_PER_PAGE: usize = 500;

/// Everything that happened, and every video there is.
pub(super) async fn log(
    service: &Service,
    long_view_ms: u32,
    shown: &mut dyn Progress,
) -> anyhow::Result<Log> {
    let deadline = service.deadline(NIGHT_BUDGET);
    let mut log = LogBuilder::new(long_view_ms);
    let mut failed = None;
    videos(service, &deadline, |video| {
        if let Err(error) = log.add_video(video) {
            failed.get_or_insert(error);
        }
    })
    .await?;
    events(service, "reading", &deadline, shown, |event| {
        if let Err(error) = log.add_event(event) {
            failed.get_or_insert(error);
        }
    })
    .await?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(log.finish()),
    }
}

/// Builds a generation and everybody's state from what the course may learn from; with sessions also
/// what replays the judged part.
pub(super) async fn learn(
    service: &Service,
    log: &Log,
    course: &Course,
    shown: &mut dyn Progress,
) -> anyhow::Result<(Learned, Option<Replay>)> {
    let deadline = service.deadline(NIGHT_BUDGET);
    let as_of_ms = course.now_ms.saturating_sub(1);
    let mut builder = GenerationBuilder::new(BuildOptions {
        ranker: Some(TrainOptions::default()),
        ..BuildOptions::new("evaluate", as_of_ms)
    });
    let (mut failed, mut catalogue) = (None, Vec::new());
    let sessions = matches!(course.protocol, Protocol::Sessions { .. });
    videos(service, &deadline, |video| {
        if let Err(error) = builder.add_video(video) {
            failed.get_or_insert(error);
        }
        catalogue.extend(sessions.then(|| video.clone()));
    })
    .await?;
    let mut moving = Moving::begin(course, &catalogue)?;
    drop(catalogue);
    let mut states = empty_states(log, course);
    events(service, "learning", &deadline, shown, |event| {
        let user = log.users.binary_search(&event.user_id).ok();
        let user = user.and_then(|place| u32::try_from(place).ok());
        let teaches = user.is_some_and(|user| course.teaches(user, event.ts_ms));
        if let Some(moving) = &mut moving
            && let Err(error) = moving.take(event, teaches)
        {
            failed.get_or_insert(error);
        }
        if !teaches {
            return;
        }
        if let Some(state) = states.get_mut(&event.user_id) {
            apply_event(state, event);
        }
        if let Err(error) = builder.add_event(event) {
            failed.get_or_insert(error);
        }
    })
    .await?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    shown.begin("building a generation", 0);
    let mut built = tokio::task::spawn_blocking(move || builder.finish())
        .await?
        .context("a generation for the evaluation could not be built")?;
    shown.end();
    for (user, profile) in &built.profiles {
        if let Some(state) = states.get_mut(user) {
            apply_profile(state, profile, as_of_ms);
        }
    }
    let states = states.into_iter().map(|(id, state)| (id, Arc::new(state)));
    let learned = Learned {
        index: Arc::new(Index::open(Arc::new(built.to_bytes()))?),
        states: states.collect(),
        now_ms: course.now_ms,
    };
    Ok((learned, moving.map(|moving| moving.replay(built))))
}

/// A state for everybody who is asked or was shown something.
fn empty_states(log: &Log, course: &Course) -> HashMap<UserId, UserState> {
    let asked = course.exams.iter().map(|exam| exam.user);
    let asked = asked.chain(course.viewers.iter().map(|viewer| viewer.exam.user));
    asked
        .filter_map(|user| log.users.get(user as usize))
        .map(|id| (id.clone(), UserState::default()))
        .collect()
}

/// What is kept current, up to the split, and what is to come.
struct Moving {
    cf: CurrentCf,
    coming: Vec<Event>,
    from_ms: i64,
    until_ms: i64,
}

impl Moving {
    /// Nothing but with sessions, where the judged part has moments.
    fn begin(course: &Course, catalogue: &[Video]) -> Result<Option<Self>, BuildError> {
        let Protocol::Sessions { from_ms, until_ms } = course.protocol else {
            return Ok(None);
        };
        let options = BuildOptions::new("evaluate", until_ms.saturating_sub(1));
        Ok(Some(Self {
            cf: CurrentCf::new(options, catalogue)?,
            coming: Vec::new(),
            from_ms,
            until_ms,
        }))
    }

    fn take(&mut self, event: &Event, teaches: bool) -> Result<(), BuildError> {
        if teaches {
            return self.cf.add_event(event);
        }
        if (self.from_ms..self.until_ms).contains(&event.ts_ms) && CurrentCf::hears(event) {
            self.coming.push(event.clone());
        }
        Ok(())
    }

    fn replay(self, built: Built) -> Replay {
        Replay::new(built, self.cf, self.coming, self.from_ms, REFRESH_MS)
    }
}

async fn videos(
    service: &Service,
    deadline: &Deadline,
    mut each: impl FnMut(&Video),
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let catalogue = &service.serving.catalogue;
        let page = catalogue.scan(after, VIDEOS_PER_PAGE, deadline).await?;
        page.videos.iter().for_each(&mut each);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Every event of the lake once, day by day.
async fn events(
    service: &Service,
    stage: &str,
    deadline: &Deadline,
    shown: &mut dyn Progress,
    mut each: impl FnMut(&Event) + Send,
) -> Result<(), Error> {
    let days = service.lake.days(deadline).await?;
    shown.begin(stage, days.len() as u64);
    for (done, day) in (1u64..).zip(days) {
        let mut once = Dedupe::new();
        for object in service.lake.files(day, deadline).await? {
            let mut take = |rows: Vec<LakeRow>| {
                rows.iter()
                    .filter(|row| once.admit(row))
                    .for_each(|row| each(&row.event));
                Ok(())
            };
            service
                .lake
                .read_file(&object.key, deadline, &mut take)
                .await?;
        }
        shown.at(done);
    }
    shown.end();
    Ok(())
}
