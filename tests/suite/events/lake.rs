//! What other tools read of the lake: DuckDB and pyarrow over what the archive wrote, against what
//! was sent; and `docs/lake.md` against what they see.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use archive::{Archive, Parts};
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use lake::Lake;
use ops::settings::{Environment, Lookup};
use serde_json::Value;
use store::{BatchOutcome, Consumer, DeadLetters, Objects, Ports};

use super::delivery::{Dice, Feed};
use super::truth::Truth;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Events through the log and the archive, some batches twice in other cuts.
async fn written(folder: &Path) -> Truth {
    let at = |name: &str| folder.join(name);
    let objects: Arc<dyn Objects> = Arc::new(EmbeddedObjects::open(&at("objects")).unwrap());
    let feed = Feed::new(Ports {
        tables: Arc::new(EmbeddedTables::open(&at("tables")).unwrap()),
        stream: Arc::new(EmbeddedStream::open(&at("log"), 2).unwrap()),
        objects: Arc::clone(&objects),
    });
    let mut truth = Truth::default();
    feed.publish(&mut Dice::new(31), 0, 2_000, &mut truth).await;
    let archive = Archive::new(Parts {
        lake: Arc::new(Lake::new(Arc::clone(&objects))),
        dead: DeadLetters::new(objects, Archive::NAME),
        clock: Arc::clone(&feed.clock),
    });
    for records in feed.records().await.into_values() {
        for cut in [records.len(), 20] {
            for batch in records.chunks(cut) {
                let outcome = archive.consume(batch.to_vec(), &feed.soon()).await;
                assert_eq!(outcome, BatchOutcome::done());
            }
        }
    }
    truth
}

#[tokio::test]
async fn duckdb_and_pyarrow_read_the_lake_as_it_is_described() {
    let Some(venv) = Environment.get("REELWAY_TEST_VENV") else {
        println!("skipped: DuckDB and pyarrow, REELWAY_TEST_VENV is not set (scripts/setup)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let truth = written(folder.path()).await;
    let output = Command::new(Path::new(&venv).join("bin/python"))
        .arg(root().join("tests/compare/lake/read.py"))
        .arg(folder.path().join("objects/lake/events"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (duckdb, pyarrow) = (&found["duckdb"], &found["pyarrow"]);
    assert_eq!(duckdb["rows"], pyarrow["rows"]);
    let rows = duckdb["rows"].as_u64().unwrap();
    assert!(rows > truth.0.len() as u64, "batches overlap: {rows}");

    let mut kinds = BTreeMap::<&str, (u64, u64, u64)>::new();
    for event in truth.0.values() {
        let sum = kinds.entry(event.kind.as_str()).or_default();
        sum.0 += 1;
        sum.1 += u64::from(event.watch_ms.unwrap_or(0));
        sum.2 += u64::from(!event.arms.is_empty());
    }
    let read: BTreeMap<&str, (u64, u64, u64)> = duckdb["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let n = |at: usize| row[at].as_u64().unwrap_or(0);
            (row[0].as_str().unwrap(), (n(1), n(2), n(3)))
        })
        .collect();
    assert_eq!(read, kinds, "each event once, by user and event id");
    let users = truth.0.values().map(|event| &event.user_id);
    let users: std::collections::BTreeSet<_> = users.collect();
    assert_eq!(pyarrow["users"], users.len());

    let page = std::fs::read_to_string(root().join("docs/lake.md")).unwrap();
    for column in duckdb["columns"].as_array().unwrap() {
        let (name, kind) = (column[0].as_str().unwrap(), column[1].as_str().unwrap());
        let described = page
            .lines()
            .any(|line| line.starts_with(&format!("| `{name}` | {kind} |")));
        assert!(described, "docs/lake.md lacks `{name}` | {kind}");
    }
    println!(
        "shown: DuckDB and pyarrow read {rows} rows, {} distinct events",
        truth.0.len()
    );
}
