//! Every fault that RELIABILITY promises to survive, on the real local process and on the Lambda
//! binary, with one matrix of what it cost.
//!
//! ```text
//! Load ─▶ reelway ─▶ Proxy ─▶ redis-server         world A: embedded storage
//!                └──▶ Proxy ─▶ AwsStub              world B: DynamoDB, Kinesis, S3
//! ```
//!
//! Gates are counts: an answer that is not valid, a call that must not be made. Times are printed.
//! By default each fault lasts a few seconds; `scripts/chaos` (`REELWAY_CHAOS=full`) gives each its
//! full duration, at `REELWAY_CHAOS_RATE` requests per second (500), and writes `docs/chaos.md`, each
//! of the three tests its own part.

use std::time::Duration;

use ops::settings::{Environment, Lookup};

mod adaptive;
mod cloud;
mod events;
mod feed;
mod gone;
mod knee;
mod lambda;
mod page;
mod proof;
mod row;
mod shared;
mod stalls;
mod world;

use row::Matrix;

/// How long things last.
#[derive(Debug, Clone, Copy)]
struct Pace {
    full: bool,
    rate_per_s: u32,
}

impl Pace {
    fn read() -> Self {
        let full = Environment.get("REELWAY_CHAOS").as_deref() == Some("full");
        let rate = Environment.get("REELWAY_CHAOS_RATE");
        let rate = rate.and_then(|rate| rate.parse().ok());
        Self {
            full,
            // A debug build on a machine that others use, too.
            rate_per_s: if full { rate.unwrap_or(500) } else { 100 },
        }
    }

    /// Before a fault, and after it until everything should be as before.
    fn margins(&self) -> (Duration, Duration) {
        if self.full {
            (Duration::from_secs(1), Duration::from_secs(3))
        } else {
            (Duration::from_millis(500), Duration::from_millis(1_500))
        }
    }

    /// The promised duration, or a short one.
    fn span(&self, full_s: u64) -> Duration {
        if self.full {
            Duration::from_secs(full_s)
        } else {
            Duration::from_millis(1_500)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_of_redis_every_answer_is_valid() {
    let pace = Pace::read();
    let mut matrix = Matrix::new("1. Redis fails; storage is embedded", pace);
    shared::faults(pace, &mut matrix).await;
    matrix.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_of_aws_every_answer_is_valid() {
    let pace = Pace::read();
    let mut matrix = Matrix::new("2. AWS fails", pace);
    cloud::faults(pace, &mut matrix).await;
    matrix.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_and_the_rest_is_answered() {
    let pace = Pace::read();
    let mut matrix = Matrix::new("3. More than can be done", pace);
    tokio::task::block_in_place(|| adaptive::measured(&mut matrix));
    let broken = if pace.full {
        knee::twice(pace, &mut matrix).await
    } else {
        Vec::new()
    };
    // The page says what was measured also where that is not what was promised.
    matrix.finish();
    assert!(broken.is_empty(), "{broken:?}");
}
