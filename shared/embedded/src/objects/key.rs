//! Which keys there may be.

use store::{Error, ErrorKind};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 512;
/// Longest part between slashes: what file systems allow.
const PART_BYTES_MAX: usize = 255;

/// Checks a whole key. No part begins with a dot, so none is `.` or `..` or a file of our own.
pub(super) fn check_key(key: &str) -> Result<(), Error> {
    let parts_fit = key.split('/').all(|part| {
        (1..=PART_BYTES_MAX).contains(&part.len()) && !part.starts_with('.') && clean(part)
    });
    if parts_fit && key.len() <= KEY_BYTES_MAX {
        Ok(())
    } else {
        Err(invalid())
    }
}

/// Checks the beginning of a key: its last part may be unfinished.
pub(super) fn check_prefix(prefix: &str) -> Result<(), Error> {
    let finished = prefix.rsplit_once('/').map_or("", |(folders, _)| folders);
    let unfinished = prefix
        .strip_prefix(finished)
        .unwrap_or(prefix)
        .trim_start_matches('/');
    if !finished.is_empty() {
        check_key(finished)?;
    }
    let fits = clean(unfinished) && !unfinished.starts_with('.') && !prefix.starts_with('/');
    if fits { Ok(()) } else { Err(invalid()) }
}

fn clean(part: &str) -> bool {
    part.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'='))
}

fn invalid() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "an object key is relative, of A-Z a-z 0-9 _ - . = between /",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_leave_its_folder_or_name_our_own_files() {
        for good in [
            "a",
            "lake/events/dt=2022-04-25/hour=03/x.parquet",
            "index/1.2-3_4/m",
        ] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        let long = "a".repeat(300);
        let bad = [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", ".tmp/1", "a\\b", "ä", "a b",
        ];
        for bad in bad.into_iter().chain([long.as_str(), "a\0"]) {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_may_end_anywhere_but_stays_inside() {
        for good in ["", "a", "a/", "a/b=", "lake/events/dt="] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for bad in ["/", "/a", "a//", "..", "../", "a/..", "a/../b", ".tmp/"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }
}
