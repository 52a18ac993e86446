//! How an event becomes state: a join, so that order and repetition do not matter.
//!
//! Each list is a map from what it is about to its newest time, cut to the newest N by (time, id).
//! Cutting such a map commutes with adding to it. Two things are exact only while nothing was cut:
//! the strongest kind of a video that fell out and came back counts from its return, and a hide
//! that was pushed out does not come back when a newer one is undone. One more is deliberately
//! rough: a like or follow that was taken back counts as a click, whatever it had covered.

use engine::event::LONG_VIEW_MS;
use engine::user::{HIDDEN_MAX, RECENT_MAX, SEEN_MAX, UNDONE_MAX};
use engine::{Event, EventKind, Interaction, Profile, Undone, UserState};

mod whole;

pub use whole::join_state;

const MINUTE_MS: i64 = 60_000;

/// Joins one event into the state; says whether anything changed.
///
/// Events from before the tombstone and events that are not the user's doing (`served`,
/// `exposure`) change nothing.
pub fn apply_event(state: &mut UserState, event: &Event) -> bool {
    if state
        .tombstone_ms
        .is_some_and(|gone_ms| event.ts_ms <= gone_ms)
    {
        return false;
    }
    let changed = match (event.kind, event.undo) {
        (EventKind::Served | EventKind::Exposure, _) => return false,
        (EventKind::Impression, false) => meet(state, event),
        (EventKind::Hide, false) => meet(state, event) | hide(state, event),
        (EventKind::Hide, true) => show_again(state, event),
        (EventKind::Like | EventKind::Follow, true) => take_back(state, event),
        (_, true) => return false,
        (_, false) => meet(state, event) | interact(state, event),
    };
    let newer = event.ts_ms > state.updated_ms;
    state.updated_ms = state.updated_ms.max(event.ts_ms);
    changed | newer
}

/// Takes over what the T+1 batch found in events up to `as_of_ms`; says whether anything changed.
///
/// A user who was deleted since keeps nothing of it.
pub fn apply_profile(state: &mut UserState, profile: &Profile, as_of_ms: i64) -> bool {
    let gone = state
        .tombstone_ms
        .is_some_and(|gone_ms| as_of_ms <= gone_ms);
    if gone || state.profile.as_ref() == Some(profile) {
        return false;
    }
    state.profile = Some(profile.clone());
    true
}

/// Remembers the event's video as met.
fn meet(state: &mut UserState, event: &Event) -> bool {
    meet_at(
        state,
        UserState::seen_hash(event.video_id.as_str()),
        minute_of(event.ts_ms),
    )
}

fn minute_of(ts_ms: i64) -> u32 {
    u32::try_from(ts_ms.div_euclid(MINUTE_MS).max(0)).unwrap_or(u32::MAX)
}

/// Remembers a video as met in that minute.
fn meet_at(state: &mut UserState, hash: u32, minute: u32) -> bool {
    let (seen, seen_min) = (&mut state.seen, &mut state.times.seen_min);
    seen_min.resize(seen.len(), 0);
    if let Some(at) = seen.iter().position(|met| *met == hash) {
        if seen_min.get(at).is_some_and(|met| *met >= minute) {
            return false;
        }
        seen.remove(at);
        seen_min.remove(at);
    }
    let older = |(met_min, met): (&u32, &u32)| (*met_min, *met) < (minute, hash);
    let at = seen_min
        .iter()
        .zip(seen.iter())
        .rposition(older)
        .map_or(0, |at| at + 1);
    if at == 0 && seen.len() >= SEEN_MAX {
        return false;
    }
    seen.insert(at, hash);
    seen_min.insert(at, minute);
    let surplus = seen.len().saturating_sub(SEEN_MAX);
    seen.drain(..surplus);
    seen_min.drain(..surplus);
    true
}

/// Remembers what the user did with the video: the strongest thing, at the newest time.
fn interact(state: &mut UserState, event: &Event) -> bool {
    let entry = Interaction {
        video_id: event.video_id.clone(),
        kind: event.kind,
        ts_ms: event.ts_ms,
        watch_ratio: watch_ratio(event),
    };
    remember(state, entry)
}

