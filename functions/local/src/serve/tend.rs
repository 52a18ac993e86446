//! What goes on beside the requests until the process is told to stop, each in a task of its own: a
//! stream or a table that stalls holds up nothing else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use guard::{Clock, Deadline};
use store::Outbox;
use tokio_util::sync::CancellationToken;

use crate::service::Service;

/// How often what ages is looked at. Well under the second that tuning may take to arrive.
const TICK: Duration = Duration::from_millis(200);
/// How often the outbox is looked at: at 2,100 answers a second, the original's peak of events, it
/// fills in a quarter of one.
const SEND_EVERY: Duration = Duration::from_millis(50);
/// How often rows that have expired are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// How often the log hears what its consumers have applied: a full one refuses events until then.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// How long one removal may take.
const SWEEP_BUDGET: Duration = Duration::from_secs(60);
/// How long the flushes of one look may take.
const FLUSH_BUDGET: Duration = Duration::from_secs(5);

/// Starts everything; it ends when `stop` is cancelled. Nobody waits for `served` events: where there is
/// more to answer than can be answered, a core that packs and syncs 20 of them an answer would refuse
/// twice as many.
pub(super) fn start(service: &Arc<Service>, stop: &CancellationToken) {
    let (outbox, clock) = (&service.serving.outbox, &service.clock);
    let (prompt, behind) = (&service.slates, &service.background);
    let all = [
        (prompt, refresh(Arc::clone(service)).boxed()),
        (
            behind,
            send_served(Arc::clone(outbox), Arc::clone(clock)).boxed(),
        ),
        (behind, sweep(Arc::clone(service)).boxed()),
        (behind, expire_records(Arc::clone(service)).boxed()),
        (behind, ops::metric::upkeep().boxed()),
    ];
    for (tasks, one) in all {
        tasks.spawn(stop.clone().run_until_cancelled_owned(one));
    }
}

/// Keeps fresh what ages.
async fn refresh(service: Arc<Service>) {
    let mut every = tokio::time::interval(TICK);
    loop {
        every.tick().await;
        service.serving.upkeep.pass();
        service.measure();
    }
}

/// Sends `served` events off as soon as they are due, and on while a whole flush of them waits.
async fn send_served(outbox: Arc<Outbox>, clock: Arc<dyn Clock>) {
    let mut every = tokio::time::interval(SEND_EVERY);
    loop {
        every.tick().await;
        let deadline = Deadline::after(Arc::clone(&clock), FLUSH_BUDGET);
        outbox.tend(&deadline).await;
    }
}

/// Removes rows whose time has come.
async fn sweep(service: Arc<Service>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let deadline = service.deadline(SWEEP_BUDGET);
        service.backend.sweep(&deadline).await;
    }
}

/// Removes records whose time has come and that every consumer has applied.
async fn expire_records(service: Arc<Service>) {
    let mut every = tokio::time::interval(EXPIRE_EVERY);
    loop {
        every.tick().await;
        let deadline = service.deadline(SWEEP_BUDGET);
        service.backend.expire_records(&deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use embedded::EmbeddedStream;
    use engine::{UserId, VideoId};
    use guard::ManualClock;
    use store::outbox::{FLUSH_EVENTS_MAX, OUTBOX_EVENTS_MAX, ServedAnswer, ServedPage};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_outbox_is_empty_within_a_tick() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(0));
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedStream::open(folder.path(), 1).unwrap();
        let outbox = Arc::new(Outbox::new(Arc::new(log), Arc::clone(&clock)));
        let page = Arc::new(ServedPage {
            user_id: UserId::parse("u").unwrap(),
            slate_id: "s".into(),
            scene: "home".into(),
            market: "".into(),
            arms: "".into(),
            generation: "".into(),
            items: vec![(0, VideoId::parse("v").unwrap(), 1.0); 20],
        });
        for number in 0..OUTBOX_EVENTS_MAX / page.items.len() {
            let answer = ServedAnswer {
                number: number as u128,
                ts_ms: 0,
                page: Arc::clone(&page),
            };
            assert_eq!(outbox.offer(answer), 0);
        }
        let sending = send_served(Arc::clone(&outbox), clock);
        assert!(tokio::time::timeout(SEND_EVERY / 2, sending).await.is_err());
        let left = outbox.counts().waiting;
        assert!(left < FLUSH_EVENTS_MAX as u64, "{left} wait");
    }
}
