//! The AWS stub under the real adapters.

use std::sync::Arc;
use std::time::Duration;

use aws::{Aws, AwsSettings};
use bytes::Bytes;
use guard::Deadline;
use ops::RealClock;
use ops::settings::{MapLookup, Reader};
use store::{Change, ErrorKind, Expect, Ports, Read, Record, Table, Write, Written};
use tests::{AwsStub, Call, Fault, Rule};

const SOON: Duration = Duration::from_secs(10);
const IN_VAIN: Duration = Duration::from_millis(150);

fn deadline(span: Duration) -> Deadline {
    Deadline::after(Arc::new(RealClock::new()), span)
}

async fn connect(stub: &AwsStub) -> Ports {
    let lookup = MapLookup::from([
        ("REELWAY_BUCKET", "bucket".to_owned()),
        ("REELWAY_AWS_ENDPOINT_DYNAMODB", stub.endpoint()),
        ("REELWAY_AWS_ENDPOINT_KINESIS", stub.endpoint()),
        ("REELWAY_AWS_ENDPOINT_S3", stub.endpoint()),
    ]);
    let mut reader = Reader::new(&lookup);
    let settings = AwsSettings::read(&mut reader);
    reader.finish().unwrap();
    Aws::connect(&settings).await.ports()
}

fn put(id: &str, expect: Expect) -> Write {
    let change = Change::Put {
        bytes: Bytes::from(format!("row {id}")),
        expires_at_s: None,
    };
    Write {
        id: id.to_owned(),
        expect,
        change,
    }
}

async fn write(aws: &Ports, write: Write) -> Result<Written, ErrorKind> {
    let answers = aws
        .tables
        .write(Table::Users, vec![write], &deadline(SOON))
        .await;
    answers.unwrap().remove(0).map_err(|error| error.kind)
}

async fn load(aws: &Ports, ids: &[&str], span: Duration) -> Result<Vec<Option<u64>>, ErrorKind> {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let rows = aws
        .tables
        .load(Table::Users, &ids, Read::Consistent, &deadline(span))
        .await;
    let rows = rows.map_err(|error| error.kind)?;
    Ok(rows
        .into_iter()
        .map(|row| row.map(|row| row.version))
        .collect())
}

fn records(count: usize) -> Vec<Record> {
    let record = |n| Record {
        partition_key: format!("key-{n}"),
        data: Bytes::from(vec![7; n]),
    };
    (1..=count).map(record).collect()
}

#[tokio::test]
async fn rows_are_written_under_conditions_and_read_back() {
    let stub = AwsStub::start().unwrap();
    let aws = connect(&stub).await;
    assert_eq!(
        write(&aws, put("a", Expect::Absent)).await,
        Ok(Written::Done(1))
    );
    assert_eq!(
        write(&aws, put("a", Expect::Absent)).await,
        Ok(Written::Conflict)
    );
    assert_eq!(
        write(&aws, put("a", Expect::Version(1))).await,
        Ok(Written::Done(2))
    );
    assert_eq!(
        write(&aws, put("a", Expect::Any)).await,
        Ok(Written::Done(3))
    );
    assert_eq!(
        write(&aws, put("b", Expect::Any)).await,
        Ok(Written::Done(1))
    );
    let found = load(&aws, &["b", "none", "a"], SOON).await;
    assert_eq!(found, Ok(vec![Some(1), None, Some(3)]));

    let page = aws
        .tables
        .scan(Table::Users, None, 1, &deadline(SOON))
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("a"));
    let page = aws
        .tables
        .scan(Table::Users, page.next, 10, &deadline(SOON))
        .await
        .unwrap();
    assert_eq!((page.rows.len(), page.next), (1, None));

    let delete = Write {
        id: "a".into(),
        expect: Expect::Version(3),
        change: Change::Delete,
    };
    assert_eq!(write(&aws, delete.clone()).await, Ok(Written::Done(0)));
    assert_eq!(write(&aws, delete).await, Ok(Written::Conflict));
    assert_eq!(load(&aws, &["a"], SOON).await, Ok(vec![None]));
    assert_eq!(
        (stub.calls(Call::GetItem), stub.calls(Call::BatchGetItem)),
        (1, 1)
    );
}

