//! `reelway events tail`: what is asked for is found, however far behind other events it lies, and what
//! comes is followed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use embedded::EmbeddedStream;
use engine::Event;
use guard::{Clock, Deadline};
use ops::RealClock;
use serde_json::Value;
use store::{Record, Stream};
use tests::runtime_api::binary;

use super::truth::event;

const IMPRESSION: usize = 0;
const LIKE: usize = 3;
/// What `tail` kept of a shard before it chose, and more.
const MANY: usize = 2_500;

fn open(data: &Path) -> EmbeddedStream {
    EmbeddedStream::open(&data.join("log"), 2).unwrap()
}

/// Appends events, each in a record of its own, all on one shard.
async fn append(log: &EmbeddedStream, events: &[Event]) {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let soon = Deadline::after(clock, Duration::from_secs(60));
    let record = |event: &Event| Record {
        partition_key: "k".to_owned(),
        data: store::events::encode(event),
    };
    let records = events.iter().map(record).collect();
    let answers = log.append(records, &soon).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
}

fn tail(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary("reelway").unwrap());
    command
        .args(["events", "tail"])
        .args(args)
        .arg("--data")
        .arg(data);
    command
}

fn ids<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let id = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event_id"].as_str().unwrap().to_owned()
    };
    lines.map(id).collect()
}

fn found(data: &Path, args: &[&str]) -> Vec<String> {
    let output = tail(data, args).output().unwrap();
    assert!(output.status.success());
    ids(String::from_utf8(output.stdout).unwrap().lines())
}

#[tokio::test]
async fn tail_finds_a_user_and_a_kind_behind_thousands_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut events = vec![event(1, 7, 1, LIKE, 1), event(2, 7, 1, IMPRESSION, 2)];
    events.extend((0..MANY).map(|n| event(100 + n, 8, 1, IMPRESSION, 3)));
    append(&log, &events).await;
    let data = folder.path();
    assert_eq!(found(data, &["--user", "u7"]), ["e1", "e2"]);
    assert_eq!(found(data, &["--user", "u7", "--limit", "1"]), ["e2"]);
    assert_eq!(found(data, &["--kind", "like"]), ["e1"]);
    assert_eq!(found(data, &["--kind", "like", "--user", "u8"]), [""; 0]);
    let newest = format!("e{}", 100 + MANY - 1);
    assert_eq!(found(data, &["--limit", "1"]), [newest]);
    assert!(
        !tail(data, &["--kind", "dislike"])
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_what_is_asked_for_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[event(1, 7, 1, LIKE, 1)]).await;
    let mut child = tail(
        folder.path(),
        &["--follow", "--kind", "like", "--user", "u7"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        ids([line.as_str()].into_iter())
    };
    assert_eq!(next(), ["e1"]);
    append(
        &log,
        &[event(2, 7, 1, IMPRESSION, 2), event(3, 8, 1, LIKE, 3)],
    )
    .await;
    append(&log, &[event(4, 7, 1, LIKE, 4), event(5, 7, 2, LIKE, 5)]).await;
    let followed = [next(), next()].concat();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(followed, ["e4", "e5"]);
}
