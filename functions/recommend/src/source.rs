//! What a page is cut from: the fresh slate, or the one that its reader is in the middle of.

use std::sync::Arc;

use engine::{Slate, UserId, UserState};
use guard::Deadline;
use store::{Answer, Read};
use web::Cursor;

use crate::app::App;
use crate::page::OwnHides;
use crate::serving::Turn;

/// What a page is cut from.
pub(crate) struct Source {
    pub slate: Arc<Slate>,
    pub from: u16,
    /// The slate that the cursor was cut from is gone.
    pub lost: bool,
    /// What the user hid since the slate was made.
    pub own: Option<OwnHides>,
}

impl Source {
    /// The fresh slate from its start.
    pub fn fresh(answer: &Answer) -> Self {
        Self {
            slate: Arc::clone(&answer.slate),
            from: 0,
            lost: false,
            own: None,
        }
    }
}

async fn own_hides(app: &App, user: &UserId, deadline: &Deadline) -> Option<OwnHides> {
    let one = std::slice::from_ref(user);
    let found = app.users.load(one, Read::Eventual, deadline).await.ok()?;
    let UserState {
        hidden_videos,
        hidden_creators,
        ..
    } = found.into_iter().flatten().next()?;
    let index = app.generations.current();
    Some(OwnHides {
        videos: hidden_videos,
        creators: hidden_creators,
        index,
    })
}

impl Turn<'_> {
    /// The slate of the cursor where the cursor says; without one the fresh slate from the start.
    pub async fn source(&self, answer: &Answer, deadline: &Deadline) -> Source {
        let fresh = Source::fresh(answer);
        let Some(cursor) = self.cursor else {
            return fresh;
        };
        let same_question = cursor.slate_key == self.key.0;
        if same_question && Cursor::slate_hash(&fresh.slate.slate_id) == cursor.slate_hash {
            return Source {
                from: cursor.position,
                ..fresh
            };
        }
        let kept = self.app.reading.find(cursor.slate_key, cursor.slate_hash);
        match kept.filter(|_| same_question) {
            Some(slate) => {
                // The user may have hidden something since.
                let changed = slate.user_version != fresh.slate.user_version;
                let own = match self.asked.user().filter(|_| changed) {
                    Some(user) => own_hides(self.app, user, deadline).await,
                    None => None,
                };
                Source {
                    slate,
                    from: cursor.position,
                    lost: false,
                    own,
                }
            }
            None => Source {
                lost: true,
                ..fresh
            },
        }
    }
}
