//! The vectors of a day's impressions.

use engine::feature::{Scratch, Taste};
use engine::{UserId, UserState};

use super::Stage;
use super::night::{Night, Seen};
use crate::train::Rows;

/// Rows, and how many of them were read from the generation that served them.
#[derive(Default)]
pub(super) struct Read {
    pub(super) rows: Rows,
    pub(super) as_served: usize,
}

impl Stage<'_> {
    /// The vectors of a day's impressions, by user; of too many a share of the users.
    pub(super) fn rows(&self, nights: &[Night], seen: &[Seen<'_>], long_views: bool) -> Read {
        let most = self.train.rows_max / self.train.days.max(1) as usize;
        let share = most as f64 / seen.len().max(1) as f64;
        let mut read = Read::default();
        let mut scratch = Scratch::default();
        for own in seen.chunk_by(|a, b| a.shown.user == b.shown.user) {
            let Some(user) = own
                .first()
                .and_then(|first| self.log.user(first.shown.user))
            else {
                continue;
            };
            let place = UserState::user_hash(user) as f64 / u64::MAX as f64;
            if place > share {
                continue;
            }
            for (number, night) in nights.iter().enumerate() {
                let own = own.iter().filter(|seen| seen.night == number);
                self.take(&mut read, (night, user), own, long_views, &mut scratch);
            }
        }
        read
    }

    /// Adds the vectors of one user's impressions that are read from one night.
    fn take<'a>(
        &self,
        read: &mut Read,
        (night, user): (&Night, &UserId),
        own: impl Iterator<Item = &'a Seen<'a>>,
        long_views: bool,
        scratch: &mut Scratch,
    ) {
        let mut own = own.peekable();
        if own.peek().is_none() {
            return;
        }
        let taste = Taste::new(&night.index, &night.outlook, night.profile(user), scratch);
        let rows = &mut read.rows;
        for Seen {
            shown,
            moment_ms,
            scene,
            ..
        } in own
        {
            let video = self.log.video(shown.video);
            let Some(item) = video.and_then(|video| night.index.find(video.as_str())) else {
                continue;
            };
            let scene = self.log.scenes().get(*scene as usize);
            let scene = night.outlook.scene(scene.map_or("", |name| name.as_str()));
            rows.vectors.push(taste.vector(item, scene, *moment_ms));
            rows.right.push(shown.right(long_views));
            rows.clicked.push(shown.clicked);
            rows.positions.push(shown.position);
            rows.users.push(shown.user);
            rows.items.push(item);
            read.as_served += usize::from(night.has_served());
        }
    }
}
