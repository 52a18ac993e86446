//! The cohort a caller names instead of a user.

use std::fmt;
use std::str::FromStr;

use smol_str::{SmolStr, format_smolstr};

/// Longest text of a token, in bytes.
const TOKEN_BYTES_MAX: usize = 11;

/// Users who share a slate; travels as the opaque text `c<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cohort {
    /// An index into the generation's cohorts; one it does not have is served by the market.
    pub number: u32,
}

/// The text is no cohort token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cohort is one that an earlier answer named")]
pub struct InvalidCohort;

impl Cohort {
    /// The cohort of this number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self { number }
    }

    /// The token that answers carry.
    #[must_use]
    pub fn token(self) -> SmolStr {
        format_smolstr!("c{}", self.number)
    }
}

impl FromStr for Cohort {
    type Err = InvalidCohort;

    /// Only the canonical text is a token: one cohort, one key at the edge.
    fn from_str(text: &str) -> Result<Self, InvalidCohort> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(InvalidCohort);
        }
        let digits = text.strip_prefix('c').ok_or(InvalidCohort)?;
        let cohort = Self::new(digits.parse().map_err(|_| InvalidCohort)?);
        if cohort.token() == text {
            Ok(cohort)
        } else {
            Err(InvalidCohort)
        }
    }
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_text_is_a_cohort() {
        for (text, number) in [("c0", 0), ("c17", 17), ("c4294967295", u32::MAX)] {
            assert_eq!(text.parse(), Ok(Cohort { number }));
            assert_eq!(Cohort::new(number).to_string(), text);
        }
        for bad in [
            "",
            "c",
            "17",
            "C17",
            "c017",
            "c+1",
            "c-1",
            "c4294967296",
            "c1 ",
            "cc1",
            "c1.b",
        ] {
            assert_eq!(bad.parse::<Cohort>(), Err(InvalidCohort), "{bad:?}");
        }
    }
}
