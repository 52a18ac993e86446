//! How much may come in at once, judged before a body is read.
//!
//! ```text
//! request ─► interface ─► network ─► a place inside ─► body is read, parsed, published
//!              429          429         503, at once when the queue is full
//! ```
//!
//! A body and what it becomes are the memory this function uses: whoever has no place keeps their
//! body in their own socket.

use std::sync::Arc;
use std::time::Duration;

use guard::{Clock, Deadline, Gate, GatePermit, KeyedLimiter, Limiter, tuning::Limits};
use http::request::Parts as RequestParts;
use ops::metric;
use web::{Prefix, Problem};

/// Bodies that are read or published at a time, each at most half a MiB.
pub const INSIDE_MAX: usize = 32;
/// Requests that wait for a place.
pub const WAITING_MAX: usize = 512;
/// Networks whose buckets are remembered.
const NETWORKS_MAX: usize = 65_536;
/// What a client may wait before it sends again, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// The way in for batches of events.
#[derive(Debug)]
pub(crate) struct Doors {
    interface: Limiter,
    network: KeyedLimiter,
    inside: Gate,
}

impl Doors {
    /// Doors that let in at these rates.
    pub fn new(rates: &Limits, clock: &Arc<dyn Clock>) -> Self {
        let (all, network) = (rates.interface, rates.region);
        Self {
            interface: Limiter::new(all.per_second, all.burst, Arc::clone(clock)),
            network: KeyedLimiter::new(
                network.per_second,
                network.burst,
                NETWORKS_MAX,
                Arc::clone(clock),
            ),
            inside: Gate::new(INSIDE_MAX, WAITING_MAX),
        }
    }

    /// Lets a request in; it is inside until the permit is dropped.
    ///
    /// # Errors
    /// 429 when there are too many from everywhere or from its network; 503 when there is no place.
    pub async fn enter(
        &self,
        parts: &RequestParts,
        deadline: &Deadline,
    ) -> Result<GatePermit, Problem> {
        limited("interface", "interface_limit", self.interface.take())?;
        if let Some(Prefix(network)) = Prefix::of(&parts.headers, &parts.extensions) {
            limited("region", "region_limit", self.network.take(network))?;
        }
        let entered = self.inside.enter(deadline).await;
        entered.map_err(|_| Problem::unavailable(RETRY_AFTER_S))
    }
}

fn limited(
    level: &'static str,
    code: &'static str,
    taken: Result<(), Duration>,
) -> Result<(), Problem> {
    taken.map_err(|wait| {
        metrics::counter!(metric::LIMITED, "level" => level).increment(1);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Problem::too_many(code, u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
    })
}
