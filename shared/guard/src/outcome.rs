//! How a guarded call ended, in the words a breaker counts.

/// How a guarded call ended.
///
/// ```
/// use guard::Outcome;
///
/// assert!(Outcome::Timeout.is_failure());
/// assert!(!Outcome::Excluded.is_failure());
/// ```
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

impl Outcome {
    /// Whether it speaks against the dependency.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::Timeout)
    }
}
