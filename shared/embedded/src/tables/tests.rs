use std::time::Duration;

use bytes::Bytes;
use guard::ManualClock;

use super::*;

fn deadline() -> Deadline {
    Deadline::after(
        Arc::new(ManualClock::starting_at(0)),
        Duration::from_secs(60),
    )
}

fn put(id: &str, expect: Expect, value: &'static str) -> Write {
    let change = Change::Put {
        bytes: Bytes::from(value),
        expires_at_s: None,
    };
    Write {
        id: id.to_owned(),
        expect,
        change,
    }
}

async fn one(tables: &EmbeddedTables, write: Write) -> Result<Written, Error> {
    tables
        .write(Table::Users, vec![write], &deadline())
        .await
        .unwrap()
        .remove(0)
}

async fn value(tables: &EmbeddedTables, id: &str) -> Option<(String, u64)> {
    let ids = [id.to_owned()];
    let rows = tables
        .load(Table::Users, &ids, Read::Consistent, &deadline())
        .await
        .unwrap();
    let row = rows.into_iter().next().unwrap()?;
    Some((String::from_utf8(row.bytes.to_vec()).unwrap(), row.version))
}

#[tokio::test]
async fn a_write_happens_only_when_what_it_expects_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let tables = EmbeddedTables::open(folder.path()).unwrap();
    let delete = Write {
        id: "u".to_owned(),
        expect: Expect::Version(3),
        change: Change::Delete,
    };
    let steps = [
        (put("u", Expect::Version(1), "x"), Written::Conflict, None),
        (
            put("u", Expect::Absent, "a"),
            Written::Done(1),
            Some(("a", 1)),
        ),
        (
            put("u", Expect::Absent, "x"),
            Written::Conflict,
            Some(("a", 1)),
        ),
        (
            put("u", Expect::Version(1), "b"),
            Written::Done(2),
            Some(("b", 2)),
        ),
        (
            put("u", Expect::Version(1), "x"),
            Written::Conflict,
            Some(("b", 2)),
        ),
        (put("u", Expect::Any, "c"), Written::Done(3), Some(("c", 3))),
        (delete.clone(), Written::Done(0), None),
        (delete, Written::Conflict, None),
        (
            put("u", Expect::Absent, "d"),
            Written::Done(1),
            Some(("d", 1)),
        ),
    ];
    for (step, (write, written, after)) in steps.into_iter().enumerate() {
        assert_eq!(one(&tables, write).await.unwrap(), written, "step {step}");
        let after = after.map(|(text, version)| (text.to_owned(), version));
        assert_eq!(value(&tables, "u").await, after, "step {step}");
    }
}

#[tokio::test]
async fn a_bad_write_fails_alone_and_a_repeated_id_fails_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let tables = EmbeddedTables::open(folder.path()).unwrap();
    let large = Change::Put {
        bytes: vec![0; VALUE_BYTES_MAX + 1].into(),
        expires_at_s: None,
    };
    let writes = vec![
        put("", Expect::Any, "x"),
        put("a", Expect::Any, "1"),
        Write {
            id: "b".to_owned(),
            expect: Expect::Any,
            change: large,
        },
        put(&"c".repeat(ID_BYTES_MAX + 1), Expect::Any, "x"),
    ];
    let answers = tables
        .write(Table::Users, writes, &deadline())
        .await
        .unwrap();
    let kinds: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.map_err(|e| e.kind))
        .collect();
    let invalid = Err(ErrorKind::Invalid);
    assert_eq!(kinds, [invalid, Ok(Written::Done(1)), invalid, invalid]);

    let twice = vec![put("a", Expect::Any, "2"), put("a", Expect::Any, "3")];
    let refused = tables
        .write(Table::Users, twice, &deadline())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert_eq!(value(&tables, "a").await, Some(("1".to_owned(), 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_one_wins_each_version() {
    let folder = tempfile::tempdir().unwrap();
    let tables = EmbeddedTables::open(folder.path()).unwrap();
    let tasks = guard::Tasks::new();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let tables = tables.clone();
            tasks.spawn(async move {
                let mut won = 0;
                while won < 25 {
                    let current = value(&tables, "u").await.map(|(_, version)| version);
                    let expect = current.map_or(Expect::Absent, Expect::Version);
                    if let Written::Done(_) = one(&tables, put("u", expect, "v")).await.unwrap() {
                        won += 1;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(value(&tables, "u").await, Some(("v".to_owned(), 200)));
}

#[tokio::test]
async fn a_table_is_walked_in_pages_without_loss_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let tables = EmbeddedTables::open(folder.path()).unwrap();
    let ids: Vec<String> = (0..250).map(|n| format!("v{n:03}")).collect();
    let writes = ids.iter().map(|id| put(id, Expect::Any, "x")).collect();
    tables
        .write(Table::Videos, writes, &deadline())
        .await
        .unwrap();
    drop(tables);

    let tables = EmbeddedTables::open_with(folder.path(), Durability::Buffered).unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = tables
            .scan(Table::Videos, after, 100, &deadline())
            .await
            .unwrap();
        assert!(page.rows.len() <= 100);
        seen.extend(page.rows.into_iter().map(|(id, _)| id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let empty = tables
        .scan(Table::Users, None, 100, &deadline())
        .await
        .unwrap();
    assert_eq!(empty, ScanPage::default());
    let loaded = tables
        .load(Table::Videos, &ids, Read::Eventual, &deadline())
        .await
        .unwrap();
    assert!(loaded.len() == 250 && loaded.iter().all(Option::is_some));
}

#[tokio::test]
async fn only_rows_whose_time_has_come_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let tables = EmbeddedTables::open(folder.path()).unwrap();
    let expiring = |id: &str, expires_at_s| {
        let change = Change::Put {
            bytes: Bytes::from_static(b"x"),
            expires_at_s,
        };
        Write {
            id: id.to_owned(),
            expect: Expect::Any,
            change,
        }
    };
    let writes = vec![
        expiring("a", Some(99)),
        expiring("b", Some(101)),
        expiring("c", None),
    ];
    tables
        .write(Table::Users, writes, &deadline())
        .await
        .unwrap();
    assert_eq!(
        tables.sweep(Table::Users, 100, &deadline()).await.unwrap(),
        1
    );
    let left = tables
        .scan(Table::Users, None, 9, &deadline())
        .await
        .unwrap();
    let left: Vec<&str> = left.rows.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(left, ["b", "c"]);
}
