//! How good recommendations are: one judge for every contender.
//!
//! ```text
//! events ─► Log ─► Course (who is asked, what would have been right) ─► slates of each contender
//!                      │                                                       │
//!                      └── baselines, tuned on the day before                  ▼
//!                                              table, intervals, plot ◄── Scores
//! ```
//!
//! Rules that hold for every contender: it learns from what lies before the split and from nothing
//! else; what it may choose, it chooses on a validation part inside that; it proposes candidates
//! only (videos of the catalogue that are shown, not met by the user before), each once.
//! One exception, called so in the table: with [`Protocol::Sessions`], what is kept current
//! ([`Replay`]) learns from what lies before each *moment* at which it is asked, and never from what
//! comes after it.
//! Read in the order `log`, `course`, `replay`, `baseline`, `tuning`, `scores`, `bootstrap`, `report`.

pub mod baseline;
pub mod bootstrap;
pub mod course;
mod figures;
pub mod log;
pub mod plot;
pub mod replay;
pub mod report;
pub mod scores;
pub mod separation;
pub mod tsv;
pub mod tuning;

pub use course::{Course, Exam, Protocol};
pub use figures::{Figures, jaccard};
pub use log::{Log, LogBuilder, Target};
pub use replay::Replay;
pub use report::{Contender, Report};
pub use scores::Scores;

/// Items of each user's slate, best first, in the order of a course's exams.
pub type Slates = Vec<Vec<u32>>;
