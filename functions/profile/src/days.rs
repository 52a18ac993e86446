//! Which days a run reads, and whether they are whole enough to publish from.

use jiff::civil::Date;

/// A day with fewer rows than this share of the day before is not published from.
pub const ROWS_SHARE_MIN: f64 = 0.4;
/// Days below this many rows say nothing about each other.
const ROWS_COMPARED_MIN: u64 = 1_000;

/// How much of one day the lake holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRows {
    /// The day, UTC.
    pub date: Date,
    /// Rows of all its files, repetitions included.
    pub rows: u64,
}

/// A day that is too thin to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thin {
    /// The day.
    pub day: DayRows,
    /// The day before it.
    pub before: DayRows,
}

/// The newest `window` of the `days` that hold something (oldest first), up to `last`.
///
/// Days, and not the calendar: a feed that was taken in years after it was recorded is history to
/// the first event of today as well.
#[must_use]
pub fn window_of(days: &[Date], last: Date, window: u32) -> Vec<Date> {
    let until = days.partition_point(|day| *day <= last);
    let from = until.saturating_sub(window.max(1) as usize);
    days.get(from..until).unwrap_or_default().to_vec()
}

/// Finds the newest whole day and complains when it is far thinner than the day before it.
///
/// `today` is still filling and is never judged; a gap in the calendar compares with nothing.
#[must_use]
pub fn too_thin(days: &[DayRows], today: Date) -> Option<Thin> {
    let whole: Vec<&DayRows> = days.iter().filter(|day| day.date < today).collect();
    let [.., before, day] = whole[..] else {
        return None;
    };
    let adjacent = before.date.tomorrow().is_ok_and(|next| next == day.date);
    let known = adjacent && before.rows >= ROWS_COMPARED_MIN;
    let thin = (day.rows as f64) < before.rows as f64 * ROWS_SHARE_MIN;
    (known && thin).then_some(Thin {
        day: *day,
        before: *before,
    })
}

/// The next generation of a day: `2026-11-21.3` when `.2` is the highest there is.
#[must_use]
pub fn next_generation<'a>(date: Date, taken: impl IntoIterator<Item = &'a str>) -> String {
    let prefix = format!("{date}.");
    let numbers = taken
        .into_iter()
        .filter_map(|name| name.strip_prefix(&prefix)?.parse().ok());
    let highest: u32 = numbers.max().unwrap_or(0);
    format!("{prefix}{}", highest.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn november(day: i8) -> Date {
        date(2026, 11, day)
    }

    #[test]
    fn the_window_counts_days_that_hold_something() {
        let days = [1, 2, 18, 20, 21].map(november);
        let cases: [(Date, u32, &[i8]); 5] = [
            (november(21), 4, &[2, 18, 20, 21]),
            (november(21), 2, &[20, 21]),
            (november(20), 1, &[20]),
            (november(30), 2, &[20, 21]),
            (november(2), 400, &[1, 2]),
        ];
        for (last, window, expected) in cases {
            let expected: Vec<Date> = expected.iter().copied().map(november).collect();
            assert_eq!(window_of(&days, last, window), expected, "{last} {window}");
        }
    }

    #[test]
    fn only_a_whole_day_right_after_a_fuller_one_is_thin() {
        let cases: [(&[(i8, u64)], bool); 8] = [
            (&[], false),
            (&[(20, 10)], false),
            (&[(19, 10_000), (20, 3_999)], true),
            (&[(19, 10_000), (20, 4_000)], false),
            (&[(19, 10_000), (20, 9_000), (21, 5)], false),
            (&[(19, 10_000), (20, 100), (21, 9_000)], true),
            (&[(18, 10_000), (20, 100)], false),
            (&[(19, 999), (20, 1)], false),
        ];
        for (days, thin) in cases {
            let days: Vec<DayRows> = days
                .iter()
                .map(|(day, rows)| DayRows {
                    date: november(*day),
                    rows: *rows,
                })
                .collect();
            assert_eq!(too_thin(&days, november(21)).is_some(), thin, "{days:?}");
        }
    }

    #[test]
    fn a_generation_is_named_by_its_day_and_a_number_that_only_rises() {
        let cases: [(&[&str], &str); 4] = [
            (&[], "2026-11-21.1"),
            (&["2026-11-21.1", "2026-11-20.7"], "2026-11-21.2"),
            (&["2026-11-21.9", "2026-11-21.10"], "2026-11-21.11"),
            (&["2026-11-21.x", "2026-11-21"], "2026-11-21.1"),
        ];
        for (taken, name) in cases {
            assert_eq!(next_generation(november(21), taken.iter().copied()), name);
        }
    }
}
