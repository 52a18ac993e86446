//! What the night knows of each user, as rows.

use bytes::Bytes;
use engine::{Profile, UserId, VideoId};
use smol_str::SmolStr;
use store::{Error, ErrorKind};

use crate::batch::{Batch, wrong};
use crate::column::{Column, Kind};
use crate::gathered::Gathered;
use crate::table::{self, TableFile, TableRow, TableWriter};

const ID_BYTES_MAX: usize = 64;
/// Longest list, as text.
const LIST_BYTES_MAX: usize = 64 * 1024;

/// One user's profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileRow {
    /// Whose.
    pub user_id: UserId,
    /// What the T+1 batch found.
    pub profile: Profile,
}

/// A file of profiles, handing out batches of rows.
pub type ProfileFile = TableFile<ProfileRow>;
/// Writes a file of profiles.
pub type ProfileWriter<W> = TableWriter<ProfileRow, W>;

/// Rows as one Parquet file that names the generation of its night.
///
/// # Errors
/// `Invalid` when a row does not fit its columns.
pub fn encode_profiles(rows: &[ProfileRow], generation: &str) -> Result<Bytes, Error> {
    table::encode(rows, Some(generation))
}

impl TableRow for ProfileRow {
    const TABLE: &'static str = "profiles";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column] = &[
        Column::new("user_id", Kind::Text).unique(),
        Column::new("cohort", Kind::Int64),
        Column::new("categories", Kind::Text).unique(),
        Column::new("long_term", Kind::Text).unique(),
        Column::new("long_view_rate", Kind::Float),
    ];

    fn gather(rows: &[Self], columns: &mut Gathered) -> Result<(), Error> {
        let list = |list: String| match list.len() {
            0..=LIST_BYTES_MAX => Ok(list),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                "a profile has a list longer than 64 KiB",
            )),
        };
        let profiles = || rows.iter().map(|row| &row.profile);
        let categories = profiles()
            .map(|profile| list(serde_json::to_string(&profile.categories).map_err(unfit)?))
            .collect::<Result<Vec<_>, Error>>()?;
        let long_term = profiles()
            .map(|profile| list(joined(&profile.long_term)))
            .collect::<Result<Vec<_>, Error>>()?;
        columns.text("user_id", rows.iter().map(|row| row.user_id.as_str()))?;
        columns.int64("cohort", profiles().map(|p| i64::from(p.cohort)))?;
        columns.text("categories", categories.iter().map(String::as_str))?;
        columns.text("long_term", long_term.iter().map(String::as_str))?;
        columns.float("long_view_rate", profiles().map(|p| p.long_view_rate))
    }

    fn read(batch: &Batch<Self>) -> Result<Vec<Self>, Error> {
        let user_id = batch.text("user_id", ID_BYTES_MAX)?;
        let categories = batch.text("categories", LIST_BYTES_MAX)?;
        let long_term = batch.text("long_term", LIST_BYTES_MAX)?;
        let cohort = batch.int64("cohort")?;
        let rate = batch.float("long_view_rate")?;
        let row = |at: usize| -> Result<Self, Error> {
            let user_id =
                UserId::parse(user_id.required(at)?).map_err(|_| wrong::<Self>("user_id"))?;
            let listed: Vec<(SmolStr, f32)> = serde_json::from_str(categories.required(at)?)
                .map_err(|_| wrong::<Self>("categories"))?;
            let cohort = cohort.narrowed(at)?;
            let profile = Profile {
                cohort: cohort.ok_or_else(|| wrong::<Self>("cohort"))?,
                categories: listed,
                long_term: parted(long_term.required(at)?)?,
                long_view_rate: rate.required(at)?,
            };
            Ok(Self { user_id, profile })
        };
        (0..batch.rows()).map(row).collect()
    }
}

fn unfit(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(ErrorKind::Invalid, "write profiles", source)
}

fn joined(ids: &[VideoId]) -> String {
    let ids: Vec<&str> = ids.iter().map(VideoId::as_str).collect();
    ids.join(" ")
}

fn parted(text: &str) -> Result<Vec<VideoId>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let ids = text.split(' ').map(VideoId::parse);
    ids.collect::<Result<_, _>>()
        .map_err(|_| wrong::<ProfileRow>("long_term"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn profile_row()(
            user in "[a-zA-Z0-9_-]{1,64}",
            cohort: u32,
            categories in prop::collection::vec(("\\PC{1,12}", 0.0f32..1.0), 0..5),
            long_term in prop::collection::vec("[a-z0-9-]{1,12}", 0..9),
            long_view_rate in 0.0f32..=1.0,
        ) -> ProfileRow {
            let categories = categories.into_iter().map(|(c, w)| (SmolStr::new(c), w)).collect();
            let long_term = long_term.iter().map(|id| VideoId::parse(id).unwrap()).collect();
            let profile = Profile { cohort, categories, long_term, long_view_rate };
            ProfileRow { user_id: UserId::parse(&user).unwrap(), profile }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn profiles_come_back_as_they_went(rows in prop::collection::vec(profile_row(), 0..40)) {
            let file = ProfileFile::from_bytes(encode_profiles(&rows, "g").unwrap()).unwrap();
            prop_assert_eq!(file.generation(), Some("g"));
            prop_assert_eq!(file.rows(), rows.len() as u64);
            let read: Vec<ProfileRow> = file.flat_map(Result::unwrap).collect();
            prop_assert_eq!(read, rows);
        }
    }

    #[test]
    fn a_list_too_long_is_refused_when_written() {
        let long_term = vec![VideoId::parse(&"v".repeat(64)).unwrap(); 1_100];
        let profile = Profile {
            long_term,
            ..Profile::default()
        };
        let rows = [ProfileRow {
            user_id: UserId::parse("u").unwrap(),
            profile,
        }];
        assert_eq!(
            encode_profiles(&rows, "g").unwrap_err().kind,
            ErrorKind::Invalid
        );
    }
}
