//! What concurrency that finds its own limit is worth: a server in paused time, with and without.
//!
//! ```text
//! open-model load ─▶ Concurrency ─▶ 8 workers, 10 ms each ─▶ in time? (200 ms)
//!                        └ refused at once
//! ```
//!
//! Work is not taken back when its caller has gone, so what is let in too late costs as much as what
//! is answered in time.

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Concurrency, ConcurrencyTuning, Deadline};
use ops::RealClock;
use tests::{Load, Report, Sample};
use tokio::sync::Semaphore;

use super::row::{Matrix, ms};

const WORKERS: usize = 8;
const WORK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(200);
/// What the workers can do in a second.
const KNEE_PER_S: u32 = 800;
const SPAN: Duration = Duration::from_secs(20);
const IN_TIME: &str = "in time";

/// Offers 80 % and 200 % of the knee to both; the same figures on every machine.
pub(super) fn measured(matrix: &mut Matrix) {
    for percent in [80, 200] {
        let goodput = [false, true].map(|adaptive| {
            let report = simulate(adaptive, KNEE_PER_S * percent / 100);
            let in_time = report.labels.get(IN_TIME).copied().unwrap_or(0);
            let per_s = in_time as f64 / SPAN.as_secs_f64();
            let limit = if adaptive { "adaptive" } else { "fixed at 1024" };
            matrix.note(format!(
                "simulated server of {KNEE_PER_S}/s (8 workers, 10 ms each), {percent} % of that offered for 20 s after a quiet 5 s, limit {limit}: {per_s:.0}/s answered within 200 ms, {} refused at once, {} too late, answers p99 {:.0} ms",
                report.refused,
                report.valid - in_time,
                ms(report.latency(99.0))
            ));
            per_s / f64::from(KNEE_PER_S)
        });
        let [fixed, adaptive] = goodput;
        if percent > 100 {
            // The simulation is the same everywhere: 0.020 and 0.095 of the knee.
            assert!(adaptive >= 4.0 * fixed, "{fixed} without, {adaptive} with");
            assert!(adaptive >= 0.09, "{adaptive} of the knee with it");
        } else {
            assert!(adaptive >= 0.99 * fixed, "{fixed} without, {adaptive} with");
        }
    }
}

fn simulate(adaptive: bool, rate_per_s: u32) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let tuning = ConcurrencyTuning {
            adaptive,
            ..ConcurrencyTuning::default()
        };
        let server = Arc::new(Server {
            gate: Concurrency::new(tuning, Arc::clone(&clock)),
            workers: Semaphore::new(WORKERS),
            clock,
        });
        let offer = async |rate_per_s, span| {
            let load = Load { rate_per_s, span };
            load.run(|_| Arc::clone(&server).answer()).await.unwrap()
        };
        offer(KNEE_PER_S / 4, Duration::from_secs(5)).await;
        offer(rate_per_s, SPAN).await
    })
}

struct Server {
    gate: Concurrency,
    workers: Semaphore,
    clock: Arc<dyn Clock>,
}

impl Server {
    async fn answer(self: Arc<Self>) -> Sample {
        let began = self.clock.now().mono;
        let deadline = Deadline::after(Arc::clone(&self.clock), PATIENCE);
        let Ok(entry) = self.gate.enter(&deadline).await else {
            return Sample::Refused;
        };
        let worker = self.workers.acquire().await.unwrap();
        tokio::time::sleep(WORK).await;
        drop(worker);
        entry.done();
        let in_time = self.clock.now().mono - began <= PATIENCE;
        Sample::Valid(if in_time { IN_TIME } else { "late" }.to_owned())
    }
}
