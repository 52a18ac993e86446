//! A look at a lower step of the ladder while all is well, so that it is tried before it is needed.

use guard::Deadline;
use ops::metric;
use store::{Ask, Kind, Who};

use crate::app::App;
use crate::page::Page;

/// Of so many personal and cohort answers one is compared: 0.2 %, twice what is promised, so that
/// chance does not bring it below.
pub(crate) const ONE_IN: u64 = 500;

/// Whether the answer of this number is compared; everybody's slate stands on the lowest step itself.
pub(crate) fn is_due(ask: &Ask, number: u128) -> bool {
    let is_lowest = ask.kind != Kind::Recommend || ask.who == Who::Anyone;
    // Half of a random number is one.
    !is_lowest && (number as u64).is_multiple_of(ONE_IN)
}

/// Makes the market's trending for one answer in [`ONE_IN`], as an outage would, and compares it
/// with the page that is served.
pub(crate) async fn probe(
    app: &App,
    ask: &Ask,
    page: &Page<'_>,
    number: u128,
    deadline: &Deadline,
) {
    if !is_due(ask, number) || !deadline.allows_stage() {
        return;
    }
    let below = app.tiered.slate(ask.for_whom(Who::Anyone), deadline).await;
    let items = &below.slate.items;
    let outcome = match below.slate.rung {
        engine::Rung::Builtin => "builtin",
        _ if items.len() < page.items.len() => "short",
        _ => "whole",
    };
    metrics::counter!(metric::LADDER_PROBES, "outcome" => outcome).increment(1);
    let first = items.get(..page.items.len()).unwrap_or(items);
    let same = |video: &engine::VideoId| first.iter().any(|item| item.video_id == *video);
    let shared = page.items.iter().filter(|(_, item)| same(&item.video_id));
    let shared = shared.count() as u64;
    let own = page.items.len() as u64 - shared;
    metrics::counter!(metric::LADDER_PROBE_ITEMS, "also" => "trending").increment(shared);
    metrics::counter!(metric::LADDER_PROBE_ITEMS, "also" => "none").increment(own);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_answer_in_a_thousand_is_compared() {
        let ids = web::Ids::seeded(7);
        let ask = Ask::new(Who::Cohort(store::Cohort::new(1)), Kind::Recommend);
        for day in 0..10 {
            let due = (0..100_000).filter(|_| is_due(&ask, ids.number())).count();
            assert!((100..400).contains(&due), "day {day}: {due} of 100,000");
        }
    }
}
