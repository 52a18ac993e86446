//! Settings: fixed at start, read through a lookup, every problem reported at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::Secret;

/// Where settings come from.
pub trait Lookup {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The process' environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Environment;

impl Lookup for Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Settings from a map, for tests and for hosts that know better than the environment.
#[derive(Debug, Clone, Default)]
pub struct MapLookup(BTreeMap<String, String>);

impl Lookup for MapLookup {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for MapLookup {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl<N: Into<String>, V: Into<String>, const LEN: usize> From<[(N, V); LEN]> for MapLookup {
    fn from(pairs: [(N, V); LEN]) -> Self {
        pairs.into_iter().collect()
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settings: {}", .0.join("; "))]
pub struct Problems(pub Vec<String>);

/// Reads settings one by one and remembers what is wrong with them. A variable set to nothing
/// counts as not set, because templates cannot leave one out. Problems name the variable and
/// never its value.
///
/// ```
/// use ops::settings::{MapLookup, Reader};
///
/// let lookup = MapLookup::from([("REELWAY_ADDR", "127.0.0.1:8080"), ("REELWAY_DATA", "")]);
/// let mut reader = Reader::new(&lookup);
/// let addr: std::net::SocketAddr =
///     reader.parse("REELWAY_ADDR", std::net::SocketAddr::from(([127, 0, 0, 1], 3000)));
/// assert_eq!(addr.port(), 8080);
/// assert_eq!(reader.text("REELWAY_DATA", ".reelway"), ".reelway");
/// reader.finish().expect("nothing wrong");
/// ```
pub struct Reader<'a> {
    lookup: &'a dyn Lookup,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader that has seen no problem yet.
    #[must_use]
    pub fn new(lookup: &'a dyn Lookup) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    /// Text, or the default.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    /// Text that may be missing.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        self.lookup.get(name).filter(|value| !value.is_empty())
    }

    /// Text that must be there; empty, and a problem, when it is not.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problem(format!("{name} is not set"));
            String::new()
        })
    }

    /// A value in its text form, or the default; the default, and a problem, when it is malformed.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> T {
        let Some(text) = self.optional(name) else {
            return default;
        };
        text.trim().parse().unwrap_or_else(|error| {
            self.problem(format!("{name}: {error}"));
            default
        })
    }

    /// A key or password that may be missing.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.optional(name).map(Secret::new)
    }

    /// Adds a problem that only the owner of the setting can see, such as two that contradict.
    pub fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All [`Problems`] together, in the order of reading.
    pub fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Problems(self.problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_together_and_no_value_with_them() {
        let lookup = MapLookup::from([
            ("REELWAY_PORT", "planted-70000"),
            ("REELWAY_ON", "planted-yes"),
            ("REELWAY_SIZE", " 12 "),
        ]);
        let mut reader = Reader::new(&lookup);
        assert_eq!(reader.parse("REELWAY_PORT", 3000_u16), 3000);
        assert!(!reader.parse("REELWAY_ON", false));
        assert_eq!(reader.parse("REELWAY_SIZE", 1_u32), 12);
        assert_eq!(reader.required("REELWAY_BUCKET"), "");
        reader.problem("REELWAY_A and REELWAY_B contradict");

        let problems = reader.finish().unwrap_err();
        let named = [
            "REELWAY_PORT: ",
            "REELWAY_ON: ",
            "REELWAY_BUCKET is not set",
            "REELWAY_A and",
        ];
        assert_eq!(problems.0.len(), named.len(), "{problems}");
        for (problem, start) in problems.0.iter().zip(named) {
            assert!(problem.starts_with(start), "{problem}");
        }
        assert!(!problems.to_string().contains("planted"), "{problems}");
    }

    #[test]
    fn nothing_and_not_set_are_the_same() {
        let lookup = MapLookup::from([("REELWAY_REDIS_URL", ""), ("REELWAY_ADMIN_KEY", "")]);
        let mut reader = Reader::new(&lookup);
        for name in ["REELWAY_REDIS_URL", "REELWAY_MISSING"] {
            assert_eq!(reader.optional(name), None);
            assert_eq!(reader.text(name, "default"), "default");
            assert_eq!(reader.parse(name, 7), 7);
        }
        assert!(reader.secret("REELWAY_ADMIN_KEY").is_none());
        assert_eq!(reader.finish(), Ok(()));
    }
}
