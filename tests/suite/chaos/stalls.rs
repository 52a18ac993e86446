//! All dependencies accept and never answer.

use std::cell::Cell;
use std::time::Duration;

use tests::{Call, Fault, Mode, Rule};

use super::Pace;
use super::cloud::REOPENED;
use super::row::{Matrix, ms};
use super::world::World;

/// What a request may take, and what the promise adds for everything around it.
const DEADLINE: Duration = Duration::from_millis(200);
const SLACK: Duration = Duration::from_millis(20);
/// Connections that pools may keep open besides.
const DESCRIPTORS_SLACK: usize = 16;
/// Looks, 0.7 s apart, until a short run is as before: the SDK's pools look every 15 s for connections
/// that were idle for 15 s, so that the last is closed after 30 s.
const CATCHING_UP: usize = 44;
/// Where a fault lasts no longer than a moment, a breaker does neither.
const SHORT: &str = r#"{"guard":{"breaker":{"open_ms":500}}}"#;

/// Once with nothing asked after healing, to see what is left; once with the load going on, to see
/// when everything is as before.
pub(super) async fn everything(world: &World, pace: Pace, matrix: &mut Matrix) {
    if !pace.full {
        world.retune(SHORT).await;
    }
    leaves_nothing(world, pace, matrix).await;
    recovers(world, pace, matrix).await;
}

/// Every dependency of a world stops answering.
pub(super) async fn come(world: &World) {
    let (stub, proxy) = world.aws.as_ref().unwrap();
    stub.plant(Rule::on_everything(Fault::Stall));
    world.redis_proxy.set(Mode::Stall).await.unwrap();
    proxy.set(Mode::Stall).await.unwrap();
}

/// They answer again.
pub(super) async fn go(world: &World) {
    let (stub, proxy) = world.aws.as_ref().unwrap();
    stub.heal();
    world.redis_proxy.set(Mode::Pass).await.unwrap();
    proxy.set(Mode::Pass).await.unwrap();
}

async fn leaves_nothing(world: &World, pace: Pace, matrix: &mut Matrix) {
    let at_rest = world.baseline().await;
    let span = pace.span(30);
    let fault = "everything accepts and never answers";
    let stalled = world.under_until(fault, span, Duration::ZERO, || come(world), || go(world));
    let (mut row, timer) = tokio::join!(stalled, bare_timer(span));
    // Everything was healed a moment ago.
    let mut after = world.baseline().await;
    let tasks = at_rest.tasks + 1.0;
    // Up to a second after healing, which a process that measures itself five times a second says 0.2 s
    // later: what comes by itself now and then may just be there.
    for _ in 0..5 {
        if after.tasks <= tasks && after.flights == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        after = world.look().await;
    }
    let bound = at_rest.descriptors + DESCRIPTORS_SLACK;
    // A debug build is still catching up then, and a pool keeps what that took while it may be used.
    for _ in 0..CATCHING_UP {
        if pace.full || after.descriptors <= bound {
            break;
        }
        after = world.baseline().await;
    }
    assert!(after.tasks <= tasks, "{after:?} {at_rest:?}");
    assert_eq!(after.flights, 0.0);
    assert!(after.descriptors <= bound, "{after:?} {at_rest:?}");
    let (p99, bound) = (row.report.latency(99.0), DEADLINE + timer);
    row.note = format!(
        "p99 {:.1} ms against {:.1} ms, the deadline of 200 ms and a bare timer's own p99 beside it ({}); {} answers later than 220 ms; within a second of healing tasks {} (before {}), loads {}, descriptors {} (before {})",
        ms(p99),
        ms(bound),
        if p99 <= bound { "met" } else { "missed" },
        row.report.later_than(DEADLINE + SLACK),
        after.tasks,
        at_rest.tasks,
        after.flights,
        after.descriptors,
        at_rest.descriptors
    );
    matrix.add(row);
}

async fn recovers(world: &World, pace: Pace, matrix: &mut Matrix) {
    let (stub, _) = world.aws.as_ref().unwrap();
    let reads = || stub.calls(Call::GetItem) + stub.calls(Call::BatchGetItem);
    let healed = Cell::new(0);
    let come = || async {
        // Else Redis would say that every slate still holds, and no table would be asked again.
        world.empty_redis().await;
        come(world).await;
    };
    let go = || async {
        healed.set(reads());
        go(world).await;
    };
    let (fault, after) = ("the same, and asked on", pace.span(REOPENED));
    let row = world.under_until(fault, pace.span(10), after, come, go);
    let mut row = row.await;
    let (redis, reads) = (row.traffic.after.redis, reads() - healed.get());
    assert!(redis > 0 && reads > 0, "{redis} trips, {reads} reads");
    if pace.full {
        assert!(
            row.recovered_after().is_some(),
            "not as before after {REOPENED} s"
        );
    }
    row.note = format!("once it was over {redis} round trips to Redis and {reads} reads of rows");
    matrix.add(row);
}

/// How late a wait of 200 ms ends where nothing else is done, at the 99th percentile.
async fn bare_timer(span: Duration) -> Duration {
    let load = tests::Load {
        rate_per_s: 50,
        span,
    };
    let report = load.run(|_| async {
        tokio::time::sleep(DEADLINE).await;
        tests::Sample::Valid(String::new())
    });
    report.await.unwrap().latency(99.0).saturating_sub(DEADLINE)
}
