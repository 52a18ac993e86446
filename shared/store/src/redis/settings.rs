//! How the shared tier is reached, fixed at start.

use std::path::PathBuf;
use std::time::Duration;

use ops::Secret;
use ops::settings::Reader;

const URL: &str = "REELWAY_REDIS_URL";
const PASSWORD: &str = "REELWAY_REDIS_PASSWORD";
const CLUSTER: &str = "REELWAY_REDIS_CLUSTER";
const CA: &str = "REELWAY_REDIS_CA";
const PLAIN: &str = "REELWAY_REDIS_PLAIN";
/// Set by Lambda.
const LAMBDA: &str = "AWS_LAMBDA_FUNCTION_NAME";
/// How long a connection may take, TLS handshake included.
const CONNECT_BUDGET: Duration = Duration::from_secs(1);

/// Where the shared tier is. Printing it shows neither address nor password.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `REELWAY_REDIS_URL`: `redis://` or, with TLS, `rediss://`; user, password and `?cluster=true`
    /// may be part of it.
    pub url: Secret,
    /// `REELWAY_REDIS_PASSWORD`: wins over the one in the URL.
    pub password: Option<Secret>,
    /// `REELWAY_REDIS_CLUSTER`: the server speaks the cluster protocol, as ElastiCache Serverless
    /// always does.
    pub cluster: bool,
    /// `REELWAY_REDIS_CA`: a PEM file of the authorities that may have signed the server's
    /// certificate, instead of the public ones.
    pub ca: Option<PathBuf>,
    /// How long a connection may take, TLS handshake included.
    pub connect_budget: Duration,
}

impl RedisSettings {
    /// The settings for a server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        Self {
            url: Secret::new(url),
            password: None,
            cluster: query.split('&').any(|pair| pair == "cluster=true"),
            ca: None,
            connect_budget: CONNECT_BUDGET,
        }
    }

    /// Reads the settings; `None` when there is to be no shared tier.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.secret(URL)?;
        let password = reader.secret(PASSWORD);
        let cluster = reader.parse(CLUSTER, false);
        let ca = reader.optional(CA).map(PathBuf::from);
        let parsed = redis::parse_redis_url(url.expose());
        let Some(parsed) = parsed.filter(|url| url.has_host() && !url.scheme().contains("unix"))
        else {
            reader.problem(format!("{URL} is not a redis:// or rediss:// address"));
            return None;
        };
        let tls = matches!(parsed.scheme(), "rediss" | "valkeys");
        if !cfg!(feature = "tls") && tls {
            reader.problem(format!(
                "{URL} asks for TLS, which this build leaves out: build with --features tls"
            ));
            return None;
        }
        // Outside this machine nobody reads along and nobody comes in unasked.
        let may_be_plain = reader.optional(LAMBDA).is_none();
        if !reader.parse(PLAIN, may_be_plain) {
            let has_password = password.is_some() || parsed.password().is_some();
            if !tls || !has_password {
                reader.problem(format!(
                    "{URL} needs rediss:// and a password on Lambda; {PLAIN}=true does without"
                ));
            }
        }
        let settings = Self::new(url.expose());
        Some(Self {
            password,
            cluster: cluster || settings.cluster,
            ca,
            ..settings
        })
    }
}

#[cfg(test)]
mod tests {
    use ops::settings::MapLookup;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Option<RedisSettings>, Vec<String>) {
        let lookup: MapLookup = pairs.iter().copied().collect();
        let mut reader = Reader::new(&lookup);
        let settings = RedisSettings::read(&mut reader);
        (
            settings,
            reader
                .finish()
                .err()
                .map(|problems| problems.0)
                .unwrap_or_default(),
        )
    }

    #[test]
    fn the_address_says_what_is_spoken() {
        let cases = [
            ("redis://127.0.0.1:6379", false),
            ("rediss://user:pw@cache.example:6380/0", false),
            ("rediss://cache.example?cluster=true", true),
            ("valkeys://cache.example", false),
            ("redis://cache.example?protocol=resp2&cluster=true", true),
        ];
        for (url, cluster) in cases {
            let (settings, problems) = read(&[(URL, url)]);
            let wants_tls = url.starts_with("rediss") || url.starts_with("valkeys");
            if !cfg!(feature = "tls") && wants_tls {
                assert!(settings.is_none());
                assert!(problems.concat().contains("--features tls"), "{problems:?}");
                continue;
            }
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(settings.unwrap().cluster, cluster, "{url}");
        }
        let (settings, _) = read(&[(URL, "redis://cache.example"), (CLUSTER, "true")]);
        assert!(settings.unwrap().cluster);
        assert!(read(&[]).0.is_none());
    }

    #[test]
    fn on_lambda_it_takes_tls_and_a_password() {
        let hosted = (LAMBDA, "reelway-recommend");
        let good = [(URL, "rediss://:planted@cache.example"), hosted];
        let bad = [
            vec![(URL, "redis://:planted@cache.example"), hosted],
            vec![(URL, "rediss://cache.example"), hosted],
        ];
        for pairs in bad {
            let problems = read(&pairs).1.concat();
            assert!(
                problems.contains(PLAIN) || !cfg!(feature = "tls"),
                "{problems}"
            );
            assert!(!problems.contains("planted"), "{problems}");
        }
        let plain = [(URL, "redis://127.0.0.1"), hosted, (PLAIN, "true")];
        assert!(read(&plain).1.is_empty());
        let other = [
            (URL, "rediss://cache.example"),
            (PASSWORD, "planted"),
            hosted,
        ];
        if cfg!(feature = "tls") {
            assert!(read(&good).1.is_empty() && read(&other).1.is_empty());
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for bad in [
            "planted",
            "http://planted.example",
            "redis://",
            "unix:///planted.sock",
        ] {
            let (settings, problems) = read(&[(URL, bad), (CLUSTER, "maybe")]);
            assert!(settings.is_none(), "{bad}");
            assert_eq!(problems.len(), 2, "{bad}: {problems:?}");
            assert!(!problems.concat().contains("planted"), "{problems:?}");
        }
    }

    #[test]
    fn printing_it_shows_no_secret() {
        let pairs = [
            (URL, "redis://:planted@planted.example"),
            (PASSWORD, "planted"),
        ];
        let printed = format!("{:?}", read(&pairs).0.unwrap());
        assert!(!printed.contains("planted"), "{printed}");
    }
}
