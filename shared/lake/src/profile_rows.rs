//! What the night knows of each user, as rows.

use std::sync::{Arc, LazyLock};

use arrow_array::{Array, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use engine::{Profile, UserId, VideoId};
use smol_str::SmolStr;
use store::{Error, ErrorKind};

use crate::column::{Columns, wrong};
use crate::table::{self, TableFile, TableRow, TableWriter};

const ID_BYTES_MAX: usize = 64;
/// Longest list, as text.
const LIST_BYTES_MAX: usize = 64 * 1024;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = [
        ("user_id", DataType::Utf8),
        ("cohort", DataType::Int64),
        ("categories", DataType::Utf8),
        ("long_term", DataType::Utf8),
        ("long_view_rate", DataType::Float32),
    ];
    Arc::new(Schema::new(
        fields
            .map(|(name, kind)| Field::new(name, kind, false))
            .to_vec(),
    ))
});

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

/// Rows as one Parquet file.
///
/// # Errors
/// `Invalid` when a row does not fit its columns.
pub fn encode_profiles(rows: &[ProfileRow]) -> Result<Bytes, Error> {
    table::encode(rows)
}

impl TableRow for ProfileRow {
    const TABLE: &'static str = "profiles";
    const VERSION: u32 = 1;
    const UNIQUE_COLUMNS: &'static [&'static str] = &["user_id", "categories", "long_term"];

    fn schema() -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, Error> {
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
        let rates = profiles().map(|profile| profile.long_view_rate);
        RecordBatch::try_new(
            Self::schema(),
            vec![
                Arc::new(StringArray::from_iter_values(
                    rows.iter().map(|row| row.user_id.as_str()),
                )),
                Arc::new(Int64Array::from_iter_values(
                    profiles().map(|p| i64::from(p.cohort)),
                )),
                Arc::new(StringArray::from_iter_values(categories)),
                Arc::new(StringArray::from_iter_values(long_term)),
                Arc::new(Float32Array::from_iter_values(rates)),
            ],
        )
        .map_err(unfit)
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, Error> {
        let columns = Columns(batch);
        let user_id = columns.text::<Self>("user_id", ID_BYTES_MAX)?;
        let categories = columns.text::<Self>("categories", LIST_BYTES_MAX)?;
        let long_term = columns.text::<Self>("long_term", LIST_BYTES_MAX)?;
        let cohort = columns.int64::<Self>("cohort")?;
        let rate = columns.float32::<Self>("long_view_rate")?;
        if cohort.null_count() > 0 || rate.null_count() > 0 {
            return Err(wrong::<Self>("cohort"));
        }
        let row = |at: usize| -> Result<Self, Error> {
            let user_id = UserId::parse(user_id.required::<Self>(at)?)
                .map_err(|_| wrong::<Self>("user_id"))?;
            let listed: Vec<(SmolStr, f32)> =
                serde_json::from_str(categories.required::<Self>(at)?)
                    .map_err(|_| wrong::<Self>("categories"))?;
            let profile = Profile {
                cohort: u32::try_from(cohort.value(at)).map_err(|_| wrong::<Self>("cohort"))?,
                categories: listed,
                long_term: parted(long_term.required::<Self>(at)?)?,
                long_view_rate: rate.value(at),
            };
            Ok(Self { user_id, profile })
        };
        (0..batch.num_rows()).map(row).collect()
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
            let file = ProfileFile::from_bytes(encode_profiles(&rows).unwrap()).unwrap();
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
        assert_eq!(encode_profiles(&rows).unwrap_err().kind, ErrorKind::Invalid);
    }
}
