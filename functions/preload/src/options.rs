//! What a run fills, and how.

use smol_str::SmolStr;
use store::{Error, ErrorKind};

/// Most questions of one batch.
pub const BATCH_MAX: usize = 50_000;
/// Most scenes and markets each.
pub const PLACES_MAX: usize = 64;
/// Shortest and longest time to live, seconds.
pub const TTL_S: std::ops::RangeInclusive<u32> = 1..=604_800;

/// How a run is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the stack is; regions walk on their own, each with its lease and checkpoint.
    pub region: String,
    /// Questions answered between two checkpoints, 1 to [`BATCH_MAX`].
    pub batch_size: usize,
    /// How long what is stored lives, seconds, within [`TTL_S`].
    pub ttl_s: u32,
    /// Goes on where the last run stopped.
    pub resume: bool,
    /// For which places in the product.
    pub scenes: Vec<SmolStr>,
    /// For which markets; the empty one is a viewer whose country is not known.
    pub markets: Vec<SmolStr>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: "local".to_owned(),
            batch_size: 5_000,
            ttl_s: 7_200,
            resume: false,
            scenes: vec![SmolStr::new_static("home")],
            markets: vec![SmolStr::default()],
        }
    }
}

impl Options {
    /// Checks every bound.
    ///
    /// # Errors
    /// `Invalid`, naming the one that does not hold.
    pub fn check(&self) -> Result<(), Error> {
        let region = (1..=64).contains(&self.region.len())
            && self
                .region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let checks = [
            (
                region,
                "preload: region is not 1 to 64 of the characters A-Z a-z 0-9 _ -",
            ),
            (
                (1..=BATCH_MAX).contains(&self.batch_size),
                "preload: batch size is not 1 to 50000",
            ),
            (
                TTL_S.contains(&self.ttl_s),
                "preload: ttl is not 1 to 604800 seconds",
            ),
            (
                (1..=PLACES_MAX).contains(&self.scenes.len()),
                "preload: scenes are not 1 to 64",
            ),
            (
                (1..=PLACES_MAX).contains(&self.markets.len()),
                "preload: markets are not 1 to 64",
            ),
        ];
        let wrong = checks.into_iter().find(|(holds, _)| !holds);
        wrong.map_or(Ok(()), |(_, what)| {
            Err(Error::new(ErrorKind::Invalid, what))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_checked() {
        let good = Options::default();
        assert!(good.check().is_ok());
        let bad = [
            Options {
                region: String::new(),
                ..good.clone()
            },
            Options {
                region: "eu/west".to_owned(),
                ..good.clone()
            },
            Options {
                batch_size: 0,
                ..good.clone()
            },
            Options {
                batch_size: BATCH_MAX + 1,
                ..good.clone()
            },
            Options {
                ttl_s: 0,
                ..good.clone()
            },
            Options {
                ttl_s: 604_801,
                ..good.clone()
            },
            Options {
                scenes: Vec::new(),
                ..good.clone()
            },
            Options {
                markets: vec![SmolStr::default(); PLACES_MAX + 1],
                ..good.clone()
            },
        ];
        for options in bad {
            assert_eq!(
                options.check().unwrap_err().kind,
                ErrorKind::Invalid,
                "{options:?}"
            );
        }
    }
}
