//! Contract, scenario, chaos, deploy and tidy tests, and the kit they stand on.
//!
//! ```text
//! code under test ──▶ Proxy ──▶ servers: Redis, DynamoDB Local, moto     real semantics
//!        │              └ refuses, resets, stalls, delays, swallows, counts
//!        ├──────────▶ AwsStub: throttles, fails, stalls, answers in part, counts
//!        └─ as a Lambda binary under RuntimeApi
//! ```
//!
//! Everything listens on a free loopback port and ends when it is dropped; servers also end when
//! the test process is killed. Clocks that are turned by hand are `guard::ManualClock`. Read in
//! the order `proxy`, `aws_stub`, `servers`, `cloud`, `runtime_api`.
#![deny(unsafe_code)]

pub mod aws_stub;
pub mod cloud;
mod host;
pub mod proxy;
pub mod runtime_api;
pub mod servers;

pub use aws_stub::{AwsStub, Call, Fault, Rule};
pub use cloud::Cloud;
pub use proxy::{Counters, Mode, Proxy};
pub use runtime_api::{Answer, Function};
pub use servers::{DynamoDbLocal, Moto, Redis};
