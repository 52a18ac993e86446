//! The local process, killed with SIGKILL while clients send and send again; then what it kept, and
//! what its own commands say of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use embedded::{DirLock, EmbeddedTables};
use engine::Event;
use guard::{Clock, Deadline};
use ops::RealClock;
use serde_json::{Value, json};
use store::{Row, Table, Tables};
use tests::runtime_api::binary;

use super::delivery::Dice;
use super::truth::{Truth, event};

const KILLS: usize = 20;
const BATCHES_BETWEEN: usize = 4;
const BATCH: usize = 50;
/// A kill comes at some moment within this after a request has left.
const DOOM_MAX_US: usize = 12_000;
const PATIENCE: Duration = Duration::from_secs(60);
const TRIES_MAX: usize = 200;

pub(super) struct Reelway {
    child: Child,
    pub(super) addr: SocketAddr,
    /// Kept open: it prints a greeting, and a closed pipe would be an error.
    _out: BufReader<ChildStdout>,
}

impl Reelway {
    /// Starts it without a catalogue.
    pub(super) fn start(data: &Path) -> Self {
        Self::start_with(data, &["--no-demo"], None)
    }

    /// Starts it on a free port; what it prints names the port.
    pub(super) fn start_with(data: &Path, options: &[&str], redis: Option<String>) -> Self {
        let mut child = Command::new(binary("reelway").unwrap())
            .args(["serve", "--profile-at", "off", "--addr", "127.0.0.1:0"])
            .args(options)
            .arg("--data")
            .arg(data)
            .env("REELWAY_LOG", "error")
            .envs(redis.map(|url| ("REELWAY_REDIS_URL", url)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        out.read_line(&mut greeting).unwrap();
        let addr = greeting
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let addr = addr.and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("no address in {greeting}"));
        Self {
            child,
            addr,
            _out: out,
        }
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as an operator does.
    pub(super) fn stop(mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Reelway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends events; nothing when it got no whole answer.
pub(super) fn post(addr: SocketAddr, body: &str, sent: impl FnOnce()) -> Option<(u16, Value)> {
    request(addr, "POST /events", body, sent)
}

/// A request over a connection of its own; nothing when it got no whole answer.
pub(super) fn request(
    addr: SocketAddr,
    what: &str,
    body: &str,
    sent: impl FnOnce(),
) -> Option<(u16, Value)> {
    let mut connection = TcpStream::connect(addr).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    let head = format!(
        "{what} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).ok()?;
    connection.write_all(body.as_bytes()).ok()?;
    sent();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let json = serde_json::from_str(answer.split("\r\n\r\n").nth(1)?).ok()?;
    Some((status, json))
}

fn body(events: &[Event]) -> String {
    let one = |event: &Event| {
        json!({
            "event_id": event.event_id, "kind": event.kind, "user_id": event.user_id,
            "video_id": event.video_id, "ts": event.ts_ms, "watch_ms": event.watch_ms,
            "duration_ms": event.duration_ms, "scene": event.scene, "market": event.market,
        })
    };
    json!({ "events": events.iter().map(one).collect::<Vec<_>>() }).to_string()
}

/// Events as the server will know them: without what only a token brings.
fn batch(dice: &mut Dice, first: usize, now_ms: i64) -> Vec<Event> {
    (first..first + BATCH)
        .map(|id| {
            let (user, video) = (dice.below(30) as u64, dice.below(20) as u64);
            Event {
                arms: "".into(),
                made: None,
                recommendation_id: "".into(),
                slate_position: None,
                ..event(
                    id,
                    user,
                    video,
                    dice.below(5),
                    now_ms - dice.below(60_000) as i64,
                )
            }
        })
        .collect()
}

/// Sends until everything is acknowledged, as a client does.
fn send(reelway: &Reelway, events: &[Event]) {
    for _ in 0..TRIES_MAX {
        if let Some((202, answer)) = post(reelway.addr, &body(events), || ())
            && answer["accepted"] == events.len()
        {
            return;
        }
    }
    panic!("a batch was never taken whole");
}

fn command(data: &Path, args: &[&str]) -> Value {
    let output = Command::new(binary("reelway").unwrap())
        .args(args)
        .args(["--json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let lines = String::from_utf8_lossy(&output.stdout);
        json!(lines.lines().collect::<Vec<_>>())
    })
}

fn behind(stats: &Value) -> u64 {
    let shards = stats["shards"].as_array().unwrap().iter();
    shards
        .map(|shard| shard["behind"]["clickstream"].as_u64().unwrap())
        .sum()
}

async fn rows(tables: &dyn Tables, deadline: &Deadline) -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    for table in [Table::Users, Table::Counters] {
        let mut after = None;
        loop {
            let page = tables.scan(table, after, 1_000, deadline).await.unwrap();
            let counting = |(id, _): &(String, Row)| !id.starts_with("hot#");
            rows.extend(page.rows.into_iter().filter(counting));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_clients_send_it_counts_every_acknowledged_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let now_ms = clock.now().wall_ms;
    let (mut dice, mut truth, mut next, mut unheard) = (Dice::new(41), Truth::default(), 0, 0);
    let mut reelway = Reelway::start(data);
    for _ in 0..KILLS {
        for _ in 0..BATCHES_BETWEEN {
            let events = batch(&mut dice, next, now_ms);
            send(&reelway, &events);
            truth.note(&events);
            next += BATCH;
        }
        let doomed = batch(&mut dice, next, now_ms);
        next += BATCH;
        let wait = Duration::from_micros(dice.below(DOOM_MAX_US) as u64);
        let text = body(&doomed);
        let addr = reelway.addr;
        let (told, heard) = tokio::sync::oneshot::channel();
        let client = tokio::task::spawn_blocking(move || {
            post(addr, &text, || {
                let _ = told.send(());
            })
        });
        let _ = heard.await;
        tokio::time::sleep(wait).await;
        reelway.kill();
        unheard += usize::from(client.await.unwrap().is_none());
        reelway = Reelway::start(data);
        send(&reelway, &doomed);
        truth.note(&doomed);
    }
    let tail = command(data, &["events", "tail", "--limit", "3"]);
    assert_eq!(
        tail.as_array().unwrap().len(),
        3,
        "also while it serves: {tail}"
    );
    let seen = command(data, &["events", "stats"]);
    assert_eq!(seen["offsets_known"], false);
    reelway.stop();

    let mut stats = command(data, &["events", "stats"]);
    for _ in 0..5 {
        if behind(&stats) == 0 {
            break;
        }
        // A busy machine: the stop did not wait for the pump.
        Reelway::start(data).stop();
        stats = command(data, &["events", "stats"]);
    }
    assert_eq!(
        (behind(&stats), &stats["poison"]),
        (0, &json!(0)),
        "{stats}"
    );
    assert!(stats["events"].as_u64() >= Some(truth.0.len() as u64));
    let soon = || Deadline::after(Arc::clone(&clock), PATIENCE);
    let before = {
        let _lock = DirLock::acquire(data).unwrap();
        let tables: Arc<dyn Tables> = Arc::new(EmbeddedTables::open(&data.join("tables")).unwrap());
        truth.check(Arc::clone(&tables), &soon()).await;
        rows(&*tables, &soon()).await
    };
    let day = stats["shards"][0]["newest"].as_str().unwrap()[..10].to_owned();
    let replayed = command(data, &["events", "replay", "--date", &day]);
    assert!(replayed["events"].as_u64() > Some(0), "{replayed}");
    let tables = EmbeddedTables::open(&data.join("tables")).unwrap();
    assert!(
        rows(&tables, &soon()).await == before,
        "a replay of the day changes a row"
    );
    println!(
        "shown: {} events through {KILLS} kills of the local process ({unheard} answers never came): \
         exact; {} replayed, nothing changed",
        truth.0.len(),
        replayed["events"]
    );
}
