//! Rows, versions, conditions.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use store::{Change, ErrorKind, Expect, Read, Row, Table, Tables, Write, Written};

use super::{Backend, kind, soon, within};

over_every_backend! {
    a_consistent_read_sees_the_write_before_it,
    versions_begin_at_one_and_rise_with_every_write,
    what_must_be_absent_conflicts_with_a_row,
    a_version_conflicts_unless_it_is_the_rows,
    a_deleted_row_is_gone_and_begins_anew,
    a_delete_conflicts_like_a_put,
    each_write_of_a_call_is_answered_on_its_own,
    no_ids_are_no_rows,
    many_ids_are_loaded_in_their_order,
    a_row_may_be_a_quarter_mebibyte_and_not_a_byte_more,
    ids_are_one_to_512_bytes_of_anything,
    tables_do_not_share_rows,
    a_row_that_expires_later_is_there,
    a_scan_sees_every_row_once,
    of_writers_that_compare_and_swap_none_is_lost,
    a_deadline_that_has_passed_ends_every_call,
}

fn put_of(id: &str, expect: Expect, bytes: impl Into<Bytes>) -> Write {
    let change = Change::Put {
        bytes: bytes.into(),
        expires_at_s: None,
    };
    Write {
        id: id.to_owned(),
        expect,
        change,
    }
}

fn delete_of(id: &str, expect: Expect) -> Write {
    Write {
        id: id.to_owned(),
        expect,
        change: Change::Delete,
    }
}

