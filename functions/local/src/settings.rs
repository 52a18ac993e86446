//! What is fixed when the process starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded::{Durability, StreamOptions};
use ops::Secret;
use ops::settings::{Lookup, Problems, Reader};
use store::serving::ServingSettings;

const WEEK_HOURS: u64 = 7 * 24;
/// As long as Kinesis can be told to keep records.
const RETENTION_HOURS_MAX: u64 = 8_760;
const GIB: u64 = 1024 * 1024 * 1024;
const LOG_GIB_MAX: u64 = 65_536;

/// The settings of `reelway`, from the environment; flags win over them.
#[derive(Debug)]
pub struct Settings {
    /// `REELWAY_ADDR`: where `serve` listens.
    pub addr: SocketAddr,
    /// `REELWAY_DATA`: the folder everything is kept in.
    pub data: PathBuf,
    /// `REELWAY_LOG`: `info`, or directives such as `info,store=debug`.
    pub log: String,
    /// `REELWAY_ADMIN_KEY`: what catalogue writes and jobs must show; loopback only without it.
    pub admin_key: Option<Secret>,
    /// `REELWAY_TOKEN_KEY`: signs cursors and item tokens; made and kept in the data folder when
    /// not set.
    pub token_key: Option<Secret>,
    /// Tuning, tiers; generations are kept in the data folder.
    pub serving: ServingSettings,
    /// Which storage.
    pub storage: Storage,
    /// `REELWAY_LOG_SYNC`, `REELWAY_LOG_RETENTION_HOURS`, `REELWAY_LOG_GIB_MAX`: how the embedded
    /// event log is kept.
    pub event_log: StreamOptions,
}

/// Which adapters hold the data.
#[derive(Debug)]
pub enum Storage {
    /// Everything in the data folder.
    Embedded,
    /// DynamoDB, Kinesis and S3; `REELWAY_STORAGE=aws`, in builds with the `aws` feature.
    #[cfg(feature = "aws")]
    Aws(aws::AwsSettings),
}

impl Settings {
    /// Reads every setting.
    ///
    /// # Errors
    /// All [`Problems`] together, each naming its variable.
    pub fn read(lookup: &dyn Lookup) -> Result<Self, Problems> {
        let mut reader = Reader::new(lookup);
        let settings = Self {
            addr: reader.parse("REELWAY_ADDR", SocketAddr::from(([127, 0, 0, 1], 3000))),
            data: PathBuf::from(reader.text("REELWAY_DATA", ".reelway")),
            log: reader.text("REELWAY_LOG", ""),
            admin_key: reader.secret("REELWAY_ADMIN_KEY"),
            token_key: reader.secret("REELWAY_TOKEN_KEY"),
            serving: ServingSettings::read(&mut reader),
            storage: storage(&mut reader),
            event_log: event_log(&mut reader),
        };
        reader.finish().map(|()| settings)
    }

    /// A folder inside the data folder.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        Path::new(&self.data).join(name)
    }
}

fn storage(reader: &mut Reader<'_>) -> Storage {
    match reader.text("REELWAY_STORAGE", "embedded").as_str() {
        "embedded" => Storage::Embedded,
        #[cfg(feature = "aws")]
        "aws" => Storage::Aws(aws::AwsSettings::read(reader)),
        _ => {
            let aws = if cfg!(feature = "aws") {
                " or aws"
            } else {
                "; aws needs a build with --features aws"
            };
            reader.problem(format!("REELWAY_STORAGE is not embedded{aws}"));
            Storage::Embedded
        }
    }
}

fn event_log(reader: &mut Reader<'_>) -> StreamOptions {
    let durability = match reader.text("REELWAY_LOG_SYNC", "disk").as_str() {
        "disk" => Durability::Synced,
        "system" => Durability::Buffered,
        _ => {
            reader.problem("REELWAY_LOG_SYNC is not disk or system");
            Durability::Synced
        }
    };
    let hours: u64 = reader.parse("REELWAY_LOG_RETENTION_HOURS", WEEK_HOURS);
    if !(1..=RETENTION_HOURS_MAX).contains(&hours) {
        reader.problem(format!(
            "REELWAY_LOG_RETENTION_HOURS is not 1 to {RETENTION_HOURS_MAX}"
        ));
    }
    let gib: u64 = reader.parse(
        "REELWAY_LOG_GIB_MAX",
        StreamOptions::default().bytes_max / GIB,
    );
    if !(1..=LOG_GIB_MAX).contains(&gib) {
        reader.problem(format!("REELWAY_LOG_GIB_MAX is not 1 to {LOG_GIB_MAX}"));
    }
    StreamOptions {
        bytes_max: gib.saturating_mul(GIB),
        retention: Duration::from_secs(hours.saturating_mul(3_600)),
        durability,
        ..StreamOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ops::settings::MapLookup;

    #[test]
    fn without_any_variable_everything_has_a_default() {
        let settings = Settings::read(&MapLookup::default()).unwrap();
        assert_eq!(settings.addr.to_string(), "127.0.0.1:3000");
        assert_eq!(settings.data, Path::new(".reelway"));
        assert!(settings.serving.redis.is_none() && settings.admin_key.is_none());
        assert_eq!(settings.event_log, StreamOptions::default());
    }

    #[test]
    fn every_bad_variable_is_named_at_once() {
        let lookup = MapLookup::from([
            ("REELWAY_ADDR", "here"),
            ("REELWAY_STORAGE", "tape"),
            ("REELWAY_REDIS_URL", "http://x"),
            ("REELWAY_LOG_SYNC", "never"),
            ("REELWAY_LOG_RETENTION_HOURS", "0"),
            ("REELWAY_LOG_GIB_MAX", "0"),
        ]);
        let said = Settings::read(&lookup).unwrap_err().to_string();
        for name in [
            "REELWAY_ADDR",
            "REELWAY_STORAGE",
            "REELWAY_REDIS_URL",
            "REELWAY_LOG_SYNC",
            "REELWAY_LOG_RETENTION_HOURS",
            "REELWAY_LOG_GIB_MAX",
        ] {
            assert!(said.contains(name), "{said}");
        }
    }
}
