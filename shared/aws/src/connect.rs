//! Three clients, one connection pool, ready before the first request.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::tls;
use futures_util::future::join_all;
use guard::Deadline;
use store::{Objects, Ports, Read, Stream, Table, Tables};

use crate::{AwsSettings, DynamoTables, KinesisStream, S3Objects};

/// How long a connection may lie idle. Shorter than any of the services keeps one open, so that a
/// request does not meet a connection that the other side has just closed.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(15);
/// How long a connection may take to open; the deadline usually ends a call sooner.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How often S3 is tried: nobody waits for an answer there.
const OBJECT_ATTEMPTS_MAX: u32 = 3;

/// What can be warmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    Tables,
    /// Kinesis.
    Stream,
    /// S3.
    Objects,
}

/// The adapters over one set of clients.
#[derive(Debug, Clone)]
pub struct Aws {
    tables: Arc<DynamoTables>,
    stream: Arc<KinesisStream>,
    objects: Arc<S3Objects>,
}

impl Aws {
    /// Makes the clients. Nothing is called yet, except to find the region where the settings do
    /// not name it.
    pub async fn connect(settings: &AwsSettings) -> Self {
        let shared = shared_config(settings).await;
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared);
        let dynamodb = match emulated(settings, settings.dynamodb_endpoint.as_ref()) {
            Emulated::No => dynamodb,
            Emulated::At(url) => dynamodb.endpoint_url(url),
            Emulated::Alone(url, keys) => dynamodb.endpoint_url(url).credentials_provider(keys),
        };
        let kinesis = aws_sdk_kinesis::config::Builder::from(&shared);
        let kinesis = match emulated(settings, settings.kinesis_endpoint.as_ref()) {
            Emulated::No => kinesis,
            Emulated::At(url) => kinesis.endpoint_url(url),
            Emulated::Alone(url, keys) => kinesis.endpoint_url(url).credentials_provider(keys),
        };
        let s3 = aws_sdk_s3::config::Builder::from(&shared)
            .retry_config(RetryConfig::standard().with_max_attempts(OBJECT_ATTEMPTS_MAX));
        // Emulators answer one host name: buckets must go into the path.
        let s3 = match emulated(settings, settings.s3_endpoint.as_ref()) {
            Emulated::No => s3,
            Emulated::At(url) => s3.endpoint_url(url).force_path_style(true),
            Emulated::Alone(url, keys) => s3
                .endpoint_url(url)
                .force_path_style(true)
                .credentials_provider(keys),
        };
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
        let kinesis = aws_sdk_kinesis::Client::from_conf(kinesis.build());
        let s3 = aws_sdk_s3::Client::from_conf(s3.build());
        Self {
            tables: Arc::new(DynamoTables::new(dynamodb, &settings.table_prefix)),
            stream: Arc::new(KinesisStream::new(kinesis, &settings.stream)),
            objects: Arc::new(S3Objects::new(s3, &settings.bucket)),
        }
    }

    /// The three ports.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports {
            tables: Arc::clone(&self.tables) as Arc<dyn Tables>,
            stream: Arc::clone(&self.stream) as Arc<dyn Stream>,
            objects: Arc::clone(&self.objects) as Arc<dyn Objects>,
        }
    }

    /// Calls each service once, all at a time, so that credentials, name lookup and the TLS
    /// handshake are paid for in init. A call that fails has still warmed, or will be told of by
    /// the first call that matters; it is logged and nothing else.
    pub async fn warm(&self, services: &[Service], deadline: &Deadline) {
        join_all(
            services
                .iter()
                .map(|service| self.warm_one(*service, deadline)),
        )
        .await;
    }

    async fn warm_one(&self, service: Service, deadline: &Deadline) {
        let warmed = match service {
            Service::Tables => {
                let nobody = ["warm".to_owned()];
                self.tables
                    .load(Table::Users, &nobody, Read::Eventual, deadline)
                    .await
                    .map(drop)
            }
            Service::Stream => self.stream.warm(deadline).await,
            Service::Objects => self.objects.warm(deadline).await,
        };
        if let Err(error) = warmed {
            tracing::debug!(service = ?service, error.kind = error.kind.as_str(), "warming call failed");
        }
    }
}

/// Whether a client talks to an emulator, and with whose credentials.
enum Emulated {
    No,
    At(String),
    Alone(String, Credentials),
}

fn emulated(settings: &AwsSettings, endpoint: Option<&String>) -> Emulated {
    match endpoint {
        None => Emulated::No,
        Some(url) if settings.has_credentials => Emulated::At(url.clone()),
        Some(url) => {
            let keys = Credentials::new("emulator", "emulator", None, None, "emulator");
            Emulated::Alone(url.clone(), keys)
        }
    }
}

async fn shared_config(settings: &AwsSettings) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::AwsLc,
        ))
        .pool_idle_timeout(CONNECTION_IDLE_MAX)
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_MAX)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = settings.region_to_set() {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}
