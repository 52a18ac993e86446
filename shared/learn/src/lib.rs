//! What the night does: from a catalogue and its events to one index generation and everybody's
//! profile; serving never links it.
//!
//! ```text
//! videos ─► shelf ───┐
//!                    ├─► GenerationBuilder::finish ─► sections ─► IndexWriter ─► bytes
//! events ─► diary ───┘            └─► profiles
//! ```
//!
//! Events may come in any order: the same set gives the same bytes. Memory is bounded by the
//! number of videos, of users and of interactions other than impressions, which are only counted.
//! [`CurrentCf`] is the one part of it that also exists kept current, event by event, with the bytes of
//! a rebuild.
//! Read in the order `options`, `generation`, then what it holds, then `train`, `evaluate`.
#![forbid(unsafe_code)]

pub mod evaluate;
pub mod generation;
pub mod options;
pub mod train;

pub use generation::current::CurrentCf;
pub use generation::{BuildError, BuildReport, Built, GenerationBuilder, Past};
pub use options::{BuildOptions, LikingWeight, Window};
pub use train::TrainOptions;
