//! What is fixed when the process starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ops::Secret;
use ops::settings::{Lookup, Problems, Reader};
use store::serving::ServingSettings;

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
    }

    #[test]
    fn every_bad_variable_is_named_at_once() {
        let lookup = MapLookup::from([
            ("REELWAY_ADDR", "here"),
            ("REELWAY_STORAGE", "tape"),
            ("REELWAY_REDIS_URL", "http://x"),
        ]);
        let said = Settings::read(&lookup).unwrap_err().to_string();
        for name in ["REELWAY_ADDR", "REELWAY_STORAGE", "REELWAY_REDIS_URL"] {
            assert!(said.contains(name), "{said}");
        }
    }
}