/// Joins an interaction with what is remembered of its video.
fn remember(state: &mut UserState, mut entry: Interaction) -> bool {
    let target = UserState::seen_hash(entry.video_id.as_str());
    if undone_ms(state, entry.kind, target) > Some(entry.ts_ms) {
        entry.kind = EventKind::Click;
    }
    let recent = &mut state.recent;
    if let Some(at) = recent.iter().position(|met| met.video_id == entry.video_id) {
        let met = recent.remove(at);
        let stronger = |a: &Interaction, b: &Interaction| {
            let kinds = strength(a.kind).cmp(&strength(b.kind));
            kinds
                .then_with(|| a.watch_ratio.total_cmp(&b.watch_ratio))
                .is_gt()
        };
        if stronger(&met, &entry) {
            (entry.kind, entry.watch_ratio) = (met.kind, met.watch_ratio);
        }
        entry.ts_ms = entry.ts_ms.max(met.ts_ms);
        let same = entry == met;
        insert(recent, entry);
        return !same;
    }
    let changed = insert(recent, entry);
    let surplus = recent.len().saturating_sub(RECENT_MAX);
    recent.drain(..surplus);
    changed
}

/// Puts an entry at its place by (time, video); says whether it is not about to be cut again.
fn insert(recent: &mut Vec<Interaction>, entry: Interaction) -> bool {
    let older = |met: &Interaction| (met.ts_ms, &met.video_id) < (entry.ts_ms, &entry.video_id);
    let at = recent.iter().rposition(older).map_or(0, |at| at + 1);
    recent.insert(at, entry);
    at > 0 || recent.len() <= RECENT_MAX
}

/// Weakest first. A skip says more than a click, a measured watch more than both.
fn strength(kind: EventKind) -> u8 {
    match kind {
        EventKind::Impression | EventKind::Served | EventKind::Exposure | EventKind::Hide => 0,
        EventKind::Click => 1,
        EventKind::Skip => 2,
        EventKind::Watch => 3,
        EventKind::Comment => 4,
        EventKind::Share => 5,
        EventKind::Follow => 6,
        EventKind::Like => 7,
    }
}

/// The share watched; without a known length, the share of a long view.
fn watch_ratio(event: &Event) -> f32 {
    let length_ms = event
        .duration_ms
        .filter(|ms| *ms > 0)
        .unwrap_or(LONG_VIEW_MS);
    match (event.kind, event.watch_ms) {
        (EventKind::Click | EventKind::Watch | EventKind::Skip, Some(watched_ms)) => {
            (f64::from(watched_ms) / f64::from(length_ms)).min(1.0) as f32
        }
        (EventKind::Skip, None) => 0.0,
        _ => 1.0,
    }
}

/// Never shows the video again, nor its creator's where the event names one.
fn hide(state: &mut UserState, event: &Event) -> bool {
    let (video, creator) = targets(event);
    let ts_ms = event.ts_ms;
    let mut changed = false;
    if undone_ms(state, EventKind::Hide, video) <= Some(ts_ms) {
        let times = &mut state.times.hidden_videos_ms;
        changed |= raise(&mut state.hidden_videos, times, &event.video_id, ts_ms);
    }
    if let Some((creator_id, creator)) = event.creator_id.as_ref().zip(creator)
        && undone_ms(state, EventKind::Hide, creator) <= Some(ts_ms)
    {
        let times = &mut state.times.hidden_creators_ms;
        changed |= raise(&mut state.hidden_creators, times, creator_id, ts_ms);
    }
    changed
}

/// Undoes earlier hides of the video, and of the creator where the event names one.
fn show_again(state: &mut UserState, event: &Event) -> bool {
    let (video, creator) = targets(event);
    let ts_ms = event.ts_ms;
    let mut changed = remember_undone(state, EventKind::Hide, video, ts_ms);
    let times = &mut state.times.hidden_videos_ms;
    changed |= lower(&mut state.hidden_videos, times, &event.video_id, ts_ms);
    if let Some((creator_id, creator)) = event.creator_id.as_ref().zip(creator) {
        changed |= remember_undone(state, EventKind::Hide, creator, ts_ms);
        let times = &mut state.times.hidden_creators_ms;
        changed |= lower(&mut state.hidden_creators, times, creator_id, ts_ms);
    }
    changed
}

