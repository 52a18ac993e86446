//! `DELETE /users/{id}` names when forgetting is complete; by then the night must have run without
//! the user.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use engine::{UserId, Video, VideoId};
use guard::{Clock, Deadline, ManualClock};
use http::Request;
use http_body_util::BodyExt as _;
use lake::{Lake, LakeRow};
use serde_json::{Value, json};
use store::{Catalogue, Control, Generations, Objects, Read, Stream, Tables, Users};
use tower::ServiceExt as _;
use web::{AdminGuard, Signer};

use super::truth::event;

const DAY_MS: i64 = 24 * 3_600_000;
/// 2026-11-20, midnight.
const FIRST_MS: i64 = 1_795_132_800_000;
const USERS: u64 = 20;

struct World {
    clock: Arc<ManualClock>,
    tables: Arc<dyn Tables>,
    objects: Arc<dyn Objects>,
    stream: Arc<dyn Stream>,
    dir: tempfile::TempDir,
}

impl World {
    fn new(now_ms: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        Self {
            clock: Arc::new(ManualClock::starting_at(now_ms)),
            tables: Arc::new(EmbeddedTables::open(&at("tables")).unwrap()),
            objects: Arc::new(EmbeddedObjects::open(&at("objects")).unwrap()),
            stream: Arc::new(EmbeddedStream::open(&at("log"), 1).unwrap()),
            dir,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn soon(&self) -> Deadline {
        Deadline::after(self.clock(), Duration::from_secs(600))
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::new(Catalogue::new(Arc::clone(&self.tables), self.clock()))
    }

    fn lake(&self) -> Arc<Lake> {
        Arc::new(Lake::new(Arc::clone(&self.objects)))
    }

    /// Everybody watches on this day, `u3` too unless left out.
    async fn day(&self, day: i64) {
        let row = |n: usize| LakeRow {
            event: event(
                n + day as usize * 10_000,
                n as u64 % USERS,
                n as u64 * 7 % 30,
                2,
                FIRST_MS + day * DAY_MS + n as i64,
            ),
            shard: "shard-000".into(),
            sequence: format!("{}", day + 1).into(),
            index: n as u32,
        };
        let rows = (0..2_000).map(row).collect();
        self.lake().write(rows, &self.soon()).await.unwrap();
    }

    /// The T+1 job; answers whose profiles the newest day has.
    async fn night(&self) -> Vec<UserId> {
        let job = profile::Job::new(
            profile::Parts {
                lake: self.lake(),
                catalogue: self.catalogue(),
                users: Arc::new(Users::new(Arc::clone(&self.tables))),
                generations: Arc::new(Generations::new(Arc::clone(&self.objects))),
                objects: Arc::clone(&self.objects),
                control: Arc::new(Control::new(Arc::clone(&self.tables), self.clock())),
                work_dir: self.dir.path().join("work"),
                owner: "test".to_owned(),
                clock: self.clock(),
            },
            profile::Options::default(),
        );
        job.run(None, &self.soon()).await.unwrap();
        let lake = self.lake();
        let day = *lake
            .profile_days(&self.soon())
            .await
            .unwrap()
            .last()
            .unwrap();
        let mut users = Vec::new();
        for meta in lake.profile_files(day, &self.soon()).await.unwrap() {
            for batch in lake.open_profiles(&meta.key, &self.soon()).await.unwrap() {
                users.extend(batch.unwrap().into_iter().map(|row| row.user_id));
            }
        }
        users
    }

    /// Answers when it will be complete, Unix time in milliseconds.
    async fn delete(&self, user: &str) -> i64 {
        let router = ingest::router(ingest::App::new(ingest::Parts {
            stream: Arc::clone(&self.stream),
            catalogue: self.catalogue(),
            users: Users::new(Arc::clone(&self.tables)),
            shared: None,
            signer: Signer::ephemeral(1),
            admin: AdminGuard::new(Some("key")),
            tuning: Arc::default(),
            tuning_file: None,
            clock: self.clock(),
            seed: 1,
        }));
        let request = Request::delete(format!("/users/{user}"))
            .extension(web::Caller {
                subject: None,
                admin: true,
            })
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 202);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let text = answer["complete_at"].as_str().unwrap();
        time_ms(text)
    }
}

/// RFC 3339, read as the service reads it.
fn time_ms(text: &str) -> i64 {
    let object = json!({ "at": text }).as_object().unwrap().clone();
    let read = web::Params::of_json(object, &["at"]).time_ms("at");
    read.ok().flatten().unwrap()
}

#[tokio::test]
async fn by_complete_at_the_night_has_run_without_the_deleted_user() {
    let asked_ms = FIRST_MS + DAY_MS + DAY_MS / 2;
    let world = World::new(asked_ms);
    let videos = (0..30).map(|n| Video::new(VideoId::parse(&format!("v{n}")).unwrap()));
    world
        .catalogue()
        .put(videos.collect(), &world.soon())
        .await
        .unwrap();
    let gone = UserId::parse("u3").unwrap();
    world.day(0).await;
    assert!(world.night().await.contains(&gone), "known before");

    let complete_ms = world.delete("u3").await;
    // What the user did earlier that day comes late, after the deletion.
    world.day(1).await;
    world
        .clock
        .advance(Duration::from_millis((complete_ms - asked_ms) as u64));
    let profiles = world.night().await;
    assert!(profiles.len() as u64 >= USERS - 2, "{}", profiles.len());
    assert!(
        !profiles.contains(&gone),
        "the next profiles are without the user"
    );
    let users = Users::new(Arc::clone(&world.tables));
    let state = users
        .load(&[gone], Read::Consistent, &world.soon())
        .await
        .unwrap();
    let state = state[0].clone().unwrap();
    assert!(state.tombstone_ms.is_some() && state.recent.is_empty() && state.profile.is_none());
    assert!((complete_ms - asked_ms) <= 2 * DAY_MS, "two days at most");
}
