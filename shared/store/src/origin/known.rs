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

    #[test]
    fn a_user_without_anything_to_go_by_is_absent() {
        let video = VideoId::parse("v1").unwrap();
        let met = Interaction {
            video_id: video.clone(),
            kind: EventKind::Like,
            ts_ms: 1,
            watch_ratio: 1.0,
        };
        let state = || UserState {
            version: 3,
            ..UserState::default()
        };
        let profile = |long_term| {
            Some(Profile {
                long_term,
                ..Profile::default()
            })
        };
        let cases = [
            (None, false, false),
            (Some(state()), false, false),
            (
                Some(UserState {
                    tombstone_ms: Some(1),
                    ..state()
                }),
                false,
                false,
            ),
            (
                Some(UserState {
                    seen: vec![1],
                    ..state()
                }),
                true,
                false,
            ),
            (
                Some(UserState {
                    hidden_videos: vec![video.clone()],
                    ..state()
                }),
                true,
                false,
            ),
            (
                Some(UserState {
                    profile: profile(vec![]),
                    ..state()
                }),
                true,
                false,
            ),
            (
                Some(UserState {
                    profile: profile(vec![video]),
                    ..state()
                }),
                true,
                true,
            ),
            (
                Some(UserState {
                    recent: vec![met],
                    ..state()
                }),
                true,
                true,
            ),
        ];
        for (state, known, tastes) in cases {
            let version = state.as_ref().map_or(0, |state| state.version);
            let judged = Known::of(state.clone());
            let seen = (
                judged.state().is_some(),
                judged.has_tastes(),
                judged.version(),
            );
            assert_eq!(seen, (known, tastes, version), "{state:?}");
        }
    }
}
