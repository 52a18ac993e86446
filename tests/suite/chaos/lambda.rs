//! The Lambda binary, one environment behind a local Runtime API: a start while everything is down,
//! and what goes away, stands still or throttles while it serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tests::runtime_api::binary;
use tests::{Call, Fault, Function, Load, Mode, Proxy, Reply, Rule, Sample};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::feed::Feed;
use super::row::{Matrix, Row, Traffic};
use super::world::World;
use super::{Pace, stalls};

/// One environment takes one invocation after the other, and each ends with a drain.
const RATE_PER_S: u32 = 8;
const COLD_RATE_PER_S: u32 = 50;
const COLD_SPAN: Duration = Duration::from_secs(2);
/// Before a fault, and after it.
const MARGINS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_000));

/// One execution environment, asked by users of the demo catalogue.
#[derive(Clone)]
struct Environment {
    function: Arc<Mutex<Function>>,
    feed: Feed,
}

pub(super) async fn faults(world: &World, pace: Pace, matrix: &mut Matrix) {
    cold_start(world, matrix).await;
    let dir = tempfile::tempdir().unwrap();
    let (stub, proxy) = world.aws.as_ref().unwrap();
    let endpoint = format!("http://{}", proxy.addr());
    let redis = format!("redis://{}", world.redis_proxy.addr());
    let lambda = Environment::start(&redis, &endpoint, dir.path(), &world.feed).await;
    let nothing = || async {};
    let none = lambda.under(
        world,
        "Lambda binary: none",
        pace.span(10),
        nothing,
        nothing,
    );
    let none = none.await;
    let personal = none.labelled(|label| label.starts_with("personal"));
    assert!(
        personal * 100 >= none.report.valid * 80,
        "{:?}",
        none.report.labels
    );
    matrix.add(none);

    matrix.add(frozen(world, &lambda, pace).await);

    let come = || async {
        world.redis_proxy.set(Mode::Refuse).await.unwrap();
        world.redis.lock().await.stop().await.unwrap();
    };
    let go = || async {
        world.redis.lock().await.restart().await.unwrap();
        world.redis_proxy.set(Mode::Pass).await.unwrap();
    };
    let killed = lambda.under(
        world,
        "Lambda binary: Redis killed",
        pace.span(20),
        come,
        go,
    );
    matrix.add(shows(killed.await, "redis_"));

    let come = || async {
        for call in [Call::GetItem, Call::BatchGetItem] {
            stub.plant(Rule::on(call, Fault::Throttle));
        }
        world.empty_redis().await;
    };
    let throttled = "Lambda binary: DynamoDB throttles every read, Redis empty";
    let throttled = lambda.under(world, throttled, pace.span(20), come, || async {
        stub.heal()
    });
    matrix.add(shows(throttled.await, "users_"));

    let stalled = "Lambda binary: everything accepts and never answers";
    let (come, go) = (|| stalls::come(world), || stalls::go(world));
    let stalled = lambda.under(world, stalled, pace.span(20), come, go);
    matrix.add(shows(stalled.await, "_"));
}

/// Between two invocations the environment stands still, as Lambda leaves it; what comes meanwhile
/// waits.
async fn frozen(world: &World, lambda: &Environment, pace: Pace) -> Row {
    let held = Mutex::new(None::<OwnedMutexGuard<Function>>);
    let come = || async {
        let function = Arc::clone(&lambda.function).lock_owned().await;
        function.settled().await.unwrap();
        signal(&function, "-STOP");
        *held.lock().await = Some(function);
    };
    let go = || async {
        let function = held.lock().await.take().unwrap();
        signal(&function, "-CONT");
    };
    let span = pace.span(10);
    let row = lambda.under(world, "Lambda binary: frozen (SIGSTOP)", span, come, go);
    let mut row = row.await;
    let waited = row.report.latency(100.0);
    assert!(waited >= span / 2, "nobody waited for it: {waited:?}");
    row.note += "; a stopped process sees both clocks go on, unlike a frozen environment, whose monotonic clock stands: see shared/guard";
    row
}

