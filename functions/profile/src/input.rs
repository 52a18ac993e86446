//! What a schedule says to the job.

use jiff::civil::Date;
use serde::Deserialize;

use crate::Options;

/// The schedule's input.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Input {
    /// The newest day to build from; the newest in the lake when absent.
    pub date: Option<Date>,
    /// Publishes also from a day that is far thinner than the one before it.
    #[serde(default)]
    pub force: bool,
    /// Leaves the pointer to the preload job.
    #[serde(default)]
    pub preloads: bool,
}

impl Input {
    /// The defaults, as far as the input says nothing else.
    #[must_use]
    pub fn options(self) -> Options {
        Options {
            force: self.force,
            preloads: self.preloads,
            ..Options::default()
        }
    }
}
