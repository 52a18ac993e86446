//! Text that must not be printed.

use std::fmt;

/// A key or password. It can be used, but neither printed nor compared in a way that tells how
/// much of a guess was right.
///
/// ```
/// let key = ops::Secret::new("hunter2");
/// assert_eq!(format!("{key:?}"), "Secret(redacted)");
/// assert!(key.matches("hunter2") && !key.matches("hunter3"));
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is the text; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, guess: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), guess.as_bytes());
        let differences = ours
            .iter()
            .zip(theirs)
            .fold(0, |found, (a, b)| found | (a ^ b));
        ours.len() == theirs.len() && std::hint::black_box(differences) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_the_text() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "read by Debug only")]
        struct Settings {
            admin_key: Option<Secret>,
        }
        let settings = Settings {
            admin_key: Some(Secret::new("planted-secret")),
        };
        for printed in [format!("{settings:?}"), format!("{settings:#?}")] {
            assert!(!printed.contains("planted"), "{printed}");
            assert!(printed.contains("redacted"), "{printed}");
        }
    }

    #[test]
    fn only_the_whole_text_matches() {
        let secret = Secret::new("key");
        for (guess, expected) in [
            ("key", true),
            ("kez", false),
            ("ke", false),
            ("keys", false),
            ("", false),
        ] {
            assert_eq!(secret.matches(guess), expected, "{guess}");
        }
    }
}
