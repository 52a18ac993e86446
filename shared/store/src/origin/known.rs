//! What is known of whoever a slate is for.

use std::sync::Arc;

use engine::UserState;

/// What is known of whoever a slate is for.
#[derive(Debug, Clone)]
pub enum Known {
    /// It is for many.
    Nobody,
    /// It is for a user of whom there is nothing to go by.
    Absent {
        /// The version of the empty state; 0 when there is none.
        version: u64,
    },
    /// It is for a user with this state.
    User(Arc<UserState>),
}

impl Known {
    /// Judges a user's state. What a deletion leaves behind is as good as none.
    #[must_use]
    pub fn of(state: Option<UserState>) -> Self {
        let Some(state) = state else {
            return Self::Absent { version: 0 };
        };
        let empty = state.recent.is_empty()
            && state.seen.is_empty()
            && state.hidden_videos.is_empty()
            && state.hidden_creators.is_empty()
            && state.profile.is_none();
        if empty {
            Self::Absent {
                version: state.version,
            }
        } else {
            Self::User(Arc::new(state))
        }
    }

    /// The user's state.
    #[must_use]
    pub fn state(&self) -> Option<&Arc<UserState>> {
        match self {
            Self::User(state) => Some(state),
            Self::Nobody | Self::Absent { .. } => None,
        }
    }

    /// The user's version; 0 for nobody.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Self::Nobody => 0,
            Self::Absent { version } => *version,
            Self::User(state) => state.version,
        }
    }

    /// Whether there is something that a personal recipe can start from.
    #[must_use]
    pub fn has_tastes(&self) -> bool {
        self.state().is_some_and(|state| {
            let profile = state.profile.as_ref();
            !state.recent.is_empty() || profile.is_some_and(|profile| !profile.long_term.is_empty())
        })
    }

    /// The user as far as they must never be shown something.
    #[must_use]
    pub fn hides(&self) -> Option<Arc<UserState>> {
        self.state().map(|state| {
            Arc::new(UserState {
                version: state.version,
                hidden_videos: state.hidden_videos.clone(),
                hidden_creators: state.hidden_creators.clone(),
                ..UserState::default()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use engine::{EventKind, Interaction, Profile, VideoId};

    use super::*;

    type Change = fn(&mut UserState);

    fn video() -> VideoId {
        VideoId::parse("v1").unwrap()
    }

    fn like() -> Interaction {
        Interaction {
            video_id: video(),
            kind: EventKind::Like,
            ts_ms: 1,
            watch_ratio: 1.0,
        }
    }

    fn likes_for_long() -> Profile {
        Profile {
            long_term: vec![video()],
            ..Profile::default()
        }
    }

    #[test]
    fn a_user_without_anything_to_go_by_is_absent() {
        let cases: [(&str, Change, bool, bool); 7] = [
            ("nothing", |_| {}, false, false),
            ("deleted", |s| s.tombstone_ms = Some(1), false, false),
            ("met", |s| s.seen = vec![1], true, false),
            ("hid", |s| s.hidden_videos = vec![video()], true, false),
            (
                "profile",
                |s| s.profile = Some(Profile::default()),
                true,
                false,
            ),
            (
                "long term",
                |s| s.profile = Some(likes_for_long()),
                true,
                true,
            ),
            ("recent", |s| s.recent = vec![like()], true, true),
        ];
        for (what, change, known, tastes) in cases {
            let mut state = UserState {
                version: 3,
                ..UserState::default()
            };
            change(&mut state);
            let judged = Known::of(Some(state));
            let seen = (judged.state().is_some(), judged.has_tastes());
            assert_eq!(seen, (known, tastes), "{what}");
            assert_eq!(judged.version(), 3, "{what}");
        }
        assert!(matches!(Known::of(None), Known::Absent { version: 0 }));
    }
}
