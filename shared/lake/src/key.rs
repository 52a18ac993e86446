//! Where things lie in the lake.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use store::{Error, ErrorKind};

/// Under which all events lie.
pub const EVENTS_PREFIX: &str = "lake/events/";
/// Under which all profile tables lie.
pub const PROFILES_PREFIX: &str = "profiles/";

const HOUR_MS: i64 = 3_600_000;

/// The hour a time lies in, counted from 1970, UTC.
#[must_use]
pub fn hour_of(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(HOUR_MS)
}

/// The key of an event object of the hour that `ts_ms` (Unix time in milliseconds) lies in.
///
/// # Errors
/// `Invalid` when the time is not in the years 1970 to 9999.
pub fn object_key(ts_ms: i64, name: &str) -> Result<String, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::Invalid,
            "an event's time is outside the calendar",
        )
    };
    let time = Timestamp::from_millisecond(ts_ms).map_err(|_| invalid())?;
    let time = time.to_zoned(TimeZone::UTC);
    if ts_ms < 0 {
        return Err(invalid());
    }
    Ok(format!(
        "{EVENTS_PREFIX}dt={}/hour={:02}/{name}.parquet",
        time.date(),
        time.hour()
    ))
}

/// Under which the events of a day lie.
#[must_use]
pub fn day_prefix(day: Date) -> String {
    format!("{EVENTS_PREFIX}dt={day}/")
}

/// Under which the profiles of a day lie.
#[must_use]
pub fn profile_prefix(day: Date) -> String {
    format!("{PROFILES_PREFIX}dt={day}/")
}

/// The key of one part of a day's profiles.
#[must_use]
pub fn profile_key(day: Date, part: u32) -> String {
    format!("{PROFILES_PREFIX}dt={day}/part-{part}.parquet")
}

/// The day in a key below `prefix`, `None` for keys of another form.
pub(crate) fn day_in(key: &str, prefix: &str) -> Option<Date> {
    let (day, _) = key
        .strip_prefix(prefix)?
        .strip_prefix("dt=")?
        .split_once('/')?;
    day.parse().ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_time_names_its_partition_in_utc() {
        let cases = [
            (
                1_650_812_741_436,
                "lake/events/dt=2022-04-24/hour=15/x.parquet",
            ),
            (0, "lake/events/dt=1970-01-01/hour=00/x.parquet"),
            (
                1_650_844_800_000 - 1,
                "lake/events/dt=2022-04-24/hour=23/x.parquet",
            ),
            (
                1_650_844_800_000,
                "lake/events/dt=2022-04-25/hour=00/x.parquet",
            ),
        ];
        for (ts_ms, key) in cases {
            assert_eq!(object_key(ts_ms, "x").unwrap(), key);
            let day = day_in(key, EVENTS_PREFIX).unwrap();
            assert!(key.starts_with(&day_prefix(day)), "{key}");
        }
        for outside in [i64::MIN, -1, i64::MAX] {
            assert!(object_key(outside, "x").is_err(), "{outside}");
        }
        assert_eq!(hour_of(-1), -1);
    }

    #[test]
    fn keys_of_another_form_name_no_day() {
        let day = day_in("profiles/dt=2022-04-25/part-0.parquet", PROFILES_PREFIX);
        assert_eq!(day, Some(date(2022, 4, 25)));
        for key in [
            "profiles/x",
            "profiles/dt=2022-13-01/part-0.parquet",
            "lake/dt=2022-04-25/x",
        ] {
            assert_eq!(day_in(key, PROFILES_PREFIX), None, "{key}");
        }
    }
}
