//! Recommending, pure: from a prepared [`Query`] and a mapped generation to a ranked [`Slate`].
//!
//! ```text
//! sources ──► merge ──► filters ──► ranker ──► rerankers ──► slate
//!    └──────────── all read one Index, one Tuning, one Deadline
//! ```
//!
//! Nothing here touches a socket, a file, the environment or a clock of its own: time and
//! randomness are arguments, the index reads a byte slice it is handed.
//! Read in the order `id`, `video`, `event`, `user`, `query`, `pipeline`, `source`, `filter`,
//! `feature`, `ranker`, `reranker`, `slate`, `index`.
#![forbid(unsafe_code)]

pub mod builtin;
pub mod cohort;
pub mod event;
pub mod feature;
pub mod filter;
pub mod id;
pub mod index;
pub mod interest;
pub mod pipeline;
pub mod query;
pub mod ranker;
pub mod realtime;
pub mod reranker;
pub mod slate;
pub mod source;
pub mod tuning;
pub mod user;
pub mod video;

pub use builtin::builtin;
pub use event::{Event, EventKind, Made};
pub use id::{CreatorId, InvalidId, UserId, VideoId};
pub use index::{Index, IndexError};
pub use pipeline::{Pipeline, Ranked, StageReport};
pub use query::{CategoriesMatch, Query, Recipe};
pub use slate::{Item, Reason, ReasonKind, Rung, Slate};
pub use tuning::EngineTuning;
pub use user::{Interaction, Profile, Times, Undone, UserState};
pub use video::{Media, Video};
