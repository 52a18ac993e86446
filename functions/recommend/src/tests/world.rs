//! A small world: 120 videos of three categories, 60 users with one taste each.

mod counting;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use embedded::{Durability, EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use engine::{Event, EventKind, Pipeline, UserId, UserState, Video, VideoId};
use guard::{Breaker, Clock, Deadline, ManualClock, Tasks};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use learn::{BuildOptions, GenerationBuilder};
use serde_json::Value;
use store::{
    Catalogue, GenerationReader, Generations, LiveTuning, Origin, OriginParts, Outbox, Stream,
    Tiered, TieredParts, Users, apply_event, apply_profile,
};
use tower::ServiceExt;
use web::Signer;

use crate::{App, Parts};

pub use counting::Counting;

pub const NOW_MS: i64 = 1_760_000_000_000;
pub const VIDEOS: usize = 120;
pub const CATEGORIES: [&str; 3] = ["cooking", "music", "sport"];
const USERS: usize = 60;
const HOUR_MS: i64 = 3_600_000;

/// Everything a function is made of, and the function over HTTP.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub tables: Arc<Counting>,
    pub users: Users,
    pub catalogue: Arc<Catalogue>,
    pub generations: Arc<GenerationReader>,
    pub tuning: Arc<LiveTuning>,
    pub outbox: Arc<Outbox>,
    pub stream: Arc<EmbeddedStream>,
    pub router: Router,
    dir: tempfile::TempDir,
}

/// One answer, read to its end.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

impl World {
    /// A world with a mapped generation and everybody's state.
    pub async fn new() -> Self {
        Self::of(VIDEOS).await
    }

    /// The same with this many videos.
    pub async fn of(videos: usize) -> Self {
        let world = Self::empty();
        world.learn(videos).await;
        world
    }

    /// A world in which nothing ever happened.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(NOW_MS));
        let (tables, stream, objects) = open(dir.path());
        let tables = Arc::new(Counting::over(tables));
        let catalogue = Arc::new(Catalogue::new(tables.clone(), clock.clone()));
        let generations = Arc::new(GenerationReader::new(
            objects,
            dir.path().join("mapped"),
            clock.clone(),
        ));
        let outbox = Arc::new(Outbox::new(stream.clone(), clock.clone()));
        let users = Users::new(tables.clone());
        let mut world = Self {
            clock,
            tables,
            users,
            catalogue,
            generations,
            tuning: Arc::new(LiveTuning::default()),
            outbox,
            stream,
            router: Router::new(),
            dir,
        };
        world.router = world.another_process();
        world
    }

    /// Everything that has been told to the stream, in the order of places.
    pub async fn told(&self) -> Vec<Event> {
        let deadline = self.deadline();
        self.outbox.flush(&deadline).await;
        let mut told = Vec::new();
        for shard in self.stream.shards(&deadline).await.unwrap() {
            for record in self
                .stream
                .read(&shard, None, 1_000, &deadline)
                .await
                .unwrap()
            {
                let parts = store::aggregate::unpack(&record.data).unwrap();
                told.extend(
                    parts
                        .iter()
                        .map(|(_, bytes)| store::events::decode(bytes).unwrap()),
                );
            }
        }
        told.sort_by_key(|event| event.slate_position);
        told
    }

    /// The same stores behind a process that remembers nothing.
    pub fn another_process(&self) -> Router {
        self.process_by(self.clock.clone())
    }

    /// The same by a clock of its own.
    pub fn process_by(&self, clock: Arc<dyn Clock>) -> Router {
        let breaker = guard::BreakerTuning::default();
        let origin = Origin::new(OriginParts {
            users: self.users.clone(),
            catalogue: Arc::clone(&self.catalogue),
            generations: Arc::clone(&self.generations),
            pipeline: Arc::new(Pipeline::standard()),
            breaker: Breaker::new("users", breaker, Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            builtin: Vec::new(),
        });
        let tiered = Tiered::new(TieredParts {
            origin,
            shared: None,
            tuning: Arc::clone(&self.tuning),
            clock: Arc::clone(&clock),
            tasks: Tasks::new(),
            local_bytes_max: 16 << 20,
        });
        crate::router(App::new(Parts {
            tiered,
            catalogue: Arc::clone(&self.catalogue),
            users: self.users.clone(),
            generations: Arc::clone(&self.generations),
            tuning: Arc::clone(&self.tuning),
            upkeep: None,
            outbox: Arc::clone(&self.outbox),
            signer: signer(),
            dependencies: Vec::new(),
            clock,
            seed: 7,
        }))
    }

    async fn learn(&self, videos: usize) {
        let deadline = self.deadline();
        let videos: Vec<Video> = (0..videos).map(video).collect();
        let profiles = self.publish("2025-10-09.1", &videos, 0).await;
        self.catalogue.put(videos, &deadline).await.unwrap();
        for number in 0..USERS {
            let id = user_id(number);
            let profile = profiles
                .iter()
                .find(|(user, _)| *user == id)
                .map(|(_, p)| p.clone());
            let change = |state: &mut UserState| {
                diary(number).iter().for_each(|event| {
                    apply_event(state, event);
                });
                profile
                    .as_ref()
                    .is_none_or(|profile| apply_profile(state, profile, NOW_MS))
            };
            self.users.update(&id, &deadline, change).await.unwrap();
        }
    }

    /// Another night: a generation in which everybody watched what somebody else had, mapped.
    pub async fn night(&self, generation: &str, videos: usize, shift: usize) {
        let videos: Vec<Video> = (0..videos).map(video).collect();
        self.publish(generation, &videos, shift).await;
    }

    async fn publish(
        &self,
        generation: &str,
        videos: &[Video],
        shift: usize,
    ) -> Vec<(UserId, engine::Profile)> {
        let deadline = self.deadline();
        let options = BuildOptions {
            cohort_users_min: 5,
            ..BuildOptions::new(generation, NOW_MS)
        };
        let mut builder = GenerationBuilder::new(options);
        let events = (0..USERS).flat_map(|user| {
            let theirs = diary(user + shift).into_iter();
            theirs.map(move |event| Event {
                user_id: user_id(user),
                ..event
            })
        });
        videos
            .iter()
            .for_each(|video| builder.add_video(video).unwrap());
        events.for_each(|event| builder.add_event(&event).unwrap());
        let mut built = builder.finish().unwrap();
        let file = self.dir.path().join("built.idx");
        built.write_to(&file).unwrap();
        let objects = EmbeddedObjects::open(&self.dir.path().join("objects")).unwrap();
        let generations = Generations::new(Arc::new(objects));
        generations
            .publish(generation, &file, &deadline)
            .await
            .unwrap();
        assert!(self.generations.refresh(&deadline).await.unwrap());
        built.profiles
    }

    /// Something more that a user does.
    pub async fn happens(&self, event: &Event) {
        let deadline = self.deadline();
        let joined = |state: &mut UserState| apply_event(state, event);
        self.users
            .update(&event.user_id, &deadline, joined)
            .await
            .unwrap();
    }

    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.clock.clone(), Duration::from_secs(30))
    }

    pub async fn get(&self, uri: &str) -> Reply {
        self.send(Request::get(uri).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, uri: &str, json: &Value) -> Reply {
        let request = Request::post(uri).header("content-type", "application/json");
        self.send(request.body(Body::from(json.to_string())).unwrap())
            .await
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        reply(self.router.clone(), request).await
    }
}

