//! The judged part once more, in the order of time, before what is kept current.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use engine::{Event, Index};

use super::{Course, Exam};
use crate::{BuildError, Built, CurrentCf};

/// A generation whose sessions and neighbours are refreshed while the judged part goes by.
///
/// Everything else of it stays as it was learned before the split.
pub struct Replay {
    built: Built,
    cf: CurrentCf,
    coming: Peekable<IntoIter<Event>>,
    from_ms: i64,
    every_ms: i64,
}

impl Replay {
    /// Begins at the split with a generation and a `cf` of what lies before it; `coming` is what
    /// everybody did from then on, in any order. Refreshed every `every_ms` of the log's time.
    #[must_use]
    pub fn new(
        built: Built,
        cf: CurrentCf,
        mut coming: Vec<Event>,
        from_ms: i64,
        every_ms: i64,
    ) -> Self {
        coming.sort_by_key(|event| event.ts_ms);
        Self {
            built,
            cf,
            coming: coming.into_iter().peekable(),
            from_ms,
            every_ms: every_ms.max(1),
        }
    }

    /// Hands every exam of a course, with its place, to `ask`, in the order of time, and with it the
    /// generation that serves at its moment: refreshed no longer than `every_ms` ago by everything
    /// that happened before that refreshment, and by nothing later.
    ///
    /// # Errors
    /// [`BuildError`] when there are too many of something or a generation cannot be opened.
    pub fn ask(
        mut self,
        course: &Course,
        mut ask: impl FnMut(usize, &Exam, &Arc<Index>),
    ) -> Result<(), BuildError> {
        let mut exams: Vec<(usize, &Exam)> = course.exams.iter().enumerate().collect();
        exams.sort_by_key(|(_, exam)| exam.ts_ms);
        let mut index = self.refreshed()?;
        for (place, exam) in exams {
            if self.take_before(self.refreshed_ms(exam.ts_ms))? {
                index = self.refreshed()?;
            }
            ask(place, exam, &index);
        }
        Ok(())
    }

    /// When what serves at a moment was refreshed.
    fn refreshed_ms(&self, ts_ms: i64) -> i64 {
        let since_ms = ts_ms.saturating_sub(self.from_ms);
        ts_ms.saturating_sub(since_ms.rem_euclid(self.every_ms))
    }

    /// Takes in what happened before a moment; whether there was anything.
    fn take_before(&mut self, ts_ms: i64) -> Result<bool, BuildError> {
        let mut any = false;
        while let Some(event) = self.coming.next_if(|event| event.ts_ms < ts_ms) {
            self.cf.add_event(&event)?;
            any = true;
        }
        Ok(any)
    }

    fn refreshed(&mut self) -> Result<Arc<Index>, BuildError> {
        self.built.refresh(&mut self.cf)?;
        let index = Index::open(Arc::new(self.built.to_bytes()));
        index.map(Arc::new).map_err(BuildError::Unreadable)
    }
}
