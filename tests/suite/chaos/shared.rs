//! Redis fails in every way; storage is embedded and well.

use std::cell::Cell;
use std::time::Duration;

use guard::Clock;
use tests::Mode;
use tests::servers::Signal;

use super::Pace;
use super::row::{Matrix, Row, ms};
use super::world::World;

/// What a Redis says that is there and of no use.
const ANSWERS: [(&str, &str); 5] = [
    (
        "READONLY",
        "-READONLY You can't write against a read only replica.\r\n",
    ),
    (
        "LOADING",
        "-LOADING Redis is loading the dataset in memory\r\n",
    ),
    ("NOAUTH", "-NOAUTH Authentication required.\r\n"),
    (
        "WRONGPASS",
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
    ),
    ("MOVED", "-MOVED 3999 127.0.0.1:1\r\n"),
];

/// So many for 60 s without an error bound the share of errors below 0.003 % with 95 % confidence.
const SHOWING_PER_S: u32 = 1_700;
/// What the promise allows while Redis is away.
const P99_MAX: Duration = Duration::from_millis(200);
/// How long the load goes on once Redis is back.
const AFTER_RETURN: Duration = Duration::from_secs(10);

pub(super) async fn faults(pace: Pace, matrix: &mut Matrix) {
    let mut world = World::start(pace, false).await;
    world.warm().await;
    let at_rest = world.baseline().await;

    let none = world
        .under_redis("none (embedded storage, Redis)", pace.span(20), Mode::Pass)
        .await;
    assert!(
        none.traffic.in_all.redis > 0,
        "personal slates are confirmed by Redis"
    );
    matrix.add(none);

    matrix.add(stands_still(&world, "Redis frozen (SIGSTOP)", pace.span(20)).await);
    matrix.add(stays_personal(
        world
            .under_redis(
                "Redis accepts and never answers",
                pace.span(20),
                Mode::Stall,
            )
            .await,
    ));
    for (fault, mode) in [
        ("Redis resets every connection", Mode::Reset),
        (
            "Redis slow: 20 ± 10 ms",
            Mode::Latency {
                each: Duration::from_millis(20),
                jitter: Duration::from_millis(10),
            },
        ),
        (
            "Redis at 20 kB/s",
            Mode::Bandwidth {
                bytes_per_s: 20_000,
            },
        ),
        (
            "Redis in slices of 100 bytes, 5 ms apart",
            Mode::Slice {
                bytes: 100,
                every: Duration::from_millis(5),
            },
        ),
        (
            "Redis closes after 20 kB",
            Mode::CloseAfter { bytes: 20_000 },
        ),
    ] {
        if pace.full || mode == Mode::Reset {
            matrix.add(stays_personal(
                world.under_redis(fault, pace.span(20), mode).await,
            ));
        }
    }
    for (name, answer) in ANSWERS {
        if pace.full || name == "READONLY" {
            let fault = format!("Redis answers {name}");
            let row = world
                .under_redis(&fault, pace.span(20), Mode::Answer(answer))
                .await;
            matrix.add(stays_personal(row));
        }
    }

    matrix.add(killed(&mut world, pace).await);
    let back = world
        .under_redis("none, after that", pace.span(10), Mode::Pass)
        .await;
    assert!(back.traffic.in_all.redis > 0, "it is used again");
    matrix.add(back);

    let after = world.baseline().await;
    // The second connection to Redis, two tasks, is dialled when calls first overlap.
    assert!(after.tasks <= at_rest.tasks + 2.0, "{after:?} {at_rest:?}");
    assert_eq!(after.flights, 0.0);
    matrix.note(format!(
        "embedded storage, after all faults of Redis: tasks {} (before {}), loads in flight {}, descriptors {} (before {})",
        after.tasks, at_rest.tasks, after.flights, after.descriptors, at_rest.descriptors
    ));
}

/// Redis dies for a minute and comes back empty, under as many requests as the promise takes to show.
async fn killed(world: &mut World, pace: Pace) -> Row {
    let rate = if pace.full {
        pace.rate_per_s.max(SHOWING_PER_S)
    } else {
        pace.rate_per_s
    };
    let usual = world.offer(rate);
    let back = Cell::new(None);
    let world_now = &*world;
    let kill = || async move {
        world_now.redis_proxy.set(Mode::Refuse).await.unwrap();
        world_now.redis.lock().await.stop().await.unwrap();
    };
    let restart = || async {
        let hits = world_now.redis_hits().await;
        world_now.redis.lock().await.restart().await.unwrap();
        world_now.redis_proxy.set(Mode::Pass).await.unwrap();
        let clock = ops::RealClock::new();
        let healed = clock.now().mono;
        while world_now.redis_hits().await <= hits && clock.now().mono - healed < AFTER_RETURN {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        back.set(Some(clock.now().mono - healed));
    };
    let fault = "Redis killed, then back and empty";
    let row = world_now.under_until(fault, pace.span(60), AFTER_RETURN, kill, restart);
    let mut row = stays_personal(row.await);
    world.offer(usual);
    let back = back.get().unwrap_or(AFTER_RETURN);
    assert!(back < AFTER_RETURN, "Redis is not used again");
    let (p99, errors) = (row.report.latency(99.0), row.report.error_share_bound());
    if pace.full {
        assert!(errors < 0.000_03, "{errors}: too few requests or an error");
    }
    row.note = format!(
        "{rate} requests/s; p99 {:.1} ms of 200 ({}); first answer with Redis' word {:.2} s after it was back",
        ms(p99),
        if p99 <= P99_MAX { "met" } else { "missed" },
        back.as_secs_f64()
    );
    row
}

/// Without Redis the origin answers: personal, and within what Redis is waited for.
fn stays_personal(row: Row) -> Row {
    let all = row.report.valid;
    let personal = row
        .report
        .labels
        .iter()
        .filter(|(label, _)| label.starts_with("personal"));
    let personal: u64 = personal.map(|(_, count)| count).sum();
    // A debug build on a busy machine may be too slow for its own deadline now and then.
    assert!(
        personal * 100 >= all * 80,
        "{}: {:?}",
        row.fault,
        row.report.labels
    );
    row
}

async fn stands_still(world: &World, fault: &str, span: Duration) -> Row {
    let signal = |signal| async move { world.redis.lock().await.signal(signal).unwrap() };
    let row = world
        .under(
            fault,
            span,
            || signal(Signal::Freeze),
            || signal(Signal::Thaw),
        )
        .await;
    stays_personal(row)
}
