//! Impressions of a stretch of time, and what came of each.

use engine::EventKind;

use super::log::{Deed, Log};

/// What a user does this long after an impression answers it; a second impression of the same video
/// within it is the same one.
const ANSWER_MS: i64 = 3_600_000;

/// One impression. Numbers are the log's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) ts_ms: i64,
    pub(super) user: u32,
    pub(super) video: u32,
    pub(super) scene: u32,
    pub(super) slate: u32,
    pub(super) position: u16,
    pub(super) clicked: bool,
    pub(super) long_view: bool,
}

impl Shown {
    /// Whether it was right to show it: a long view, or a click where none was measured at all.
    pub(super) fn right(&self, long_views: bool) -> bool {
        if long_views {
            self.long_view
        } else {
            self.clicked
        }
    }
}

/// Impressions after `from_ms`, up to and with `to_ms`, ordered by user and time.
pub(super) fn shown_in(log: &Log, from_ms: i64, to_ms: i64) -> Vec<Shown> {
    let within = |deed: &&Deed| from_ms < deed.ts_ms && deed.ts_ms <= to_ms;
    let mut deeds: Vec<Deed> = log.deeds().iter().filter(within).copied().collect();
    deeds.sort_unstable_by_key(|deed| {
        let place = (deed.scene, deed.position, deed.slate);
        (deed.user, deed.video, deed.ts_ms, deed.kind, place)
    });
    let mut all = Vec::new();
    for met in deeds.chunk_by(|a, b| (a.user, a.video) == (b.user, b.video)) {
        let first = all.len();
        for deed in met {
            let open = all.get_mut(first..).and_then(<[Shown]>::last_mut);
            let open = open.filter(|open| deed.ts_ms - open.ts_ms <= ANSWER_MS);
            match (open, deed.kind) {
                (None, EventKind::Impression) => all.push(Shown {
                    ts_ms: deed.ts_ms,
                    user: deed.user,
                    video: deed.video,
                    scene: deed.scene,
                    slate: deed.slate,
                    position: deed.position,
                    clicked: false,
                    long_view: false,
                }),
                (Some(open), EventKind::Click) => open.clicked = true,
                (Some(open), EventKind::Watch) => open.long_view |= deed.long_view,
                _ => {}
            }
        }
    }
    all.sort_unstable_by_key(|shown| (shown.user, shown.ts_ms, shown.video));
    all
}
