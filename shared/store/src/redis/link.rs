//! One connection, and how it is made.

mod tls;

use std::num::NonZeroUsize;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, RedisResult, Value};

use super::settings::RedisSettings;
use super::supervisor::CALL_MAX;
use crate::{Error, ErrorKind};

/// Commands that wait in this process for one connection; more wait for a place, within their
/// deadlines.
const QUEUE_MAX: usize = 1_024;
/// How often the cluster client tries a lost node on its own before it gives the node up.
const NODE_ATTEMPTS_MAX: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// How often the cluster client follows a moved slot within one call.
const REDIRECTS_MAX: u32 = 2;

/// Makes connections.
pub(super) enum Dialer {
    Single(Client, AsyncConnectionConfig),
    Cluster(ClusterClient),
}

/// A live connection. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dialer {
    /// Prepares to connect as the settings say.
    pub fn new(settings: &RedisSettings) -> Result<Self, Error> {
        // The client's own words are kept out of the error: they may quote the address.
        let invalid = |_| Error::new(ErrorKind::Invalid, "settings of redis");
        let info = settings
            .url
            .expose()
            .into_connection_info()
            .map_err(invalid)?;
        let trust = tls::Trust::of(settings, &info)?;
        let tcp = TcpSettings::default().set_nodelay(true);
        let mut session = info.redis_settings().clone();
        if let Some(password) = &settings.password {
            session = session.set_password(password.expose());
        }
        let info = info
            .set_redis_settings(session)
            .set_tcp_settings(tcp.clone());
        if settings.cluster {
            let client = trust
                .cluster(ClusterClient::builder([info]))
                .tcp_settings(tcp)
                .connection_timeout(settings.connect_budget)
                .response_timeout(CALL_MAX)
                .overall_response_timeout(Some(CALL_MAX))
                .retries(REDIRECTS_MAX)
                .min_retry_wait(1)
                .max_retry_wait(10)
                .max_connection_attempts(NODE_ATTEMPTS_MAX)
                .build()
                .map_err(invalid)?;
            return Ok(Self::Cluster(client));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_budget))
            .set_response_timeout(Some(CALL_MAX))
            .set_pipeline_buffer_size(QUEUE_MAX);
        let client = trust.client(info).map_err(invalid)?;
        Ok(Self::Single(client, config))
    }

    /// Whether several servers share the keys.
    pub fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Connects, within `budget`.
    pub async fn dial(&self, budget: Duration) -> Result<Connection, DialError> {
        let dialing = async {
            match self {
                Self::Single(client, config) => {
                    let connection = client.get_multiplexed_async_connection_with_config(config);
                    connection.await.map(Connection::Single)
                }
                Self::Cluster(client) => {
                    client.get_async_connection().await.map(Connection::Cluster)
                }
            }
        };
        match tokio::time::timeout(budget, dialing).await {
            Ok(dialed) => dialed.map_err(DialError::Refused),
            Err(_) => Err(DialError::Timeout),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum DialError {
    Refused(redis::RedisError),
    Timeout,
}

impl DialError {
    /// What to log: the category, never the address or the server's words.
    pub fn category(&self) -> &str {
        match self {
            Self::Refused(error) => error.category(),
            Self::Timeout => "timeout",
        }
    }
}

impl Connection {
    /// Sends one command and waits for its reply. Callers bound the wait.
    pub async fn query(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}
