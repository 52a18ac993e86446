//! A user's new version that the shared tier could not be told of is told with the next batch.

use std::sync::Arc;
use std::time::Duration;

use clickstream::{Clickstream, Parts};
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use engine::UserId;
use guard::{Clock, Deadline, Tasks};
use ops::RealClock;
use store::redis::SharedKey;
use store::{
    BatchOutcome, Consumer, DeadLetters, Ports, RedisSettings, Shared, StreamRecord, Users,
    publish_events,
};
use tests::{Mode, Proxy, Redis};

use super::truth::event;

const LIKE: usize = 3;
/// Longer than Redis is left alone after it failed.
const TRIES: usize = 200;

struct World {
    clock: Arc<dyn Clock>,
    ports: Ports,
    shared: Shared,
    clickstream: Clickstream,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(redis: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
        let ports = Ports {
            tables: Arc::new(EmbeddedTables::open(&at("tables")).unwrap()),
            stream: Arc::new(EmbeddedStream::open(&at("log"), 1).unwrap()),
            objects: Arc::new(EmbeddedObjects::open(&at("objects")).unwrap()),
        };
        let soon = Deadline::after(Arc::clone(&clock), Duration::from_secs(30));
        let settings = RedisSettings::new(redis);
        let shared = Shared::connect(&settings, Arc::clone(&clock), Tasks::new(), &soon).await;
        let shared = shared.unwrap();
        let clickstream = Clickstream::new(Parts {
            users: Arc::new(Users::new(Arc::clone(&ports.tables))),
            counters: Arc::clone(&ports.tables),
            dead: DeadLetters::new(Arc::clone(&ports.objects), Clickstream::NAME),
            shared: Some(Arc::new(shared.clone())),
            clock: Arc::clone(&clock),
        });
        Self {
            clock,
            ports,
            shared,
            clickstream,
            _dir: dir,
        }
    }

    fn soon(&self) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), Duration::from_secs(30))
    }

    /// One user does something, and the consumer applies it.
    async fn acts(&self, id: usize, user: u64) {
        let soon = self.soon();
        let shard = self.ports.stream.shards(&soon).await.unwrap().remove(0);
        let before = self.read(&shard, None).await;
        let after = before.last().map(|last| last.position.sequence.clone());
        let liked = event(id, user, 1, LIKE, self.clock.now().wall_ms);
        publish_events(&*self.ports.stream, &[liked], &soon).await;
        let batch = self.read(&shard, after.as_deref()).await;
        assert_eq!(batch.len(), 1);
        let outcome = self.clickstream.consume(batch, &soon).await;
        assert_eq!(outcome, BatchOutcome::default(), "the stream goes on");
    }

    async fn read(&self, shard: &str, after: Option<&str>) -> Vec<StreamRecord> {
        let stream = &self.ports.stream;
        stream.read(shard, after, 100, &self.soon()).await.unwrap()
    }

    /// The version that the shared tier names, once it answers again.
    async fn version(&self, user: &str) -> Option<u64> {
        let key = SharedKey::user_version(&UserId::parse(user).unwrap());
        for _ in 0..TRIES {
            if let Ok(found) = self
                .shared
                .mget(std::slice::from_ref(&key), &self.soon())
                .await
            {
                let found = found.into_iter().next().flatten();
                return found.map(|version| version.rank.user_version);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the shared tier does not answer");
    }
}

#[tokio::test]
async fn a_version_that_redis_missed_is_raised_with_the_next_batch() {
    let redis = Redis::start().await.unwrap();
    let proxy = Proxy::start(redis.addr()).unwrap();
    let world = World::new(&format!("redis://{}", proxy.addr())).await;
    world.acts(1, 7).await;
    assert_eq!(world.version("u7").await, Some(1));
    proxy.set(Mode::Refuse).await.unwrap();
    world.acts(2, 7).await;
    proxy.set(Mode::Pass).await.unwrap();
    assert_eq!(
        world.version("u7").await,
        Some(1),
        "Redis has not heard of it"
    );
    world.acts(3, 8).await;
    assert_eq!(world.version("u8").await, Some(1));
    assert_eq!(world.version("u7").await, Some(2));
}