/// Takes back a like or follow: what is left of it is that the video was opened.
fn take_back(state: &mut UserState, event: &Event) -> bool {
    let target = UserState::seen_hash(event.video_id.as_str());
    let changed = remember_undone(state, event.kind, target, event.ts_ms);
    let meant = |met: &&mut Interaction| {
        met.video_id == event.video_id && met.kind == event.kind && met.ts_ms < event.ts_ms
    };
    match state.recent.iter_mut().find(meant) {
        Some(met) => {
            met.kind = EventKind::Click;
            true
        }
        None => changed,
    }
}

/// The hashes under which undoing remembers the video and the creator; `/` is in no id, so the two
/// never mean each other.
fn targets(event: &Event) -> (u32, Option<u32>) {
    let video = UserState::seen_hash(event.video_id.as_str());
    let creator = event.creator_id.as_ref();
    (
        video,
        creator.map(|creator| UserState::seen_hash(&format!("creator/{creator}"))),
    )
}

fn undone_ms(state: &UserState, kind: EventKind, target: u32) -> Option<i64> {
    let undone = state.times.undone.iter();
    undone
        .filter(|undone| (undone.kind, undone.target) == (kind, target))
        .map(|u| u.ts_ms)
        .max()
}

fn remember_undone(state: &mut UserState, kind: EventKind, target: u32, ts_ms: i64) -> bool {
    if undone_ms(state, kind, target) >= Some(ts_ms) {
        return false;
    }
    let undone = &mut state.times.undone;
    undone.retain(|undone| (undone.kind, undone.target) != (kind, target));
    undone.push(Undone {
        kind,
        target,
        ts_ms,
    });
    undone.sort_by_key(|undone| (undone.ts_ms, undone.kind, undone.target));
    let surplus = undone.len().saturating_sub(UNDONE_MAX);
    undone.drain(..surplus);
    true
}

/// Puts `id` into a list ordered by (time, id), or raises its time; says whether that changed it.
fn raise<T: Clone + Ord>(ids: &mut Vec<T>, times_ms: &mut Vec<i64>, id: &T, ts_ms: i64) -> bool {
    times_ms.resize(ids.len(), 0);
    if let Some(at) = ids.iter().position(|listed| listed == id) {
        if times_ms
            .get(at)
            .is_some_and(|listed_ms| *listed_ms >= ts_ms)
        {
            return false;
        }
        ids.remove(at);
        times_ms.remove(at);
    }
    let older = |(listed_ms, listed): (&i64, &T)| (*listed_ms, listed) < (ts_ms, id);
    let at = times_ms
        .iter()
        .zip(ids.iter())
        .rposition(older)
        .map_or(0, |at| at + 1);
    if at == 0 && ids.len() >= HIDDEN_MAX {
        return false;
    }
    ids.insert(at, id.clone());
    times_ms.insert(at, ts_ms);
    let surplus = ids.len().saturating_sub(HIDDEN_MAX);
    ids.drain(..surplus);
    times_ms.drain(..surplus);
    true
}

/// Takes `id` out of the list unless it came in at `ts_ms` or later; says whether it was there.
fn lower<T: PartialEq>(ids: &mut Vec<T>, times_ms: &mut Vec<i64>, id: &T, ts_ms: i64) -> bool {
    times_ms.resize(ids.len(), 0);
    let Some(at) = ids.iter().position(|listed| listed == id) else {
        return false;
    };
    if times_ms
        .get(at)
        .is_some_and(|listed_ms| *listed_ms >= ts_ms)
    {
        return false;
    }
    ids.remove(at);
    times_ms.remove(at);
    true
}

#[cfg(test)]
mod tests;
