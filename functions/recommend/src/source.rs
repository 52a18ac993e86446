//! What a page is cut from: the fresh slate, or the one that its reader is in the middle of.

use std::sync::Arc;

use engine::{Slate, UserId};
use guard::Deadline;
use store::{Answer, TierOutcome};
use web::Cursor;

use crate::page::OwnHides;
use crate::turn::Turn;

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
        let anew = Source {
            lost: true,
            ..fresh
        };
        let Some(slate) = kept.filter(|_| same_question) else {
            return anew;
        };
        let same_user = slate.user_version == anew.slate.user_version;
        let own = match self.asked.user().filter(|_| !same_user) {
            // The user may have hidden something since.
            Some(user) => {
                let own = self.own_hides(user, answer, deadline).await;
                // The newer slate was made without it; what was served is left out of that.
                if own.is_none() && anew.slate.user_version > slate.user_version {
                    return anew;
                }
                own
            }
            None => None,
        };
        Source {
            slate,
            from: cursor.position,
            lost: false,
            own,
        }
    }

    /// What the user hides now; not asked for when this very request has just failed to learn it.
    async fn own_hides(
        &self,
        user: &UserId,
        answer: &Answer,
        deadline: &Deadline,
    ) -> Option<OwnHides> {
        if answer.outcome == TierOutcome::Fallback {
            return None;
        }
        let state = self.app.user(user, self.tuning, deadline).await.ok()?;
        let state = state.unwrap_or_default();
        Some(OwnHides {
            videos: state.hidden_videos,
            creators: state.hidden_creators,
            index: self.app.generations.current(),
        })
    }
}
