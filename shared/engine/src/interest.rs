//! How much an interaction says that the user liked the video.
//!
//! The night and the request ask the same function, so that what is learned is what is served.

use crate::EventKind;

/// What is known of one meeting of a user and a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meeting {
    /// The strongest thing that happened.
    pub kind: EventKind,
    /// Share watched, 0 to 1; 1 where nothing was measured but interest is certain.
    pub watch_ratio: f32,
    /// Length of the video; 0 when not known.
    pub duration_ms: u32,
}

/// Interest in a meeting, 0 (none) to 1; `long_view_ms` is the threshold of a long view.
///
/// A reaction is worth 1. A click or watch is worth 1 when it was a long view or was not measured,
/// else nothing: a click that was soon left says no more than an impression.
#[must_use]
pub fn interest(meeting: Meeting, long_view_ms: u32) -> f32 {
    match meeting.kind {
        EventKind::Like | EventKind::Share | EventKind::Follow | EventKind::Comment => 1.0,
        EventKind::Click | EventKind::Watch => {
            let ratio = meeting.watch_ratio.clamp(0.0, 1.0);
            let watched_ms = ratio * meeting.duration_ms as f32;
            if ratio >= 0.999 || watched_ms >= long_view_ms as f32 {
                1.0
            } else {
                0.0
            }
        }
        EventKind::Impression
        | EventKind::Skip
        | EventKind::Hide
        | EventKind::Served
        | EventKind::Exposure => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_or_unmeasured_views_and_reactions_count() {
        let cases = [
            (EventKind::Like, 0.0, 0, 1.0),
            (EventKind::Click, 1.0, 0, 1.0),
            (EventKind::Click, 0.2, 60_000, 0.0),
            (EventKind::Watch, 0.3, 60_000, 1.0),
            (EventKind::Watch, 0.29, 60_000, 0.0),
            (EventKind::Watch, 1.0, 5_000, 1.0),
            (EventKind::Watch, f32::NAN, 5_000, 0.0),
            (EventKind::Skip, 1.0, 5_000, 0.0),
            (EventKind::Impression, 1.0, 0, 0.0),
        ];
        for (kind, watch_ratio, duration_ms, expected) in cases {
            let meeting = Meeting {
                kind,
                watch_ratio,
                duration_ms,
            };
            assert!(
                (interest(meeting, 18_000) - expected).abs() < 1e-6,
                "{meeting:?}"
            );
        }
    }
}