/// A cold start while everything is down: it answers from what is inside it.
async fn cold_start(world: &World, matrix: &mut Matrix) {
    // In front of nothing: it accepts, and closes at once.
    let nowhere = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))).unwrap();
    let endpoint = format!("http://{}", nowhere.addr());
    let redis = format!("redis://{}", nowhere.addr());
    let dir = tempfile::tempdir().unwrap();
    let lambda = Environment::start(&redis, &endpoint, dir.path(), &world.feed).await;
    let load = Load {
        rate_per_s: COLD_RATE_PER_S,
        span: COLD_SPAN,
    };
    let init = lambda.function.lock().await.init();
    let asked = lambda.clone();
    let ask = move |number| asked.clone().ask(number, query(number));
    let report = load.run(ask).await.unwrap();
    let fault = "Lambda binary: cold start while everything is down";
    let mut row = Row::of(
        fault,
        report,
        (Duration::ZERO, COLD_SPAN),
        Traffic::default(),
    );
    let builtin = row.labelled(|label| label.starts_with("builtin"));
    assert_eq!(builtin, row.report.sent, "{:?}", row.report.complaints);
    row.note = format!(
        "{COLD_RATE_PER_S} requests/s; all from the built-in list; init {:.0} ms; {} connections to nothing",
        init.as_secs_f64() * 1e3,
        nowhere.counters().connections
    );
    matrix.add(row);
}

/// Users, cohorts and nobody in turn.
fn query(number: u64) -> String {
    match number % 3 {
        0 => format!("user_id=u{number}"),
        1 => "cohort=c1".to_owned(),
        _ => String::new(),
    }
}

/// The row, if its fault was felt.
fn shows(row: Row, cause: &str) -> Row {
    let felt = row.labelled(|label| label.contains(cause));
    assert!(felt > 0, "{}: {:?}", row.fault, row.report.labels);
    row
}

fn signal(function: &Function, name: &str) {
    let pid = function.pid().to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &pid])
        .status();
    assert!(sent.unwrap().success(), "{name}");
}

impl Environment {
    async fn start(redis: &str, endpoint: &str, dir: &std::path::Path, feed: &Feed) -> Self {
        let environment = [
            ("REELWAY_BUCKET", "bucket"),
            ("REELWAY_REDIS_URL", redis),
            ("REELWAY_REDIS_PLAIN", "true"),
            (
                "REELWAY_TOKEN_KEY",
                "a key for the suite that is long enough",
            ),
            ("REELWAY_AWS_ENDPOINT_DYNAMODB", endpoint),
            ("REELWAY_AWS_ENDPOINT_KINESIS", endpoint),
            ("REELWAY_AWS_ENDPOINT_S3", endpoint),
            ("REELWAY_INDEX_DIR", dir.to_str().unwrap()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let binary = binary("recommend").unwrap();
        let function = Function::spawn(&binary, &environment).await.unwrap();
        Self {
            function: Arc::new(Mutex::new(function)),
            feed: feed.clone(),
        }
    }

    /// Invokes it when its turn comes.
    async fn ask(self, user: u64, query: String) -> Sample {
        let answered = self
            .function
            .lock()
            .await
            .invoke(&question(user, &query))
            .await;
        match answered.map(|answer| answer.result) {
            Ok(Ok(answer)) => self.feed.judge(user, &reply(&answer)),
            Ok(Err(error)) => Sample::Error(error.to_string()),
            Err(error) => Sample::Error(error.to_string()),
        }
    }

    /// Puts it under load while a fault comes, lasts and goes.
    async fn under<Come, Go>(
        &self,
        world: &World,
        fault: &str,
        span: Duration,
        come: impl FnOnce() -> Come,
        go: impl FnOnce() -> Go,
    ) -> Row
    where
        Come: Future<Output = ()>,
        Go: Future<Output = ()>,
    {
        let (before, after) = MARGINS;
        let load = Load {
            rate_per_s: RATE_PER_S,
            span: before + span + after,
        };
        let lambda = self.clone();
        let ask = move |number| {
            let user = Feed::user(number);
            lambda
                .clone()
                .ask(user, format!("user_id=u{user}&limit=20"))
        };
        let row = world.watched(fault, load, (before, span), ask, come, go);
        let mut row = row.await;
        row.note = format!("{RATE_PER_S} requests/s, one after the other");
        row
    }
}

/// An answer as HTTP would carry it.
fn reply(answer: &Value) -> Reply {
    let status = answer["statusCode"].as_u64().unwrap_or_default();
    let headers = answer["headers"].as_object().into_iter().flatten();
    let lines = headers.map(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        format!("{name}: {value}\r\n")
    });
    Reply {
        status: u16::try_from(status).unwrap_or_default(),
        head: lines.collect(),
        body: answer["body"].as_str().unwrap_or_default().into(),
    }
}

fn question(user: u64, query: &str) -> Value {
    // Users come from many networks: one whose loads take too long is left alone by itself.
    let network = user % 60;
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/recommend", "rawQueryString": query,
        "headers": { "host": "api.example.com" },
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example.com",
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
            "timeEpoch": 1_545_084_650_987_i64,
            "http": {
                "method": "GET", "path": "/recommend", "protocol": "HTTP/1.1",
                "sourceIp": format!("192.0.{network}.7"), "userAgent": "suite",
            },
        },
        "isBase64Encoded": false,
    })
}
