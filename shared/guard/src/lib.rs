//! Time and load: the mechanisms that keep an outage of anything from failing an answer.
//!
//! ```text
//! Deadline ── bounds every wait          Gate, Concurrency ─ bound work in flight
//! Breaker ─── stops asking the broken    Limiter ─────────── bounds what callers may ask
//! Flight ──── one load per key           Lag ─────────────── tells a queue that stands
//! Tasks ───── the one place that spawns  Shedder ───────── turns a share away while it does
//!          KeyedBreaker, KeyedLimiter: one per user or network, in bounded memory
//! ```
//!
//! Nothing here knows Reelway: no ids, no videos, no stores. Deciding uses an injected
//! [`Clock`]; waiting is tokio's. Read in the order `clock`, `deadline`, `outcome`, `breaker`,
//! `gate`, `concurrency`, `lag`, `shedder`, `limiter`, `tasks`, `flight`, `tuning`.
#![forbid(unsafe_code)]

pub mod breaker;
pub mod clock;
pub mod concurrency;
pub mod deadline;
pub mod flight;
pub mod gate;
mod keyed;
pub mod lag;
pub mod limiter;
pub mod outcome;
pub mod shedder;
mod sync;
pub mod tasks;
pub mod tuning;

#[cfg(all(test, feature = "interleavings"))]
mod interleavings;

pub use breaker::{Breaker, BreakerState, KeyedBreaker, Open, Permit, Sample};
pub use clock::{Clock, ManualClock, Now};
pub use concurrency::Concurrency;
pub use deadline::{Deadline, Elapsed};
pub use flight::{Flight, FlightError};
pub use gate::{Gate, GatePermit, Shed};
pub use lag::Lag;
pub use limiter::{KeyedLimiter, Limiter};
pub use outcome::Outcome;
pub use shedder::Shedder;
pub use tasks::Tasks;
pub use tuning::{
    BreakerTuning, ConcurrencyTuning, GuardTuning, KeyedBreakerTuning, LagTuning, Limits, Rate,
    RedisBreakerTuning, RegionBreakerTuning, ShedderTuning, UserBreakerTuning,
};
