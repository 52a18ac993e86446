//! Real servers come up, misbehave on request and leave nothing behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use bytes::Bytes;
use guard::Deadline;
use ops::RealClock;
use store::{Change, Expect, Read, Record, Table, Write, Written};
use tests::servers::Signal;
use tests::{Cloud, Redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const IN_VAIN: Duration = Duration::from_millis(150);

async fn ping(addr: SocketAddr) -> std::io::Result<[u8; 7]> {
    let mut connection = TcpStream::connect(addr).await?;
    connection.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    connection.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn redis_freezes_thaws_restarts_and_is_gone_when_dropped() {
    let mut redis = Redis::start().await.unwrap();
    let addr = redis.addr();
    assert_eq!(&ping(addr).await.unwrap(), b"+PONG\r\n");

    redis.signal(Signal::Freeze).unwrap();
    assert!(timeout(IN_VAIN, ping(addr)).await.is_err());
    redis.signal(Signal::Thaw).unwrap();
    assert!(ping(addr).await.is_ok());

    redis.stop().await.unwrap();
    assert!(ping(addr).await.is_err());
    redis.restart().await.unwrap();
    assert!(ping(addr).await.is_ok());

    drop(redis);
    assert!(ping(addr).await.is_err());
}

#[tokio::test]
async fn a_cloud_has_tables_a_stream_and_a_bucket_of_its_own() {
    let (one, other) = (
        Cloud::start(2).await.unwrap(),
        Cloud::start(1).await.unwrap(),
    );
    let deadline = Deadline::after(Arc::new(RealClock::new()), Duration::from_secs(30));
    let aws = Aws::connect(&one.settings().unwrap()).await.ports();
    let change = Change::Put {
        bytes: Bytes::from_static(b"x"),
        expires_at_s: None,
    };
    let write = Write {
        id: "a".into(),
        expect: Expect::Absent,
        change,
    };
    for table in Table::ALL {
        let written = aws
            .tables
            .write(table, vec![write.clone()], &deadline)
            .await
            .unwrap();
        assert_eq!(
            written.into_iter().next().unwrap().unwrap(),
            Written::Done(1)
        );
    }
    let record = Record {
        partition_key: "u".into(),
        data: Bytes::from_static(b"event"),
    };
    assert!(aws.stream.append(vec![record], &deadline).await.unwrap()[0].is_ok());
    assert_eq!(aws.stream.shards(&deadline).await.unwrap().len(), 2);
    aws.objects
        .put("index/x", Bytes::from_static(b"x"), &deadline)
        .await
        .unwrap();

    let aws = Aws::connect(&other.settings().unwrap()).await.ports();
    let ids = ["a".to_owned()];
    let rows = aws
        .tables
        .load(Table::Users, &ids, Read::Consistent, &deadline)
        .await
        .unwrap();
    assert_eq!(rows, [None]);
    assert_eq!(aws.objects.list("index/", &deadline).await.unwrap(), []);
}
