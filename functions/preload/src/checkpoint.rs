//! How far a walk is, so that another can go on from there.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A place in a walk. Means something only for the generation and the profile table it was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The generation whose slates are stored.
    pub generation: SmolStr,
    /// The day of the profile table that is walked; none before the first night.
    #[serde(default)]
    pub day: Option<Date>,
    /// The part: 0 is everybody and the cohorts, 1 and on the files of the profile table.
    pub part: usize,
    /// What is done of that part, in questions.
    pub offset: usize,
}

impl Checkpoint {
    /// The beginning.
    #[must_use]
    pub fn start(generation: SmolStr, day: Option<Date>) -> Self {
        Self {
            generation,
            day,
            part: 0,
            offset: 0,
        }
    }

    /// The place that was kept, when it belongs to the same walk; else the beginning. What cannot be
    /// read costs the work done, nothing more.
    #[must_use]
    pub fn resume(kept: Option<&[u8]>, start: Self) -> Self {
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Self>(bytes).ok());
        let same = |kept: &Self| kept.generation == start.generation && kept.day == start.day;
        kept.filter(same).unwrap_or(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_of_the_same_walk_is_gone_on_from() {
        let start = Checkpoint::start("2026-11-21.1".into(), None);
        let later = Checkpoint {
            part: 3,
            offset: 40,
            ..start.clone()
        };
        let json = serde_json::to_vec(&later).unwrap();
        assert_eq!(Checkpoint::resume(Some(&json), start.clone()), later);
        let newer = Checkpoint::start("2026-11-21.2".into(), None);
        assert_eq!(Checkpoint::resume(Some(&json), newer.clone()), newer);
        let day = Checkpoint::start("2026-11-21.1".into(), Some(jiff::civil::date(2026, 11, 21)));
        assert_eq!(Checkpoint::resume(Some(&json), day.clone()), day);
        for bad in [&b"{"[..], b"", b"{\"part\":-1}", &json[..json.len() - 1]] {
            assert_eq!(Checkpoint::resume(Some(bad), start.clone()), start);
        }
        assert_eq!(Checkpoint::resume(None, start.clone()), start);
    }
}
