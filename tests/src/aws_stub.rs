//! Enough of DynamoDB, Kinesis and S3 to break them on purpose.
//!
//! ```text
//! SDK client ──▶ 127.0.0.1:free ──▶ which call? count it ──▶ a rule for it? break it
//!                                                         └─▶ do it, in memory
//! ```
//!
//! Semantics are judged by DynamoDB Local and moto; this one knows only the expressions that
//! `aws` uses and answers anything else with an error that names it. What it is for is what those
//! cannot do: throttle, fail, stall, answer in part, and count what reached it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::sync::watch;

use crate::host::Host;

mod answer;
mod dynamodb;
mod expression;
mod fault;
mod kinesis;
mod s3;

pub use fault::{Call, Fault, Rule};
pub use kinesis::StubRecord;

/// A stub of all three services at one address. Ends, with all its connections, when dropped.
#[derive(Debug)]
pub struct AwsStub {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _host: Host,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// Raised to release what is stalled.
    releases: watch::Sender<u64>,
}

/// Everything the stub knows.
#[derive(Debug, Default)]
struct World {
    rules: Vec<Rule>,
    calls: BTreeMap<Call, u64>,
    faults: BTreeMap<Call, u64>,
    given_up: u64,
    dynamodb: dynamodb::Tables,
    kinesis: kinesis::Streams,
    s3: s3::Objects,
}

/// What arrived, taken apart as far as every service needs it.
struct Request {
    call: Call,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl AwsStub {
    /// An empty stub that does as it is told. Tables, streams and buckets exist when named.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> anyhow::Result<Self> {
        let host = Host::start("aws-stub")?;
        let shared = Arc::new(Shared {
            world: Mutex::default(),
            releases: watch::Sender::new(0),
        });
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let addr = host.serve(router)?;
        Ok(Self {
            addr,
            shared,
            _host: host,
        })
    }

    /// The endpoint of all three services.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens, to put a [`Proxy`](crate::Proxy) in front.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Adds a rule; the oldest that fits a call breaks it.
    pub fn plant(&self, rule: Rule) {
        self.shared.world().rules.push(rule);
    }

    /// Forgets all rules and releases what is stalled.
    pub fn heal(&self) {
        self.shared.world().rules.clear();
        self.shared.releases.send_modify(|releases| *releases += 1);
    }

    /// How many attempts of a call have arrived, broken ones included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.shared.world().calls.get(&call).copied().unwrap_or(0)
    }

    /// How many attempts of a call a rule has broken.
    #[must_use]
    pub fn faults(&self, call: Call) -> u64 {
        self.shared.world().faults.get(&call).copied().unwrap_or(0)
    }

    /// How many attempts of any call have arrived.
    #[must_use]
    pub fn calls_total(&self) -> u64 {
        self.shared.world().calls.values().sum()
    }

    /// How many stalled calls have ended with their connection, because their caller gave them up.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.shared.world().given_up
    }

    /// Counts from zero again.
    pub fn reset_counters(&self) {
        let mut world = self.shared.world();
        world.calls.clear();
        world.faults.clear();
        world.given_up = 0;
        world.kinesis.offered = 0;
        world.kinesis.refused = 0;
    }

    /// The records of all streams that were acknowledged, in their order.
    #[must_use]
    pub fn records(&self) -> Vec<StubRecord> {
        self.shared.world().kinesis.records.clone()
    }

    /// How many records PutRecords has offered, refused ones included.
    #[must_use]
    pub fn records_offered(&self) -> u64 {
        self.shared.world().kinesis.offered
    }

    /// How many of them were refused by a partial fault.
    #[must_use]
    pub fn records_refused(&self) -> u64 {
        self.shared.world().kinesis.refused
    }
}

/// A stalled call; dropped before it has landed, it was given up.
struct InTheAir(Option<Arc<Shared>>);

impl InTheAir {
    fn landed(mut self) {
        self.0 = None;
    }
}

impl Drop for InTheAir {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.world().given_up += 1;
        }
    }
}

impl Shared {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call::of(&method, &uri, &headers);
    let request = Request {
        call,
        method,
        uri,
        headers,
        body,
    };
    // Before the rules are read, so that no release in between is missed.
    let mut released = shared.releases.subscribe();
    let fault = shared.world().meet(&request);
    match fault {
        Some(Fault::Throttle) => return answer::error(call, answer::throttled(call), "slow down"),
        Some(Fault::ServerError) => {
            let error = (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError");
            return answer::error(call, error, "planted");
        }
        Some(Fault::Stall) => {
            // Ends by `heal`, or with the connection.
            let in_the_air = InTheAir(Some(Arc::clone(&shared)));
            let _ = released.changed().await;
            in_the_air.landed();
        }
        Some(Fault::Delay(span)) => tokio::time::sleep(span).await,
        Some(Fault::Partial { .. }) | None => {}
    }
    let partial_percent = match fault {
        Some(Fault::Partial { percent }) => percent,
        _ => 0,
    };
    shared.world().perform(&request, partial_percent)
}

impl World {
    /// Counts an arrival and finds the rule that breaks it.
    fn meet(&mut self, request: &Request) -> Option<Fault> {
        *self.calls.entry(request.call).or_default() += 1;
        let rule = self
            .rules
            .iter_mut()
            .find(|rule| rule.fits(request.call, request.uri.path(), &request.body))?;
        rule.use_up();
        *self.faults.entry(request.call).or_default() += 1;
        Some(rule.fault)
    }

    fn perform(&mut self, request: &Request, partial_percent: u8) -> Response {
        match request.call {
            Call::GetItem
            | Call::BatchGetItem
            | Call::UpdateItem
            | Call::DeleteItem
            | Call::PutItem
            | Call::Scan => self.dynamodb.perform(request, partial_percent),
            Call::PutRecords
            | Call::DescribeStreamSummary
            | Call::ListShards
            | Call::GetShardIterator
            | Call::GetRecords => self.kinesis.perform(request, partial_percent),
            Call::PutObject | Call::GetObject | Call::ListObjects | Call::DeleteObjects => {
                self.s3.perform(request)
            }
            Call::Other => {
                let error = (StatusCode::BAD_REQUEST, "UnknownOperationException");
                let what = format!("{} {} is not stubbed", request.method, request.uri);
                answer::error(Call::Other, error, &what)
            }
        }
    }
}
