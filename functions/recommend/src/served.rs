//! What left the building, told to the stream; nobody waits for it.

use engine::{Event, EventKind, UserId};
use smol_str::{SmolStr, format_smolstr};
use store::Outbox;

use crate::page::Page;

/// Where a page went.
pub(crate) struct Served<'a> {
    /// Whose it is.
    pub user: &'a UserId,
    /// The slate it was cut from.
    pub slate_id: &'a SmolStr,
    /// The place in the product.
    pub scene: &'a SmolStr,
    /// The viewer's country.
    pub market: &'a SmolStr,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// Differs for every answer.
    pub answer: u128,
}

impl Served<'_> {
    /// Offers one event per item; what does not fit is lost and counted.
    pub fn offer(&self, page: &Page<'_>, outbox: &Outbox) {
        let events = page.items.iter().map(|(place, item)| Event {
            event_id: format_smolstr!("{:032x}-{place}", self.answer),
            kind: EventKind::Served,
            user_id: self.user.clone(),
            video_id: item.video_id.clone(),
            ts_ms: self.ts_ms,
            watch_ms: None,
            duration_ms: None,
            scene: self.scene.clone(),
            market: self.market.clone(),
            creator_id: None,
            undo: false,
            recommendation_id: self.slate_id.clone(),
            slate_position: Some(*place),
            arms: SmolStr::default(),
        });
        outbox.offer(events.collect());
    }
}