async fn write(tables: &dyn Tables, write: Write) -> Result<Written, store::Error> {
    let mut answers = tables.write(Table::Users, vec![write], &soon()).await?;
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

async fn put(tables: &dyn Tables, id: &str, expect: Expect, text: &'static str) -> Written {
    write(tables, put_of(id, expect, text)).await.unwrap()
}

async fn load(tables: &dyn Tables, id: &str) -> Option<Row> {
    let ids = [id.to_owned()];
    let rows = tables
        .load(Table::Users, &ids, Read::Consistent, &soon())
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    rows.into_iter().next().flatten()
}

fn row(text: &'static str, version: u64) -> Option<Row> {
    Some(Row {
        bytes: Bytes::from_static(text.as_bytes()),
        version,
    })
}

async fn a_consistent_read_sees_the_write_before_it(backend: Backend) {
    let tables = &*backend.tables;
    assert_eq!(load(tables, "u1").await, None);
    put(tables, "u1", Expect::Any, "one").await;
    assert_eq!(load(tables, "u1").await, row("one", 1));
    put(tables, "u1", Expect::Any, "two").await;
    assert_eq!(load(tables, "u1").await, row("two", 2));
}

async fn versions_begin_at_one_and_rise_with_every_write(backend: Backend) {
    let tables = &*backend.tables;
    assert_eq!(put(tables, "a", Expect::Any, "").await, Written::Done(1));
    assert_eq!(put(tables, "a", Expect::Any, "").await, Written::Done(2));
    assert_eq!(
        put(tables, "a", Expect::Version(2), "x").await,
        Written::Done(3)
    );
    assert_eq!(put(tables, "a", Expect::Any, "y").await, Written::Done(4));
    assert_eq!(
        put(tables, "b", Expect::Absent, "z").await,
        Written::Done(1)
    );
    assert_eq!(
        put(tables, "b", Expect::Version(1), "").await,
        Written::Done(2)
    );
    assert_eq!(
        load(tables, "b").await,
        row("", 2),
        "an empty value is a value"
    );
}

async fn what_must_be_absent_conflicts_with_a_row(backend: Backend) {
    let tables = &*backend.tables;
    assert_eq!(
        put(tables, "a", Expect::Absent, "first").await,
        Written::Done(1)
    );
    assert_eq!(
        put(tables, "a", Expect::Absent, "second").await,
        Written::Conflict
    );
    assert_eq!(load(tables, "a").await, row("first", 1));
}

async fn a_version_conflicts_unless_it_is_the_rows(backend: Backend) {
    let tables = &*backend.tables;
    assert_eq!(
        put(tables, "a", Expect::Version(1), "x").await,
        Written::Conflict
    );
    assert_eq!(load(tables, "a").await, None, "a conflict makes no row");
    put(tables, "a", Expect::Any, "one").await;
    for version in [0, 2, u64::MAX] {
        let conflict = put(tables, "a", Expect::Version(version), "x").await;
        assert_eq!(conflict, Written::Conflict, "{version}");
    }
    assert_eq!(load(tables, "a").await, row("one", 1));
}

async fn a_deleted_row_is_gone_and_begins_anew(backend: Backend) {
    let tables = &*backend.tables;
    put(tables, "a", Expect::Any, "one").await;
    put(tables, "a", Expect::Any, "two").await;
    let deleted = write(tables, delete_of("a", Expect::Any)).await.unwrap();
    assert_eq!(deleted, Written::Done(0));
    assert_eq!(load(tables, "a").await, None);
    let again = write(tables, delete_of("a", Expect::Any)).await.unwrap();
    assert_eq!(again, Written::Done(0), "what is not there can be deleted");
    assert_eq!(
        put(tables, "a", Expect::Absent, "anew").await,
        Written::Done(1)
    );
}

async fn a_delete_conflicts_like_a_put(backend: Backend) {
    let tables = &*backend.tables;
    put(tables, "a", Expect::Any, "one").await;
    for (id, expect, answer) in [
        ("a", Expect::Version(2), Written::Conflict),
        ("a", Expect::Absent, Written::Conflict),
        ("nobody", Expect::Version(1), Written::Conflict),
        ("nobody", Expect::Absent, Written::Done(0)),
        ("a", Expect::Version(1), Written::Done(0)),
    ] {
        let deleted = write(tables, delete_of(id, expect)).await.unwrap();
        assert_eq!(deleted, answer, "{id} {expect:?}");
    }
    assert_eq!(load(tables, "a").await, None);
}

async fn each_write_of_a_call_is_answered_on_its_own(backend: Backend) {
    let tables = &*backend.tables;
    put(tables, "there", Expect::Any, "one").await;
    let mut writes = vec![
        put_of("there", Expect::Absent, "x"),
        put_of("new", Expect::Absent, "y"),
        put_of("", Expect::Any, "z"),
        delete_of("nobody", Expect::Version(3)),
    ];
    writes.extend((0..60).map(|n| put_of(&format!("many-{n}"), Expect::Any, "m")));
    let answers = tables.write(Table::Users, writes, &soon()).await.unwrap();
    assert_eq!(answers.len(), 64);
    let mut answers = answers.into_iter();
    assert_eq!(answers.next().unwrap().unwrap(), Written::Conflict);
    assert_eq!(answers.next().unwrap().unwrap(), Written::Done(1));
    assert_eq!(kind(answers.next().unwrap()), Some(ErrorKind::Invalid));
    assert_eq!(answers.next().unwrap().unwrap(), Written::Conflict);
    assert!(answers.all(|answer| matches!(answer, Ok(Written::Done(1)))));
    assert_eq!(load(tables, "there").await, row("one", 1));
}

async fn no_ids_are_no_rows(backend: Backend) {
    let tables = &*backend.tables;
    let rows = tables
        .load(Table::Users, &[], Read::Eventual, &soon())
        .await
        .unwrap();
    assert!(rows.is_empty());
    assert!(
        tables
            .write(Table::Users, vec![], &soon())
            .await
            .unwrap()
            .is_empty()
    );
}

async fn many_ids_are_loaded_in_their_order(backend: Backend) {
    let tables = &*backend.tables;
    let writes = (0..230).map(|n| put_of(&format!("u{n}"), Expect::Any, format!("value {n}")));
    let written = tables
        .write(Table::Users, writes.collect(), &soon())
        .await
        .unwrap();
    assert!(written.iter().all(Result::is_ok));
    // Backwards, every third unknown, one of them twice.
    let mut ids: Vec<String> = (0..345).rev().map(|n| format!("u{n}")).collect();
    ids.push("u7".to_owned());
    let rows = tables
        .load(Table::Users, &ids, Read::Consistent, &soon())
        .await
        .unwrap();
    assert_eq!(rows.len(), ids.len());
    for (id, row) in ids.iter().zip(rows) {
        let n: usize = id[1..].parse().unwrap();
        let expected = (n < 230).then(|| format!("value {n}"));
        let found = row.map(|row| String::from_utf8(row.bytes.to_vec()).unwrap());
        assert_eq!(found, expected, "{id}");
    }
}

async fn a_row_may_be_a_quarter_mebibyte_and_not_a_byte_more(backend: Backend) {
    let tables = &*backend.tables;
    let largest = vec![7; 256 * 1024];
    let written = write(tables, put_of("a", Expect::Any, largest.clone()))
        .await
        .unwrap();
    assert_eq!(written, Written::Done(1));
    assert_eq!(load(tables, "a").await.unwrap().bytes, largest);
    let too_large = write(tables, put_of("a", Expect::Any, vec![8; 256 * 1024 + 1])).await;
    assert_eq!(kind(too_large), Some(ErrorKind::Invalid));
    assert_eq!(load(tables, "a").await.unwrap().bytes, largest);
}

async fn ids_are_one_to_512_bytes_of_anything(backend: Backend) {
    let tables = &*backend.tables;
    let longest = "i".repeat(512);
    for id in ["a", "a/b=c", "ü \n'\"\\", &longest] {
        put(tables, id, Expect::Absent, "there").await;
        assert_eq!(load(tables, id).await, row("there", 1), "{id:?}");
    }
    for id in ["", &"i".repeat(513), &"ü".repeat(257)] {
        let refused = write(tables, put_of(id, Expect::Any, "x")).await;
        assert_eq!(
            kind(refused),
            Some(ErrorKind::Invalid),
            "{} bytes",
            id.len()
        );
        let refused = write(tables, delete_of(id, Expect::Any)).await;
        assert_eq!(
            kind(refused),
            Some(ErrorKind::Invalid),
            "{} bytes",
            id.len()
        );
    }
}

async fn tables_do_not_share_rows(backend: Backend) {
    for table in Table::ALL {
        let one = put_of("same", Expect::Absent, table.as_str());
        let answers = backend
            .tables
            .write(table, vec![one], &soon())
            .await
            .unwrap();
        assert!(
            matches!(answers[..], [Ok(Written::Done(1))]),
            "{table:?} {answers:?}"
        );
    }
    for table in Table::ALL {
        let ids = ["same".to_owned()];
        let rows = backend
            .tables
            .load(table, &ids, Read::Consistent, &soon())
            .await
            .unwrap();
        assert_eq!(rows, [row(table.as_str(), 1)]);
    }
}

async fn a_row_that_expires_later_is_there(backend: Backend) {
    let tables = &*backend.tables;
    let in_an_hour = within(std::time::Duration::ZERO).clock().now().wall_ms / 1_000 + 3_600;
    let expiring = |expires_at_s| Write {
        id: "lease".to_owned(),
        expect: Expect::Any,
        change: Change::Put {
            bytes: Bytes::from_static(b"held"),
            expires_at_s,
        },
    };
    for (expires_at_s, version) in [(Some(in_an_hour), 1), (None, 2), (Some(in_an_hour), 3)] {
        let written = write(tables, expiring(expires_at_s)).await.unwrap();
        assert_eq!(written, Written::Done(version));
        assert_eq!(load(tables, "lease").await, row("held", version));
    }
}

async fn a_scan_sees_every_row_once(backend: Backend) {
    let tables = &*backend.tables;
    let none = tables.scan(Table::Videos, None, 10, &soon()).await.unwrap();
    assert!(none.rows.is_empty() && none.next.is_none());

    let writes = (0..57).map(|n| put_of(&format!("v{n}"), Expect::Any, format!("{n}")));
    tables
        .write(Table::Videos, writes.collect(), &soon())
        .await
        .unwrap();
    let gone = vec![delete_of("v3", Expect::Any)];
    tables.write(Table::Videos, gone, &soon()).await.unwrap();

    for limit in [1, 10, 56, 57, 1_000] {
        let mut seen = BTreeMap::new();
        let mut after = None;
        loop {
            let page = tables
                .scan(Table::Videos, after.take(), limit, &soon())
                .await
                .unwrap();
            assert!(
                page.rows.len() <= limit,
                "{} rows of {limit}",
                page.rows.len()
            );
            for (id, row) in page.rows {
                let value = String::from_utf8(row.bytes.to_vec()).unwrap();
                assert_eq!(id, format!("v{value}"));
                assert_eq!(seen.insert(id, row.version), None, "seen once");
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), 56, "limit {limit}");
        assert!(!seen.contains_key("v3"));
    }
}

async fn of_writers_that_compare_and_swap_none_is_lost(backend: Backend) {
    const WRITERS: usize = 16;
    const WRITES: usize = 5;
    let tables = &*backend.tables;
    put(tables, "sum", Expect::Any, "0").await;
    let writer = || async move {
        for _ in 0..WRITES {
            loop {
                let row = load(tables, "sum").await.unwrap();
                let sum: usize = std::str::from_utf8(&row.bytes).unwrap().parse().unwrap();
                let next = (sum + 1).to_string();
                let swap = put_of("sum", Expect::Version(row.version), next);
                if write(tables, swap).await.unwrap() != Written::Conflict {
                    break;
                }
            }
        }
    };
    join_all((0..WRITERS).map(|_| writer())).await;
    let row = load(tables, "sum").await.unwrap();
    assert_eq!(row.bytes, (WRITERS * WRITES).to_string());
    assert_eq!(row.version, (WRITERS * WRITES) as u64 + 1);
}

async fn a_deadline_that_has_passed_ends_every_call(backend: Backend) {
    let tables = &*backend.tables;
    let passed = within(std::time::Duration::ZERO);
    let gone = soon();
    gone.cancel();
    for (deadline, expected) in [(passed, ErrorKind::Timeout), (gone, ErrorKind::Cancelled)] {
        let ids = ["a".to_owned()];
        let loaded = tables
            .load(Table::Users, &ids, Read::Eventual, &deadline)
            .await;
        assert_eq!(kind(loaded), Some(expected));
        let scanned = tables.scan(Table::Users, None, 1, &deadline).await;
        assert_eq!(kind(scanned), Some(expected));
        let written = tables.write(Table::Users, vec![put_of("a", Expect::Any, "")], &deadline);
        let written = written.await.and_then(|mut answers| answers.remove(0));
        assert_eq!(kind(written), Some(expected));
    }
}
