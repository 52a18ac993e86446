//! Joining a whole state into another: what the T+1 batch made of the lake, with what is stored.

use engine::{EventKind, UserState};

use super::{lower, meet_at, minute_of, raise, remember, remember_undone, undone_ms};

/// Joins what `other` remembers of events into the state; says whether anything changed.
///
/// The state's own version, profile and tombstone stay; what `other` remembers from before the
/// tombstone changes nothing. It is as if the events behind `other` had been applied, as far as it
/// still remembers them.
pub fn join_state(state: &mut UserState, other: &UserState) -> bool {
    let gone_ms = state.tombstone_ms.unwrap_or(i64::MIN);
    let mut changed = take_back(state, other, gone_ms);
    let minutes = other
        .times
        .seen_min
        .iter()
        .copied()
        .chain(std::iter::repeat(0));
    let gone_min = state.tombstone_ms.map(minute_of);
    for (hash, minute) in other.seen.iter().zip(minutes) {
        if gone_min.is_none_or(|gone| minute > gone) {
            changed |= meet_at(state, *hash, minute);
        }
    }
    for entry in &other.recent {
        if entry.ts_ms > gone_ms {
            changed |= remember(state, entry.clone());
        }
    }
    changed |= hide(state, other, gone_ms);
    let newer = other.updated_ms > state.updated_ms.max(gone_ms);
    if newer {
        state.updated_ms = other.updated_ms;
    }
    changed | newer
}

/// What was taken back there is taken back here.
fn take_back(state: &mut UserState, other: &UserState, gone_ms: i64) -> bool {
    let mut changed = false;
    for undone in other
        .times
        .undone
        .iter()
        .filter(|undone| undone.ts_ms > gone_ms)
    {
        changed |= remember_undone(state, undone.kind, undone.target, undone.ts_ms);
        for met in &mut state.recent {
            let target = UserState::seen_hash(met.video_id.as_str());
            let meant = (met.kind, target) == (undone.kind, undone.target);
            if meant && met.ts_ms < undone.ts_ms {
                met.kind = EventKind::Click;
                changed = true;
            }
        }
    }
    changed |= show_again(state);
    changed
}

/// Drops hides that were undone later.
fn show_again(state: &mut UserState) -> bool {
    let undone = |state: &UserState, target| undone_ms(state, EventKind::Hide, target);
    let mut changed = false;
    for id in state.hidden_videos.clone() {
        if let Some(ts_ms) = undone(state, UserState::seen_hash(id.as_str())) {
            let times = &mut state.times.hidden_videos_ms;
            changed |= lower(&mut state.hidden_videos, times, &id, ts_ms);
        }
    }
    for id in state.hidden_creators.clone() {
        if let Some(ts_ms) = undone(state, creator_target(id.as_str())) {
            let times = &mut state.times.hidden_creators_ms;
            changed |= lower(&mut state.hidden_creators, times, &id, ts_ms);
        }
    }
    changed
}

fn hide(state: &mut UserState, other: &UserState, gone_ms: i64) -> bool {
    let mut changed = false;
    let times = other
        .times
        .hidden_videos_ms
        .iter()
        .copied()
        .chain(std::iter::repeat(0));
    for (id, ts_ms) in other.hidden_videos.iter().zip(times) {
        let target = UserState::seen_hash(id.as_str());
        if ts_ms > gone_ms && undone_ms(state, EventKind::Hide, target) <= Some(ts_ms) {
            changed |= raise(
                &mut state.hidden_videos,
                &mut state.times.hidden_videos_ms,
                id,
                ts_ms,
            );
        }
    }
    let times = other
        .times
        .hidden_creators_ms
        .iter()
        .copied()
        .chain(std::iter::repeat(0));
    for (id, ts_ms) in other.hidden_creators.iter().zip(times) {
        let target = creator_target(id.as_str());
        if ts_ms > gone_ms && undone_ms(state, EventKind::Hide, target) <= Some(ts_ms) {
            changed |= raise(
                &mut state.hidden_creators,
                &mut state.times.hidden_creators_ms,
                id,
                ts_ms,
            );
        }
    }
    changed
}

fn creator_target(creator: &str) -> u32 {
    UserState::seen_hash(&format!("creator/{creator}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::apply_event;
    use engine::{CreatorId, Event, UserId, VideoId};
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = Event> {
        let kinds = prop::sample::select(EventKind::ALL.to_vec());
        (
            kinds,
            0..6_u32,
            1..5_000_000_i64,
            any::<bool>(),
            0..3_u32,
            0..40_000_u32,
        )
            .prop_map(|(kind, video, ts_ms, undo, creator, watch_ms)| Event {
                event_id: "e".into(),
                kind,
                user_id: UserId::parse("u").unwrap(),
                video_id: VideoId::parse(&format!("v{video}")).unwrap(),
                ts_ms,
                watch_ms: Some(watch_ms),
                duration_ms: Some(30_000),
                scene: "".into(),
                market: "".into(),
                creator_id: CreatorId::parse(&format!("c{creator}"))
                    .ok()
                    .filter(|_| creator > 0),
                undo: undo && matches!(kind, EventKind::Hide),
                recommendation_id: "".into(),
                slate_position: None,
                arms: "".into(),
                made: None,
            })
    }

    fn applied(events: &[Event]) -> UserState {
        let mut state = UserState::default();
        for event in events {
            apply_event(&mut state, event);
        }
        state
    }

    proptest! {
        #[test]
        fn joining_states_is_joining_their_events(
            here in prop::collection::vec(event(), 0..30),
            there in prop::collection::vec(event(), 0..30),
        ) {
            let mut joined = applied(&here);
            let changed = join_state(&mut joined, &applied(&there));
            let all = applied(&[here.clone(), there].concat());
            prop_assert_eq!(&joined, &all);
            prop_assert_eq!(changed, joined != applied(&here));
            let before = joined.clone();
            prop_assert!(!join_state(&mut joined, &before), "a state joined with itself is itself");
        }

        #[test]
        fn nothing_from_before_the_tombstone_returns(there in prop::collection::vec(event(), 0..30)) {
            let mut gone = UserState { tombstone_ms: Some(5_100_000), ..UserState::default() };
            prop_assert!(!join_state(&mut gone, &applied(&there)));
        }
    }
}
