//! A process, what it depends on, and a load on it while a fault comes and goes.

use std::time::Duration;

use tokio::sync::Mutex;

use tests::runtime_api::binary;
use tests::{AwsStub, Load, Mode, Proxy, Redis, Reelway, Sample};

use super::Pace;
use super::feed::Feed;
use super::row::{Calls, Row, Traffic};

/// A changed document is in force within a second; a busy machine may need longer to say so.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

/// A local process over proxied dependencies.
pub(super) struct World {
    pub node: Reelway,
    pub feed: Feed,
    pub redis: Mutex<Redis>,
    pub redis_proxy: Proxy,
    /// None on embedded storage.
    pub aws: Option<(AwsStub, Proxy)>,
    pace: Pace,
    dir: tempfile::TempDir,
}

impl World {
    /// On embedded storage, or on a stub of AWS; with the demo catalogue, warm.
    pub async fn start(pace: Pace, on_aws: bool) -> Self {
        Self::with(pace, on_aws, "{}").await
    }

    /// On embedded storage, with a hot document.
    pub async fn tuned(pace: Pace, document: &str) -> Self {
        Self::with(pace, false, document).await
    }

    async fn with(pace: Pace, on_aws: bool, document: &str) -> Self {
        let redis = Redis::start().await.unwrap();
        let redis_proxy = Proxy::start(redis.addr()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut environment = vec![
            ("REELWAY_DATA".to_owned(), dir.path().display().to_string()),
            ("REELWAY_LOG".to_owned(), "warn".to_owned()),
            (
                "REELWAY_REDIS_URL".to_owned(),
                format!("redis://{}", redis_proxy.addr()),
            ),
        ];
        let file = dir.path().join("tuning.json");
        std::fs::write(&file, document).unwrap();
        environment.push(("REELWAY_TUNING".to_owned(), file.display().to_string()));
        let aws = on_aws.then(|| {
            let stub = AwsStub::start().unwrap();
            let proxy = Proxy::start(stub.addr()).unwrap();
            (stub, proxy)
        });
        if let Some((_, proxy)) = &aws {
            let endpoint = format!("http://{}", proxy.addr());
            for (name, value) in [
                ("REELWAY_STORAGE", "aws"),
                ("REELWAY_BUCKET", "bucket"),
                ("REELWAY_AWS_ENDPOINT_DYNAMODB", endpoint.as_str()),
                ("REELWAY_AWS_ENDPOINT_KINESIS", endpoint.as_str()),
                ("REELWAY_AWS_ENDPOINT_S3", endpoint.as_str()),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ] {
                environment.push((name.to_owned(), value.to_owned()));
            }
        }
        let binary = binary("reelway").unwrap();
        // Where times count, the generator has a core that the process cannot take.
        let node = if pace.full {
            Reelway::start_on_one_core(&binary, &environment).await
        } else {
            Reelway::start(&binary, &environment).await
        };
        let node = node.unwrap();
        let feed = Feed::of(&node);
        Self {
            node,
            feed,
            redis: Mutex::new(redis),
            redis_proxy,
            aws,
            pace,
            dir,
        }
    }

    /// Puts another hot document in force.
    pub async fn retune(&self, document: &str) {
        let applied = async || {
            let metrics = self.node.metrics().await.unwrap();
            let offers = metrics.iter().filter(|(name, _)| {
                name.starts_with("reelway_tuning_offers_total") && name.contains("applied")
            });
            offers.map(|(_, value)| value).sum::<f64>()
        };
        let before = applied().await;
        let (new, file) = (
            self.dir.path().join("new.json"),
            self.dir.path().join("tuning.json"),
        );
        std::fs::write(&new, document).unwrap();
        std::fs::rename(&new, &file).unwrap();
        let in_force = tokio::time::timeout(APPLIED_WITHIN, async {
            while applied().await <= before {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        in_force.await.expect("the document is in force");
    }

    /// Puts the process under load; after a moment the fault comes, lasts, and goes.
    pub async fn under<Come, Go>(
        &self,
        fault: &str,
        span: Duration,
        come: impl FnOnce() -> Come,
        go: impl FnOnce() -> Go,
    ) -> Row
    where
        Come: Future<Output = ()>,
        Go: Future<Output = ()>,
    {
        let (_, after) = self.pace.margins();
        self.under_until(fault, span, after, come, go).await
    }

    /// The same; the load goes on for this long after the fault has gone.
    pub async fn under_until<Come, Go>(
        &self,
        fault: &str,
        span: Duration,
        after: Duration,
        come: impl FnOnce() -> Come,
        go: impl FnOnce() -> Go,
    ) -> Row
    where
        Come: Future<Output = ()>,
        Go: Future<Output = ()>,
    {
        let (before, _) = self.pace.margins();
        let load = Load {
            rate_per_s: self.pace.rate_per_s,
            span: before + span + after,
        };
        let feed = self.feed.clone();
        let ask = move |number| feed.ask(number);
        self.watched(fault, load, (before, span), ask, come, go)
            .await
    }

    /// The same for any load and any question; the fault comes after the first of both times and
    /// lasts for the second.
    pub async fn watched<Ask, Asked, Come, Go>(
        &self,
        fault: &str,
        load: Load,
        (before, span): (Duration, Duration),
        ask: Ask,
        come: impl FnOnce() -> Come,
        go: impl FnOnce() -> Go,
    ) -> Row
    where
        Ask: Fn(u64) -> Asked,
        Asked: Future<Output = Sample> + Send + 'static,
        Come: Future<Output = ()>,
        Go: Future<Output = ()>,
    {
        let began = self.calls();
        let meddle = async {
            tokio::time::sleep(before).await;
            come().await;
            let come = self.calls();
            tokio::time::sleep(span).await;
            let gone = self.calls();
            go().await;
            (come, gone)
        };
        let (report, (come, gone)) = tokio::join!(load.run(ask), meddle);
        let traffic = Traffic {
            during: gone - come,
            after: self.calls() - gone,
            in_all: self.calls() - began,
        };
        Row::of(fault, report.unwrap(), (before, before + span), traffic)
    }

    /// The same with a mode of the proxy before Redis as the fault.
    pub async fn under_redis(&self, fault: &str, span: Duration, mode: Mode) -> Row {
        let set = |mode| async move { self.redis_proxy.set(mode).await.unwrap() };
        self.under(fault, span, || set(mode), || set(Mode::Pass))
            .await
    }

    /// Offers this many requests per second from now on; answers how many it were.
    pub fn offer(&mut self, rate_per_s: u32) -> u32 {
        std::mem::replace(&mut self.pace.rate_per_s, rate_per_s)
    }

    /// Answers that Redis had a word in so far: kept there, or confirmed by it.
    pub async fn redis_hits(&self) -> f64 {
        let metrics = self.node.metrics().await.unwrap();
        let hits = metrics.iter().filter(|(name, _)| {
            name.starts_with("reelway_tier_reads_total")
                && (name.contains("shared_hit") || name.contains("local_confirmed"))
        });
        hits.map(|(_, value)| value).sum()
    }

    /// Round trips to Redis and calls of AWS so far.
    fn calls(&self) -> Calls {
        Calls {
            redis: self.redis_proxy.counters().round_trips,
            aws: self.aws.as_ref().map_or(0, |(stub, _)| stub.calls_total()),
        }
    }

    /// Every user once or twice, so that slates are at hand.
    pub async fn warm(&self) {
        let load = Load {
            rate_per_s: 100,
            span: Duration::from_secs(6),
        };
        let feed = self.feed.clone();
        let report = load
            .run(move |number| feed.ask_for(1 + number % 600))
            .await
            .unwrap();
        assert_eq!(report.errors, 0, "{:?}", report.complaints);
    }

    /// Makes Redis forget everything.
    pub async fn empty_redis(&self) {
        self.redis.lock().await.empty().await.unwrap();
    }

    /// Tasks, loads in flight and descriptors, less than a second from now.
    pub async fn baseline(&self) -> Baseline {
        self.feed.hang_up();
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.look().await
    }

    /// The same as the process measured it last: it does so five times a second.
    pub async fn look(&self) -> Baseline {
        let metrics = self.node.metrics().await.unwrap();
        let read = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
        Baseline {
            tasks: read("reelway_tasks"),
            flights: read("reelway_flights"),
            descriptors: self.node.descriptors().unwrap(),
        }
    }
}

/// What must be as before once a fault is over.
#[derive(Debug)]
pub(super) struct Baseline {
    pub tasks: f64,
    pub flights: f64,
    pub descriptors: usize,
}
