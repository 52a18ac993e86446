//! Operating: settings, real clock, logs, metric names.
//!
//! ```text
//! environment ─▶ Lookup ─▶ Reader ─▶ one settings struct per concern, or all Problems at once
//! tracing events ─▶ telemetry ─▶ one JSON object per line, or text for a terminal
//! counter! gauge! histogram! ─▶ recorder ─▶ metrics_text(), for whoever scrapes
//! ```
//!
//! Invariants: only [`settings::Environment`] reads the environment and only [`RealClock`] reads
//! time; a [`Secret`] cannot be printed; every metric there is has its name and meaning in
//! [`metric`]. Read in the order `settings`, `secret`, `clock`, `telemetry`, `metric`.
#![forbid(unsafe_code)]

pub mod clock;
pub mod metric;
pub mod secret;
pub mod settings;
pub mod telemetry;

pub use clock::RealClock;
pub use metric::metrics_text;
pub use metrics::{counter, gauge, histogram};
pub use secret::Secret;
