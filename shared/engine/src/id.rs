//! Ids: `^[A-Za-z0-9_-]{1,64}$`, checked once where they enter.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 64 of the characters A-Z a-z 0-9 _ -")]
pub struct InvalidId;

fn checked(text: &str) -> Result<SmolStr, InvalidId> {
    let fits = (1..=ID_BYTES_MAX).contains(&text.len());
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits && clean {
        Ok(SmolStr::new(text))
    } else {
        Err(InvalidId)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "SmolStr", into = "SmolStr")]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks and takes the text.
            ///
            /// # Errors
            /// [`InvalidId`] when the text is empty, too long or has another character.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                checked(text).map(Self)
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<SmolStr> for $name {
            type Error = InvalidId;
            fn try_from(text: SmolStr) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for SmolStr {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// The thing recommended.
    VideoId
);
id!(
    /// The account asking, or the session of somebody who has none.
    UserId
);
id!(
    /// Who made a video.
    CreatorId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whitelisted_text_is_an_id() {
        for good in ["v42", "A-Z_09", "x", &"a".repeat(64)] {
            assert_eq!(VideoId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", "..", "a.b", &"a".repeat(65)] {
            assert_eq!(VideoId::parse(bad), Err(InvalidId), "{bad:?}");
        }
    }
}