impl Reply {
    /// The videos of the page.
    pub fn ids(&self) -> Vec<String> {
        let items = self.json["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{}", self.json));
        items
            .iter()
            .map(|item| item["video_id"].as_str().unwrap().to_owned())
            .collect()
    }

    pub fn cursor(&self) -> Option<&str> {
        self.json["next_cursor"].as_str()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn degraded(&self) -> Vec<&str> {
        self.json["degraded"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c.as_str().unwrap())
            .collect()
    }
}

pub async fn reply(router: Router, request: Request<Body>) -> Reply {
    let response: Response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Reply {
        status: parts.status,
        headers: parts.headers,
        json,
    }
}

pub fn signer() -> Signer {
    Signer::from_secret("a secret for the tests only").unwrap()
}

pub fn user_id(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

pub fn video_id(number: usize) -> VideoId {
    VideoId::parse(&format!("v{number}")).unwrap()
}

/// The category of a video, and the taste of a user, by number.
pub fn taste(number: usize) -> &'static str {
    CATEGORIES[number % CATEGORIES.len()]
}

pub fn event(kind: EventKind, user: usize, video: usize, ts_ms: i64) -> Event {
    Event {
        event_id: format!("{}-{user}-{video}", kind.as_str()).into(),
        kind,
        user_id: user_id(user),
        video_id: video_id(video),
        ts_ms,
        watch_ms: (kind == EventKind::Watch).then_some(25_000),
        duration_ms: (kind == EventKind::Watch).then_some(30_000),
        scene: "home".into(),
        market: "DE".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "".into(),
        slate_position: None,
        arms: "".into(),
        made: None,
    }
}

fn video(number: usize) -> Video {
    let mut video = Video::new(video_id(number));
    video.title = format!("Video {number}");
    video.creator = Some(format!("c{}", number % 40).parse().unwrap());
    video.categories = vec![taste(number).into()];
    video.tags = vec![format!("tag{}", number % 12).into()];
    video.duration_ms = 30_000;
    video.published_at = NOW_MS - (1_000 - number as i64) * HOUR_MS;
    video
}

/// Ten videos of the user's taste, watched one after another.
fn diary(user: usize) -> Vec<Event> {
    let watched = |n: usize| {
        let video = (user % 3) + 3 * ((user * 7 + n * 5) % 30);
        event(
            EventKind::Watch,
            user,
            video,
            NOW_MS - (20 - n as i64) * HOUR_MS / 4,
        )
    };
    (0..10).map(watched).collect()
}

fn open(dir: &Path) -> (EmbeddedTables, Arc<EmbeddedStream>, Arc<EmbeddedObjects>) {
    let tables = EmbeddedTables::open_with(&dir.join("tables"), Durability::Buffered).unwrap();
    let stream = EmbeddedStream::open(&dir.join("stream"), 2).unwrap();
    let objects = EmbeddedObjects::open(&dir.join("objects")).unwrap();
    (tables, Arc::new(stream), Arc::new(objects))
}
