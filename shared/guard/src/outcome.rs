//! How a guarded call ended, in the words a breaker counts.

/// How a guarded call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The dependency did its work.
    Success,
    /// The dependency answered wrongly, refused or could not be reached.
    Failure,
    /// A deadline fired first. Said explicitly by the code that owns the deadline.
    Timeout,
    /// Says nothing about the dependency: the caller's mistake or the caller's leaving.
    Excluded,
}
