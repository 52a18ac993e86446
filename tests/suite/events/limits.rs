//! What a user may send, over every process that takes events.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use embedded::{EmbeddedStream, EmbeddedTables};
use guard::{Clock, Deadline, Tasks};
use http::{Request, StatusCode};
use ops::RealClock;
use serde_json::json;
use store::{Catalogue, LiveTuning, RedisSettings, Shared, Tables, Users};
use tests::Redis;
use tower::ServiceExt as _;
use web::{AdminGuard, Signer};

/// So slow that the test's own time brings no token; Redis may take its time.
const SLOW: &str = r#"{"guard":{"limits":{"user":{"per_second":0.01,"burst":40}}},
    "store":{"budgets":{"redis_ms":1000}}}"#;

/// One process that takes events, with its own buckets and its own way to Redis.
struct Process {
    router: Router,
    _dir: tempfile::TempDir,
}

impl Process {
    async fn start(redis: &Redis) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let deadline = Deadline::after(Arc::clone(&clock), Duration::from_secs(30));
        let settings = RedisSettings::new(&redis.url());
        let shared = Shared::connect(&settings, Arc::clone(&clock), Tasks::new(), &deadline);
        let tables: Arc<dyn Tables> =
            Arc::new(EmbeddedTables::open(&dir.path().join("tables")).unwrap());
        let tuning = Arc::new(LiveTuning::default());
        tuning.offer(SLOW).unwrap();
        let app = ingest::App::new(ingest::Parts {
            stream: Arc::new(EmbeddedStream::open(&dir.path().join("log"), 1).unwrap()),
            catalogue: Arc::new(Catalogue::new(Arc::clone(&tables), Arc::clone(&clock))),
            users: Users::new(tables),
            shared: Some(shared.await.unwrap()),
            signer: Signer::ephemeral(1),
            admin: AdminGuard::new(None),
            tuning,
            tuning_file: None,
            clock,
            seed: 1,
        });
        Self {
            router: ingest::router(app),
            _dir: dir,
        }
    }

    /// How many of so many requests of a user are taken.
    async fn taken(&self, user: &str, requests: usize) -> usize {
        let now_ms = RealClock::new().now().wall_ms;
        let mut taken = 0;
        for _ in 0..requests {
            let event = json!({ "kind": "click", "user_id": user, "video_id": "v1", "ts": now_ms });
            let request = Request::post("/events")
                .header("content-type", "application/json")
                .body(Body::from(json!({ "events": [event] }).to_string()));
            let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
            let status = response.status();
            let known = [StatusCode::ACCEPTED, StatusCode::TOO_MANY_REQUESTS];
            assert!(known.contains(&status), "{status}");
            taken += usize::from(status == StatusCode::ACCEPTED);
        }
        taken
    }
}

#[tokio::test]
async fn what_a_user_sent_to_one_process_the_others_have_heard_of() {
    let redis = Redis::start().await.unwrap();
    let (here, there) = (Process::start(&redis).await, Process::start(&redis).await);
    assert_eq!(
        (here.taken("u1", 1).await, there.taken("u1", 1).await),
        (1, 1)
    );
    assert_eq!(here.taken("u1", 30).await, 30);
    // Hears of thirty with its next one; eight are left.
    assert_eq!(there.taken("u1", 20).await, 1 + 8);
    // Hears of those nine with its next one, and owes them.
    assert_eq!(here.taken("u1", 20).await, 1);
    assert_eq!(there.taken("u2", 60).await, 40, "somebody else");
    println!(
        "shown: user limit of 40 for events, two processes over one Redis: 1 + 30 + 1 here, 1 + 9 there = 42 taken of 72 sent"
    );
}
