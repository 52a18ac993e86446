//! The functions as Lambda runs them: they start, take their events, drain before the freeze, and
//! refuse settings that cannot work.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws::Aws;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guard::{Clock, Deadline};
use ops::RealClock;
use serde_json::{Value, json};
use store::{Ports, StreamRecord};
use tests::runtime_api::binary;
use tests::{Cloud, Function};

/// A function's environment: the emulators and a key to sign with.
fn environment(cloud: &Cloud, name: &str, folder: &tempfile::TempDir) -> Vec<(String, String)> {
    let mut environment = cloud.environment().to_vec();
    let path = |part: &str| folder.path().join(name).join(part).display().to_string();
    for (variable, value) in [
        (
            "REELWAY_TOKEN_KEY",
            "0123456789abcdef0123456789abcdef".to_owned(),
        ),
        ("REELWAY_INDEX_DIR", path("index")),
        ("REELWAY_WORK_DIR", path("work")),
        // Everything, to see that even so no body is logged.
        ("REELWAY_LOG", "trace".to_owned()),
    ] {
        environment.push((variable.to_owned(), value));
    }
    environment
}

fn soon() -> Deadline {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    Deadline::after(clock, Duration::from_secs(30))
}

fn http_event(method: &str, path: &str, query: &str, body: &Value) -> Value {
    let body = (!body.is_null()).then(|| body.to_string());
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": { "content-type": "application/json" },
        "requestContext": {
            "http": { "method": method, "sourceIp": "192.0.2.7" },
            "authorizer": method.eq("PUT").then(|| json!({ "iam": { "accountId": "1" } })),
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// Everything in the stream.
async fn records(ports: &Ports) -> Vec<StreamRecord> {
    let mut records = Vec::new();
    for shard in ports.stream.shards(&soon()).await.unwrap() {
        records.extend(
            ports
                .stream
                .read(&shard, None, 1_000, &soon())
                .await
                .unwrap(),
        );
    }
    records
}

/// The event Lambda's mapping makes of records.
fn kinesis_event(records: &[StreamRecord]) -> Value {
    let record = |record: &StreamRecord| {
        json!({
            "eventID": format!("{}:{}", record.position.shard, record.position.sequence),
            "eventName": "aws:kinesis:record",
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": record.partition_key,
                "sequenceNumber": record.position.sequence, "data": STANDARD.encode(&record.data),
                "approximateArrivalTimestamp": record.arrived_ms as f64 / 1_000.0,
            },
        })
    };
    json!({ "Records": records.iter().map(record).collect::<Vec<_>>() })
}

/// Functions over one small AWS.
struct Fleet {
    cloud: Cloud,
    folder: tempfile::TempDir,
    ports: Ports,
}

impl Fleet {
    async fn new() -> anyhow::Result<Self> {
        let cloud = Cloud::start(1).await?;
        let ports = Aws::connect(&cloud.settings()?).await.ports();
        let folder = tempfile::tempdir()?;
        Ok(Self {
            cloud,
            folder,
            ports,
        })
    }

    async fn spawn(&self, name: &str) -> anyhow::Result<Function> {
        let environment = environment(&self.cloud, name, &self.folder);
        let function = Function::spawn(&binary(name)?, &environment).await;
        function.with_context(|| name.to_owned())
    }

    /// Spawns a function for one event and returns what it answers.
    async fn ask(&self, name: &str, event: &Value) -> anyhow::Result<Value> {
        let answer = self.spawn(name).await?.invoke(event).await?;
        answer
            .result
            .map_err(|error| anyhow::anyhow!("{name}: {error}"))
    }

    /// A catalogue, somebody who watched some of it, and the night after.
    async fn live_a_day(&self) -> anyhow::Result<()> {
        let now_ms = soon().clock().now().wall_ms;
        let video = |n: u32| json!({ "id": format!("v{n}"), "title": "t", "published_at": 0 });
        let videos = json!({ "videos": (0..30).map(video).collect::<Vec<_>>() });
        let event = |n: u32| {
            json!({
                "event_id": format!("e{n}"), "kind": "click", "user_id": format!("u{}", n % 3),
                "video_id": format!("v{n}"), "ts": now_ms,
            })
        };
        let events = json!({ "events": (0..9).map(event).collect::<Vec<_>>() });
        let mut ingest = self.spawn("ingest").await?;
        for (method, path, body, status) in [
            ("PUT", "/videos", &videos, 200),
            ("POST", "/events", &events, 202),
        ] {
            let answer = ingest.invoke(&http_event(method, path, "", body)).await?;
            let answer = answer.result.unwrap();
            assert_eq!(answer["statusCode"], status, "{answer}");
        }
        let batch = kinesis_event(&records(&self.ports).await);
        for name in ["clickstream", "archive"] {
            let answer = self.ask(name, &batch).await?;
            assert_eq!(answer, json!({ "batchItemFailures": [] }), "{name}");
        }
        let report = self.ask("profile", &json!({})).await?;
        assert_eq!(report["events"], 9, "{report}");
        Ok(())
    }
}

#[tokio::test]
async fn what_was_served_leaves_before_the_freeze() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    fleet.live_a_day().await?;
    let mut recommend = fleet.spawn("recommend").await?;
    assert_eq!(recommend.extensions(), ["reelway-drain"]);
    let before = records(&fleet.ports).await.len();
    // Of several users, none of whom asks more than one may.
    for n in 0..50 {
        let query = format!("user_id=planted{}", n % 5);
        let event = http_event("GET", "/recommend", &query, &Value::Null);
        let answer = recommend.invoke(&event).await?.result.unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }
    let span = recommend.settled().await?;
    println!("froze {span:?} after the answer that flushed");
    let served = records(&fleet.ports).await.len() - before;
    assert!(served > 0, "fifty answers make a flush due");
    assert!(!recommend.log().contains("planted"), "no user id is logged");
    Ok(())
}

