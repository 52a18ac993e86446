//! One contract, two sets of adapters: the same cases over the embedded stores and over AWS's, as
//! DynamoDB Local and moto play them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use embedded::{EmbeddedObjects, EmbeddedStream, EmbeddedTables};
use guard::{Clock, Deadline};
use ops::RealClock;
use store::{Error, ErrorKind, Objects, Ports, Stream, Tables};
use tests::Cloud;

/// Makes a module of tests for each set of adapters out of functions that take a [`Backend`].
macro_rules! over_every_backend {
    ($($case:ident,)+) => {
        mod embedded {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::contract::Backend::embedded()).await;
            })+
        }

        mod aws {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::contract::Backend::aws().await).await;
            })+
        }
    };
}

mod objects;
mod stream;
mod tables;

/// What a case may wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shards of a stream: enough for keys to part.
const SHARDS: u16 = 3;

/// A set of adapters over stores that nobody else uses.
struct Backend {
    tables: Arc<dyn Tables>,
    stream: Arc<dyn Stream>,
    objects: Arc<dyn Objects>,
    /// For files that a case needs beside the stores; removed at the end.
    dir: tempfile::TempDir,
}

impl Backend {
    fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        Self {
            tables: Arc::new(EmbeddedTables::open(&at("tables")).unwrap()),
            stream: Arc::new(EmbeddedStream::open(&at("stream"), SHARDS).unwrap()),
            objects: Arc::new(EmbeddedObjects::open(&at("objects")).unwrap()),
            dir,
        }
    }

    async fn aws() -> Self {
        let cloud = Cloud::start(SHARDS.into()).await.unwrap();
        let Ports {
            tables,
            stream,
            objects,
        } = Aws::connect(&cloud.settings().unwrap()).await.ports();
        Self {
            tables,
            stream,
            objects,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn within(budget: Duration) -> Deadline {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    Deadline::after(clock, budget)
}

fn soon() -> Deadline {
    within(PATIENCE)
}

fn kind<T>(answer: Result<T, Error>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind)
}
