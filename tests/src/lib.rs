//! Contract, scenario, chaos, deploy and tidy tests, and the kit they stand on.
//!
//! ```text
//! Load ─▶ code under test ──▶ Proxy ──▶ servers: Redis, DynamoDB Local, moto   real semantics
//!                │              └ refuses, resets, stalls, delays, cuts, answers, counts
//!                ├──────────▶ AwsStub: throttles, fails, stalls, answers in part, counts
//!                └─ as `reelway`, or as a Lambda binary under RuntimeApi
//! ```
//!
//! Everything listens on a free loopback port and ends when it is dropped; servers also end when
//! the test process is killed. Clocks that are turned by hand are `guard::ManualClock`. Read in
//! the order `proxy`, `aws_stub`, `servers`, `cloud`, `runtime_api`, `load`.
#![deny(unsafe_code)]

pub mod aws_stub;
pub mod client;
pub mod cloud;
mod host;
pub mod load;
pub mod proxy;
pub mod runtime_api;
pub mod servers;

pub use aws_stub::{AwsStub, Call, Fault, Rule, StubRecord};
pub use client::{Client, Reply};
pub use cloud::Cloud;
pub use load::{Load, Report, Sample};
pub use proxy::{Counters, Mode, Proxy};
pub use runtime_api::{Answer, Function};
pub use servers::{DynamoDbLocal, Moto, Redis, Reelway};
