//! The generations that served the days the ranker learns from.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Profile, UserId};
use guard::Deadline;
use jiff::civil::Date;
use learn::{GenerationBuilder, Past};
use store::generation::GENERATIONS_KEPT;
use store::life::GenerationOrder;
use store::{Error, ErrorKind, GenerationReader};

use crate::audience::Audience;
use crate::hold::Hold;
use crate::publish::PROFILE_PARTS;
use crate::{Parts, untidied};

/// Bytes of past generations that are opened at once; what is older is made again.
const PAST_BYTES_MAX: u64 = 4 << 30;
/// Opening them may take this part of what is left of the night: making them again needs some, too.
const TIME_SHARE: f64 = 0.2;

/// Gives the builder every generation that `served` rows name and that is kept, with the profiles of
/// its night. One that cannot be read in time is made again by the builder.
///
/// # Errors
/// When another run took over.
pub(crate) async fn add(
    parts: &Parts,
    builder: &mut GenerationBuilder,
    audience: &Audience,
    hold: &mut Hold<'_>,
    deadline: &Deadline,
) -> Result<(), Error> {
    let (dir, soon) = (parts.work_dir.join("past"), deadline.share(TIME_SHARE));
    let names = kept(parts, builder, &soon).await;
    let mut opening = Opening {
        parts,
        audience,
        reader: GenerationReader::new(
            Arc::clone(&parts.objects),
            dir.clone(),
            Arc::clone(&parts.clock),
        ),
        room: PAST_BYTES_MAX,
    };
    let mut held = Ok(());
    for name in names {
        match opening.open(builder, &name, &soon).await {
            Ok(past) => builder.add_past(past),
            Err(error) => tracing::warn!(
                error = %error,
                index.generation = name,
                "a generation that served is not opened, its night is made again"
            ),
        }
        held = hold.renew(deadline).await;
        if held.is_err() {
            break;
        }
    }
    drop(opening);
    // What is mapped stays readable without its name.
    untidied(tokio::fs::remove_dir_all(dir).await);
    held
}

/// The generations that are both named and there, newest first.
async fn kept(parts: &Parts, builder: &GenerationBuilder, deadline: &Deadline) -> Vec<String> {
    let listed = match parts.objects.list("index/", deadline).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(error = %error, "generations cannot be listed, every night is made again");
            Vec::new()
        }
    };
    let there: BTreeSet<&str> = listed
        .iter()
        .filter_map(|meta| meta.key.split('/').nth(1))
        .collect();
    let named = builder.served_by().iter();
    let mut names: Vec<String> = named
        .filter(|name| there.contains(name.as_str()))
        .map(ToString::to_string)
        .collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse(GenerationOrder::of(name)));
    names.truncate(GENERATIONS_KEPT);
    names
}

/// What opens them one after the other.
struct Opening<'a> {
    parts: &'a Parts,
    audience: &'a Audience,
    reader: GenerationReader,
    /// Bytes that may still be opened.
    room: u64,
}

impl Opening<'_> {
    async fn open(
        &mut self,
        builder: &GenerationBuilder,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Past, Error> {
        let manifest = self.parts.generations.manifest(name, deadline).await?;
        let room = self.room.checked_sub(manifest.bytes);
        self.room = room.ok_or_else(|| not_opened(name, "it is too large beside the others"))?;
        let index = self.reader.open(name, deadline).await?;
        let mut profiles = self.profiles(builder, name, deadline).await?;
        // Who was deleted since has no such profile any more.
        profiles.retain(|(user, _)| !self.audience.was_deleted(user, index.as_of_ms()));
        Ok(Past::new(index, profiles))
    }

    /// The profiles that were made with a generation, of those users that are learned from. A run of
    /// the same day that came later, or died on the way, left others: then there are none.
    async fn profiles(
        &self,
        builder: &GenerationBuilder,
        name: &str,
        deadline: &Deadline,
    ) -> Result<Vec<(UserId, Profile)>, Error> {
        let date = name
            .rsplit_once('.')
            .and_then(|(date, _)| date.parse().ok());
        let date: Date = date.ok_or_else(|| not_opened(name, "it is no night of this job"))?;
        let lake = &self.parts.lake;
        let files = lake.profile_files(date, deadline).await?;
        if files.len() != PROFILE_PARTS as usize {
            return Err(not_opened(name, "its profiles are not whole"));
        }
        let mut profiles = Vec::new();
        for file in files {
            let part = lake.open_profiles(&file.key, deadline).await?;
            if part.generation() != Some(name) {
                return Err(not_opened(name, "its profiles were replaced"));
            }
            for rows in part {
                let rows = rows?.into_iter();
                let known = rows.filter(|row| builder.learns_from(&row.user_id));
                profiles.extend(known.map(|row| (row.user_id, row.profile)));
                tokio::task::yield_now().await;
            }
        }
        Ok(profiles)
    }
}

fn not_opened(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("open generation {name}: {why}"))
}
