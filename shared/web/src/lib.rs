//! What HTTP functions share: parsing, problems, cache headers, cursors, tokens, OpenAPI.
//!
//! ```text
//! request ─► door ─► shell (id, trace, panic guard) ─► Params / body ─► handler
//! answer  ◄─ shell (stamps, counts)         ◄─ Problem │ body + Freshness + ETag
//!                        Signer ─► Cursor, ItemToken
//! ```
//!
//! - Nothing that parses can panic; what is wrong is named by its field and never echoed.
//! - Every error is a [`Problem`], every problem is `no-store` and carries the request id.
//! - Cache headers are written by [`freshness`] and nowhere else.
//! - What leaves signed comes back checked: version, key, purpose and tag, in constant time.
//!
//! Read in the order `problem`, `params`, `body`, `freshness`, `signer`, `cursor`, `token`,
//! `caller`, `admin`, `meters`, `shell`, `host`, `door`, `listen`, `openapi`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod body;
pub mod caller;
pub mod cursor;
mod decimal;
pub mod door;
pub mod etag;
pub mod freshness;
pub mod host;
pub mod listen;
mod meters;
pub mod openapi;
pub mod params;
pub mod path;
mod percent;
pub mod problem;
pub mod request_id;
pub mod shell;
pub mod signer;
pub mod timing;
pub mod token;
pub mod trace;
mod wire;

pub use admin::AdminGuard;
pub use body::{BodyRules, read_body, read_json};
pub use caller::{Caller, Prefix};
pub use cursor::Cursor;
pub use decimal::Decimal;
pub use door::Door;
pub use etag::ETag;
pub use freshness::Freshness;
pub use host::host;
pub use listen::listen;
pub use params::Params;
pub use path::PathId;
pub use problem::{Problem, Rejected};
pub use request_id::{Ids, RequestId, system_seed};
pub use shell::Shell;
pub use signer::Signer;
pub use timing::ServerTiming;
pub use token::{Audience, ItemToken, TokenRefusal};
