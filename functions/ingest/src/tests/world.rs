//! The function on one machine's stores, with a stream that fails when told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use embedded::{Durability, EmbeddedStream, EmbeddedTables};
use engine::{Event, UserId};
use guard::{Deadline, ManualClock};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use store::{
    Catalogue, Error, ErrorKind, LiveTuning, Position, Record, Shared, Stream, StreamRecord, Users,
    aggregate, events,
};
use tower::ServiceExt;
use web::{AdminGuard, Signer};

use crate::{App, Parts};

pub const NOW_MS: i64 = 1_760_000_000_000;
const SHARDS: u16 = 2;

pub struct World {
    pub clock: Arc<ManualClock>,
    pub stream: Arc<Faulty>,
    pub catalogue: Arc<Catalogue>,
    pub users: Users,
    pub tuning: Arc<LiveTuning>,
    pub router: Router,
    _dir: tempfile::TempDir,
}

/// One answer, read to its end.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

/// A stream that refuses everything, or everything of one partition key.
pub struct Faulty {
    inner: EmbeddedStream,
    pub down: AtomicBool,
    pub stalled: AtomicBool,
    pub refused_key: std::sync::Mutex<Option<String>>,
    pub appends: AtomicUsize,
}

#[async_trait]
impl Stream for Faulty {
    async fn append(
        &self,
        records: Vec<Record>,
        deadline: &Deadline,
    ) -> Result<Vec<Result<Position, Error>>, Error> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "append"));
        }
        if self.stalled.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let refused = self.refused_key.lock().unwrap().clone();
        let mut answers = Vec::new();
        for record in records {
            if Some(&record.partition_key) == refused.as_ref() {
                answers.push(Err(Error::new(ErrorKind::Throttled, "append")));
            } else {
                answers.extend(self.inner.append(vec![record], deadline).await?);
            }
        }
        Ok(answers)
    }

    async fn shards(&self, deadline: &Deadline) -> Result<Vec<String>, Error> {
        self.inner.shards(deadline).await
    }

    async fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Vec<StreamRecord>, Error> {
        self.inner.read(shard, after, limit, deadline).await
    }
}

impl World {
    /// A world whose admin routes need this key, or a local peer.
    pub fn new(admin_key: Option<&str>) -> Self {
        Self::sharing(admin_key, None)
    }

    /// The same with a shared tier.
    pub fn sharing(admin_key: Option<&str>, shared: Option<Shared>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(NOW_MS));
        let tables = EmbeddedTables::open_with(&dir.path().join("tables"), Durability::Buffered);
        let tables = Arc::new(tables.unwrap());
        let stream = Arc::new(Faulty {
            inner: EmbeddedStream::open(&dir.path().join("stream"), SHARDS).unwrap(),
            down: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            refused_key: std::sync::Mutex::default(),
            appends: AtomicUsize::new(0),
        });
        let catalogue = Arc::new(Catalogue::new(tables.clone(), clock.clone()));
        let users = Users::new(tables);
        let tuning = Arc::new(LiveTuning::default());
        let router = crate::router(App::new(Parts {
            stream: stream.clone(),
            catalogue: Arc::clone(&catalogue),
            users: users.clone(),
            shared,
            signer: signer(),
            admin: AdminGuard::new(admin_key),
            tuning: Arc::clone(&tuning),
            tuning_file: None,
            clock: clock.clone(),
            seed: 7,
        }));
        Self {
            clock,
            stream,
            catalogue,
            users,
            tuning,
            router,
            _dir: dir,
        }
    }

    /// A world with a hot document.
    pub fn tuned(document: &str) -> Self {
        let world = Self::new(None);
        world.tuning.offer(document).unwrap();
        world
    }

    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.clock.clone(), Duration::from_secs(30))
    }

    /// From this machine.
    pub async fn json(&self, method: Method, uri: &str, body: &Value) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))))
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply {
            status: parts.status,
            headers: parts.headers,
            json,
        }
    }

    /// Everything the stream has.
    pub async fn streamed(&self) -> Vec<Event> {
        let deadline = self.deadline();
        let mut found = Vec::new();
        for shard in self.stream.shards(&deadline).await.unwrap() {
            for record in self
                .stream
                .read(&shard, None, 10_000, &deadline)
                .await
                .unwrap()
            {
                let items = aggregate::unpack(&record.data).unwrap();
                found.extend(
                    items
                        .iter()
                        .map(|(_, bytes)| events::decode(bytes).unwrap()),
                );
            }
        }
        found.sort_by(|a: &Event, b| a.event_id.cmp(&b.event_id));
        found
    }
}

pub fn signer() -> Signer {
    Signer::from_secret("a secret for the tests only").unwrap()
}

pub fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

pub fn assert_problem(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(reply.status, status, "{what} {}", reply.json);
    assert_eq!(
        reply.headers["content-type"], "application/problem+json",
        "{what}"
    );
    assert_eq!(reply.headers["cache-control"], "no-store", "{what}");
    assert_eq!(reply.json["code"], code, "{what}");
    assert_eq!(
        reply.json["request_id"],
        reply.headers["x-request-id"].to_str().unwrap()
    );
}