#[tokio::test]
async fn what_a_rule_breaks_fails_in_its_way_and_every_attempt_is_counted() {
    let stub = AwsStub::start().unwrap();
    let aws = connect(&stub).await;
    for (fault, kind) in [
        (Fault::Throttle, ErrorKind::Throttled),
        (Fault::ServerError, ErrorKind::Unavailable),
        (Fault::Stall, ErrorKind::Timeout),
        (Fault::Delay(SOON), ErrorKind::Timeout),
    ] {
        stub.reset_counters();
        stub.plant(Rule::on(Call::GetItem, fault));
        assert_eq!(load(&aws, &["a"], IN_VAIN).await, Err(kind), "{fault:?}");
        assert_eq!(
            (stub.calls(Call::GetItem), stub.faults(Call::GetItem)),
            (1, 1),
            "{fault:?}"
        );
        stub.heal();
        assert_eq!(load(&aws, &["a"], SOON).await, Ok(vec![None]));
    }
}

#[tokio::test]
async fn a_rule_may_hold_for_some_attempts_or_for_one_key() {
    let stub = AwsStub::start().unwrap();
    let aws = connect(&stub).await;
    stub.plant(
        Rule::on(Call::GetItem, Fault::Throttle)
            .for_key("hot")
            .times(2),
    );
    for (id, expected) in [
        ("cold", Ok(vec![None])),
        ("hot", Err(ErrorKind::Throttled)),
        ("hot", Err(ErrorKind::Throttled)),
        ("hot", Ok(vec![None])),
    ] {
        assert_eq!(load(&aws, &[id], SOON).await, expected, "{id}");
    }
}

#[tokio::test]
async fn what_stalls_is_done_when_it_is_released() {
    let stub = AwsStub::start().unwrap();
    let aws = connect(&stub).await;
    stub.plant(Rule::on_everything(Fault::Stall));
    let (answer, ()) = tokio::join!(load(&aws, &["a"], SOON), async {
        while stub.faults(Call::GetItem) == 0 {
            tokio::task::yield_now().await;
        }
        stub.heal();
    });
    assert_eq!(answer, Ok(vec![None]));
}

#[tokio::test]
async fn unprocessed_keys_are_named_and_asked_for_again() {
    let stub = AwsStub::start().unwrap();
    let aws = connect(&stub).await;
    for id in ["a", "b", "c", "d"] {
        write(&aws, put(id, Expect::Any)).await.unwrap();
    }
    stub.plant(Rule::on(Call::BatchGetItem, Fault::Partial { percent: 50 }));
    let found = load(&aws, &["a", "b", "c", "d"], SOON).await;
    assert_eq!(found, Ok(vec![Some(1); 4]));
    assert!(stub.calls(Call::BatchGetItem) > 1);
}

#[tokio::test]
async fn a_share_of_the_records_of_a_put_fails() {
    let stub = AwsStub::start().unwrap();
    let aws = connect(&stub).await;
    stub.plant(Rule::on(Call::PutRecords, Fault::Partial { percent: 30 }));
    let answers = aws
        .stream
        .append(records(100), &deadline(SOON))
        .await
        .unwrap();
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(
        (failed, stub.records().len(), stub.records_offered()),
        (30, 70, 100)
    );
    let refused = answers.into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.kind, ErrorKind::Throttled);

    stub.heal();
    let answers = aws
        .stream
        .append(records(5), &deadline(SOON))
        .await
        .unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(stub.records().last().unwrap().data, Bytes::from(vec![7; 5]));
}

#[tokio::test]
async fn objects_are_kept_listed_and_deleted() {
    let stub = AwsStub::start().unwrap();
    let objects = connect(&stub).await.objects;
    let soon = deadline(SOON);
    let (key, bytes) = (
        "lake/dt=2026-11-21/a-1.parquet",
        Bytes::from(vec![1; 100_000]),
    );
    objects.put(key, bytes.clone(), &soon).await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    objects
        .put_file("lake/dt=2026-11-22/b.parquet", file.path(), &soon)
        .await
        .unwrap();

    for key in [key, "lake/dt=2026-11-22/b.parquet"] {
        assert_eq!(
            objects.get(key, 1_000_000, &soon).await.unwrap(),
            bytes,
            "{key}"
        );
    }
    let listed = objects.list("lake/dt=2026-11-21/", &soon).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].key.as_str(), listed[0].bytes), (key, 100_000));

    objects.delete(&[key.to_owned()], &soon).await.unwrap();
    let missing = objects.get(key, 10, &soon).await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
}