/// As on Managed Instances: eight invocations at once, nothing freezes, nobody tells of invocations.
#[tokio::test]
async fn several_invocations_at_once_are_answered_and_what_was_served_leaves_by_itself()
-> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    fleet.live_a_day().await?;
    let mut environment = environment(&fleet.cloud, "recommend", &fleet.folder);
    environment.push(("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), "8".to_owned()));
    let mut recommend = Function::spawn(&binary("recommend")?, &environment).await?;
    let event = |n: u32| {
        let query = format!("user_id=planted{n}");
        http_event("GET", "/recommend", &query, &Value::Null)
    };
    let events: Vec<Value> = (0..8).map(event).collect();
    let mut told = records(&fleet.ports).await.len();
    for round in ["as time passes", "at the end"] {
        // Settled only when all eight workers ask for an event.
        for answer in recommend.invoke_all(&events).await? {
            let answer = answer.result.unwrap();
            assert_eq!(answer["statusCode"], 200, "{round}: {answer}");
        }
        if round == "at the end" {
            assert!(recommend.stop().await?.success(), "{}", recommend.log());
        }
        let left = async {
            while records(&fleet.ports).await.len() == told {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), left)
            .await
            .with_context(|| format!("nothing left {round}: {}", recommend.log()))?;
        told = records(&fleet.ports).await.len();
    }
    assert_eq!(recommend.extensions(), ["reelway-drain"]);
    Ok(())
}

#[tokio::test]
async fn odd_requests_get_problems_and_the_function_lives_on() -> anyhow::Result<()> {
    let fleet = Fleet::new().await?;
    let mut recommend = fleet.spawn("recommend").await?;
    for (method, path, query, status) in [
        ("GET", "/r\u{e9}commend%zz", "a b=\u{1F600}", 404),
        ("GET", "/recommend", "limit=\u{0}", 400),
        ("GET", "//recommend", "", 404),
        ("GE T", "/recommend", "", 400),
        ("DELETE", "/recommend", "", 405),
        ("GET", "/health/live", "", 200),
    ] {
        let event = http_event(method, path, query, &Value::Null);
        let answer = recommend.invoke(&event).await?.result.unwrap();
        assert_eq!(
            answer["statusCode"], status,
            "{method} {path} {query}: {answer}"
        );
        assert!(answer["headers"]["x-request-id"].is_string(), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn every_bad_setting_is_named_before_the_function_ends() -> anyhow::Result<()> {
    let environment = [
        ("REELWAY_REDIS_URL", "http://x"),
        ("REELWAY_LOCAL_TIER_MIB", "much"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ended = Function::spawn(&binary("recommend")?, &environment).await;
    let said = format!("{:#}", ended.unwrap_err());
    for name in [
        "REELWAY_BUCKET",
        "REELWAY_TOKEN_KEY",
        "REELWAY_REDIS_URL",
        "REELWAY_LOCAL_TIER_MIB",
    ] {
        assert!(said.contains(name), "{said}");
    }
    Ok(())
}
