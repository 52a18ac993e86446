//! What left the building, told to the stream; nobody waits for it.

use engine::UserId;
use smol_str::SmolStr;
use store::Outbox;
use store::outbox::ServedAnswer;

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
    /// The generation the slate was made from.
    pub generation: &'a SmolStr,
    /// When, Unix time in milliseconds.
    pub ts_ms: i64,
    /// Differs for every answer.
    pub answer: u128,
}

impl Served<'_> {
    /// Offers one event per item; what does not fit is lost and counted.
    pub fn offer(&self, page: &Page<'_>, outbox: &Outbox) {
        let items = page.items.iter();
        outbox.offer(page.items.len(), || ServedAnswer {
            number: self.answer,
            user_id: self.user.clone(),
            slate_id: self.slate_id.clone(),
            scene: self.scene.clone(),
            market: self.market.clone(),
            arms: SmolStr::default(),
            ts_ms: self.ts_ms,
            generation: self.generation.clone(),
            items: items
                .map(|(place, item)| (*place, item.video_id.clone(), item.propensity))
                .collect(),
        });
    }
}
