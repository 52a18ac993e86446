//! What happens to events between a client and everything that is learned from them.
//!
//! ```text
//! kpl ───── AWS's own libraries take our aggregates apart, and we theirs
//! kills ─── the consumers, killed at any await, over the embedded stores and over the emulators
//! process ─ the local process, killed for real while clients send
//! served ── what a killed process takes along of what it served
//! as_served ─ what was served is learned from as it was
//! archived ─ the archive, killed in the middle of batches
//! commands ─ what `reelway events tail` finds and follows
//! fresh ─── what a user does, and what explodes, shows in answers
//! stale ─── the same over HTTP, of the local process
//! forget ── a deleted user, until `complete_at`
//! lake ──── what other tools read of it
//! raises ── what Redis missed while it was away
//! limits ── what one user may send, over all processes
//! ```

mod archived;
mod as_served;
mod commands;
mod delivery;
mod forget;
mod fresh;
mod kills;
mod kpl;
mod lake;
mod limits;
mod process;
mod raises;
mod served;
mod stale;
mod truth;
