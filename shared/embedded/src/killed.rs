//! A process that writes is killed; what it had acknowledged is there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guard::{Deadline, ManualClock};
use store::{Change, Expect, Objects, Read, Record, Stream, Table, Tables, Write};

use crate::{DirLock, EmbeddedObjects, EmbeddedStream, EmbeddedTables, StreamOptions};

/// Set for the child only: where it writes.
const FOLDER: &str = "EMBEDDED_KILLED_FOLDER";

fn deadline() -> Deadline {
    Deadline::after(
        Arc::new(ManualClock::starting_at(0)),
        Duration::from_secs(60),
    )
}

struct Stores {
    _lock: DirLock,
    tables: EmbeddedTables,
    stream: EmbeddedStream,
    objects: EmbeddedObjects,
}

fn open(dir: &Path) -> Stores {
    let options = StreamOptions {
        segment_bytes: 4_000,
        ..StreamOptions::default()
    };
    Stores {
        _lock: DirLock::acquire(dir).unwrap(),
        tables: EmbeddedTables::open(&dir.join("tables")).unwrap(),
        stream: EmbeddedStream::open_with(&dir.join("log"), 1, &options).unwrap(),
        objects: EmbeddedObjects::open(&dir.join("objects")).unwrap(),
    }
}

/// Not a test of its own: the process that is killed below.
#[tokio::test]
#[ignore = "runs as the child of the test below"]
async fn write_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let stores = open(Path::new(&folder));
    for number in 1u64.. {
        let record = Record {
            partition_key: "k".into(),
            data: number.to_string().into(),
        };
        let appended = stores
            .stream
            .append(vec![record], &deadline())
            .await
            .unwrap();
        assert!(appended.iter().all(Result::is_ok));
        let bytes = Bytes::from(number.to_string());
        let change = Change::Put {
            bytes: bytes.clone(),
            expires_at_s: None,
        };
        let writes = vec![Write {
            id: "row".into(),
            expect: Expect::Any,
            change,
        }];
        let written = stores
            .tables
            .write(Table::Users, writes, &deadline())
            .await
            .unwrap();
        assert!(written.iter().all(Result::is_ok));
        stores
            .objects
            .put("object", bytes, &deadline())
            .await
            .unwrap();
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "killed::write_until_killed",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines.map_while(Result::ok);
        let mut numbers = acknowledged.filter_map(|line| {
            line.rsplit_once("acknowledged ")
                .and_then(|(_, number)| number.parse::<u64>().ok())
        });
        let enough = numbers.find(|number| *number >= 20 * round).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // What the child said between our look and its death counts too.
        let last = numbers.last().unwrap_or(enough);

        let stores = open(folder.path());
        let (mut after, mut count) = (None::<String>, 0);
        loop {
            let page = stores
                .stream
                .read("shard-000", after.as_deref(), 50, &deadline())
                .await;
            let page = page.unwrap();
            let Some(record) = page.last() else { break };
            after = Some(record.position.sequence.clone());
            count += page.len() as u64;
        }
        assert!(
            count >= last,
            "{count} records, {last} acknowledged in round {round}"
        );
        let ids = ["row".to_owned()];
        let rows = stores
            .tables
            .load(Table::Users, &ids, Read::Consistent, &deadline())
            .await;
        let row = rows.unwrap().remove(0).unwrap();
        let object = stores.objects.get("object", 99, &deadline()).await.unwrap();
        for bytes in [row.bytes, object] {
            let number: u64 = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
            assert!((last..=last + 1).contains(&number), "{number} after {last}");
        }
    }
}
