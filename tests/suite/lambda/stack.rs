//! The stores of one scenario, and functions over them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws::Aws;
use guard::{Clock, Deadline};
use ops::RealClock;
use serde_json::json;
use store::ports::Row;
use store::{Ports, Table};
use tests::runtime_api::binary;
use tests::{Cloud, Function, Redis};

/// What the test itself may wait for a store.
const PATIENCE: Duration = Duration::from_secs(60);
const ROWS_PER_PAGE: usize = 500;
/// What the whole stack shares to sign cursors and tokens.
const TOKEN_KEY: &str = "a key for the suite that is long enough";

pub(super) struct Stack {
    pub ports: Ports,
    cloud: Cloud,
    redis: Redis,
    dir: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    functions: AtomicU32,
}

/// Everything that consuming a batch may change.
#[derive(Debug, PartialEq)]
pub(super) struct Picture {
    pub rows: BTreeMap<String, Row>,
    pub counters: BTreeMap<String, Row>,
    /// Keys and sizes.
    pub lake: Vec<(String, u64)>,
}

impl Picture {
    pub fn users(&self) -> usize {
        self.rows.len()
    }
}

impl Stack {
    pub async fn start(shards: i32) -> Self {
        let (cloud, redis) = tokio::join!(Cloud::start(shards), Redis::start());
        let (cloud, redis) = (cloud.unwrap(), redis.unwrap());
        let ports = Aws::connect(&cloud.settings().unwrap()).await.ports();
        let dir = tempfile::tempdir().unwrap();
        // Debug builds and emulators on a machine that others use, too: what is answered is
        // tested here, not how fast.
        let tuning = json!({
            "engine": { "budgets": {
                "request_ms": 10_000, "recall_ms": 8_000, "rerank_ms": 8_000,
            } },
            "store": { "budgets": { "redis_ms": 1_000, "tables_ms": 5_000, "load_ms": 10_000 } },
        });
        std::fs::write(dir.path().join("tuning.json"), tuning.to_string()).unwrap();
        Self {
            ports,
            cloud,
            redis,
            dir,
            clock: Arc::new(RealClock::new()),
            functions: AtomicU32::new(0),
        }
    }

    /// A new execution environment of a function.
    pub async fn function(&self, name: &str) -> Function {
        let binary = binary(name).unwrap();
        Function::spawn(&binary, &self.environment()).await.unwrap()
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now().wall_ms
    }

    pub fn soon(&self) -> Deadline {
        Deadline::after(Arc::clone(&self.clock), PATIENCE)
    }

    pub async fn picture(&self) -> Picture {
        let prefix = "lake/events/";
        let objects = self.ports.objects.list(prefix, &self.soon()).await.unwrap();
        let dead = self
            .ports
            .objects
            .list("dead/", &self.soon())
            .await
            .unwrap();
        assert!(dead.is_empty(), "{dead:?}");
        Picture {
            rows: self.rows(Table::Users).await,
            counters: self.rows(Table::Counters).await,
            lake: objects.into_iter().map(|o| (o.key, o.bytes)).collect(),
        }
    }

    /// Asserts that no key stays for ever.
    pub async fn every_key_in_redis_ends(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let all = redis::cmd("KEYS").arg("*").to_owned();
        let keys: Vec<Vec<u8>> = all.query_async(&mut connection).await.unwrap();
        assert!(!keys.is_empty());
        for key in keys {
            let ends = redis::cmd("TTL").arg(&key).to_owned();
            let seconds: i64 = ends.query_async(&mut connection).await.unwrap();
            assert!(seconds > 0, "{} never ends", String::from_utf8_lossy(&key));
        }
    }

    async fn rows(&self, table: Table) -> BTreeMap<String, Row> {
        let (tables, deadline) = (&self.ports.tables, self.soon());
        let (mut rows, mut after) = (BTreeMap::new(), None);
        loop {
            let page = tables.scan(table, after, ROWS_PER_PAGE, &deadline);
            let page = page.await.unwrap();
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return rows;
            }
        }
    }

    /// Each environment has a disk of its own.
    fn environment(&self) -> Vec<(String, String)> {
        let number = self.functions.fetch_add(1, Ordering::Relaxed);
        let at = |name: &str| self.path(name).display().to_string();
        let own = [
            ("REELWAY_REDIS_URL", self.redis.url()),
            ("REELWAY_REDIS_PLAIN", "true".to_owned()),
            ("REELWAY_TOKEN_KEY", TOKEN_KEY.to_owned()),
            ("REELWAY_TUNING", at("tuning.json")),
            ("REELWAY_INDEX_DIR", at(&format!("index-{number}"))),
            ("REELWAY_WORK_DIR", at(&format!("work-{number}"))),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        [self.cloud.environment(), &own].concat()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
