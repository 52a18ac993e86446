//! Text in a cell, as what it means.

use engine::{CreatorId, UserId, VideoId};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use smol_str::SmolStr;

use super::convert::Reason;

/// The last moment of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;
/// Whole numbers below are seconds, as they are until the year 5138.
const SECONDS_BELOW: u64 = 100_000_000_000;
const MILLISECONDS_BELOW: u64 = 100_000_000_000_000;
const MICROSECONDS_BELOW: u64 = 100_000_000_000_000_000;

/// A user's id.
pub(super) fn user(column: &str, text: &str) -> Result<UserId, Reason> {
    UserId::parse(text).map_err(|wrong| format!("{column}: {wrong}"))
}

/// A video's id.
pub(super) fn video(column: &str, text: &str) -> Result<VideoId, Reason> {
    VideoId::parse(text).map_err(|wrong| format!("{column}: {wrong}"))
}

/// A creator's id, where there is one.
pub(super) fn creator(column: &str, text: &str) -> Result<Option<CreatorId>, Reason> {
    let parsed = (!text.is_empty())
        .then(|| CreatorId::parse(text))
        .transpose();
    parsed.map_err(|wrong| format!("{column}: {wrong}"))
}

/// Unix time in milliseconds, of: a number of seconds, milliseconds, microseconds or nanoseconds
/// (told apart by size), a date, or a date and time, in UTC where no zone is given.
pub(super) fn time(column: &str, text: &str) -> Result<i64, Reason> {
    let ms = number_time(text).or_else(|| calendar_time(text));
    ms.filter(|ms| (0..=TIME_MS_MAX).contains(ms))
        .ok_or_else(|| format!("{column}: not a time from 1970 on"))
}

/// A whole number, also one written as a decimal.
pub(super) fn whole(column: &str, text: &str) -> Result<u32, Reason> {
    optional_whole(column, text)?.ok_or_else(|| format!("{column}: empty"))
}

/// A whole number where there is one. What is larger than can be kept is kept as the largest.
pub(super) fn optional_whole(column: &str, text: &str) -> Result<Option<u32>, Reason> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = text.parse() {
        return Ok(Some(number));
    }
    let number = decimal(column, text)?;
    if number < 0.0 {
        Err(format!("{column}: negative"))
    } else {
        Ok(Some(number as u32))
    }
}

/// A number.
pub(super) fn decimal(column: &str, text: &str) -> Result<f64, Reason> {
    let parsed = text.parse::<f64>().ok().filter(|number| number.is_finite());
    parsed.ok_or_else(|| format!("{column}: not a number"))
}

/// Yes or no: `1`, `true`, `yes`; `0`, `false`, `no`, nothing.
pub(super) fn flag(column: &str, text: &str) -> Result<bool, Reason> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "1.0" | "true" | "yes" => Ok(true),
        "" | "0" | "0.0" | "false" | "no" => Ok(false),
        _ => Err(format!("{column}: neither 0 nor 1")),
    }
}

/// The parts of a list, trimmed, without empty ones.
pub(super) fn list(text: &str, separators: &[char]) -> Vec<SmolStr> {
    let parts = text
        .split(separators)
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(SmolStr::new).collect()
}

fn number_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<u64>() {
        let number_ms = match number {
            0..SECONDS_BELOW => number * 1_000,
            SECONDS_BELOW..MILLISECONDS_BELOW => number,
            MILLISECONDS_BELOW..MICROSECONDS_BELOW => number / 1_000,
            _ => number / 1_000_000,
        };
        return i64::try_from(number_ms).ok();
    }
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())?;
    let unit_ms = if number.abs() < SECONDS_BELOW as f64 {
        1_000.0
    } else {
        1.0
    };
    Some((number * unit_ms).round() as i64)
}

fn calendar_time(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    // `2009-11-10 23:00:00 +0000 UTC` is how Go prints a time.
    let bare = text.strip_suffix(" UTC").unwrap_or(text);
    let bare = bare.strip_suffix(" +0000").unwrap_or(bare);
    let local = bare.parse::<DateTime>().ok()?;
    Some(
        local
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_apart_by_their_form_and_size() {
        let cases = [
            ("1650812741", 1_650_812_741_000),
            ("1650812741436", 1_650_812_741_436),
            ("1650812741436000", 1_650_812_741_436),
            ("1650812741436000000", 1_650_812_741_436),
            ("1592337718.0", 1_592_337_718_000),
            ("1592337718.25", 1_592_337_718_250),
            ("1.650812741436e12", 1_650_812_741_436),
            ("2022-04-24T15:05:41.436Z", 1_650_812_741_436),
            ("2022-04-24T23:05:41.436+08:00", 1_650_812_741_436),
            ("2022-04-24 15:05:41", 1_650_812_741_000),
            ("2022-04-24 15:05:41 +0000 UTC", 1_650_812_741_000),
            ("2022-04-24", 1_650_758_400_000),
            ("0", 0),
        ];
        for (text, ms) in cases {
            assert_eq!(time("ts", text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "-1",
            "now",
            "1969-12-31",
            "NaN",
            "inf",
            "2022-13-01",
            "99999-01-01",
        ] {
            assert_eq!(
                time("ts", text),
                Err("ts: not a time from 1970 on".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_flags_and_lists_are_read_as_people_write_them() {
        assert_eq!(optional_whole("n", ""), Ok(None));
        assert_eq!(optional_whole("n", "61802"), Ok(Some(61_802)));
        assert_eq!(optional_whole("n", "61802.0"), Ok(Some(61_802)));
        assert_eq!(optional_whole("n", "1e300"), Ok(Some(u32::MAX)));
        for bad in ["-1", "x", "NaN"] {
            assert!(optional_whole("n", bad).is_err(), "{bad}");
        }
        assert!(whole("n", "").is_err());
        assert_eq!(
            (flag("f", "TRUE"), flag("f", ""), flag("f", "0")),
            (Ok(true), Ok(false), Ok(false))
        );
        assert!(flag("f", "2").is_err());
        assert_eq!(list(" a|b,, c ", &['|', ',']), ["a", "b", "c"]);
    }
}
