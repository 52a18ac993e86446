//! The load generator proves itself, in paused time.

use std::sync::Arc;
use std::time::Duration;

use guard::Clock;
use ops::RealClock;
use tests::load::poisson_bound;
use tests::{Load, Report, Sample};
use tokio::sync::watch;

const MS: Duration = Duration::from_millis(1);

async fn against<Ended>(load: Load, call: impl Fn(u64) -> Ended) -> Report
where
    Ended: Future<Output = Sample> + Send + 'static,
{
    load.run(call).await.unwrap()
}

fn good() -> Sample {
    Sample::Valid("good".into())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stands_still_for_one_second_in_thirty_shows_in_the_99th_percentile() {
    // Stopped from 10 s to 11 s; whoever asks then waits for the rest of that second.
    let clock = Arc::new(RealClock::new());
    let start = clock.now().mono;
    let load = Load {
        rate_per_s: 500,
        span: Duration::from_secs(30),
    };
    let report = against(load, |_| {
        let clock = Arc::clone(&clock);
        async move {
            let since = clock.now().mono - start;
            if (10_000 * MS..11_000 * MS).contains(&since) {
                tokio::time::sleep(11_000 * MS - since).await;
            }
            good()
        }
    });
    let report = report.await;
    let p99 = report.latency(99.0);
    assert!((690 * MS..=710 * MS).contains(&p99), "{p99:?}");
    assert_eq!((report.sent, report.valid), (15_000, 15_000));
    assert!(!report.is_void());
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_of_twenty_milliseconds_reads_twenty() {
    let load = Load {
        rate_per_s: 200,
        span: Duration::from_secs(5),
    };
    let report = against(load, |_| async {
        tokio::time::sleep(20 * MS).await;
        good()
    });
    let report = report.await;
    for percentile in [1.0, 50.0, 99.0, 100.0] {
        let read = report.latency(percentile);
        assert!(
            (19 * MS..=21 * MS).contains(&read),
            "{percentile}: {read:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_come_hold_nobody_up() {
    let (release, released) = watch::channel(false);
    let load = Load {
        rate_per_s: 1_000,
        span: Duration::from_secs(2),
    };
    let waiting = against(load, |number| {
        let mut released = released.clone();
        async move {
            if number % 2 == 0 {
                let _ = released.wait_for(|released| *released).await;
            }
            good()
        }
    });
    let (report, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        release.send_replace(true);
    });
    assert_eq!((report.sent, report.valid), (2_000, 2_000));
    assert!(!report.is_void(), "{:?}", report.lag_p99());
    assert!(report.latency(40.0) < 3 * MS && report.latency(60.0) > Duration::from_secs(3));
}

#[test]
fn the_bound_of_an_error_share_is_the_one_that_the_promise_names() {
    assert!((poisson_bound(0) - 2.995_73).abs() < 1e-4);
    assert!((poisson_bound(1) - 4.743_86).abs() < 1e-4);
    assert!((poisson_bound(10) - 16.962_2).abs() < 1e-3);
    // 0.003 % needs at least 99,858 requests without an error.
    assert!(poisson_bound(0) / 99_858.0 <= 0.000_03);
    assert!(poisson_bound(0) / 99_857.0 > 0.000_03);
}
