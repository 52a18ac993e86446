//! The generations that served the days the ranker learns from.

use std::path::Path;
use std::sync::Arc;

use engine::{Index, Profile, UserId};
use guard::Deadline;
use jiff::civil::Date;
use learn::{GenerationBuilder, Past};
use smol_str::SmolStr;
use store::generation::GENERATIONS_KEPT;
use store::life::GenerationOrder;
use store::{Error, ErrorKind, GenerationReader};

use crate::hold::Hold;
use crate::{Parts, untidied};

/// Bytes of past generations that are opened at once; what is older is made again.
const PAST_BYTES_MAX: u64 = 4 << 30;

/// Gives the builder every generation that `served` rows name and that is kept, with the profiles of
/// its night. One that cannot be read is made again by the builder, which costs time and no night.
pub(crate) async fn add(
    parts: &Parts,
    builder: &mut GenerationBuilder,
    hold: &mut Hold<'_>,
    deadline: &Deadline,
) -> Result<(), Error> {
    let mut named: Vec<SmolStr> = builder.served_by().to_vec();
    named.sort_unstable_by_key(|name| GenerationOrder::of(name));
    let dir = parts.work_dir.join("past");
    let objects = Arc::clone(&parts.objects);
    let reader = GenerationReader::new(objects, dir.clone(), Arc::clone(&parts.clock));
    let mut room = PAST_BYTES_MAX;
    for name in named.iter().rev().take(GENERATIONS_KEPT) {
        match open(parts, &reader, builder, name, &mut room, deadline).await {
            Ok(past) => builder.add_past(past),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                error = %error,
                index.generation = %name,
                "a generation that served could not be opened, its night is made again"
            ),
        }
        hold.renew(deadline).await?;
    }
    drop(reader);
    // What is mapped stays readable without its name.
    untidied(tokio::fs::remove_dir_all(Path::new(&dir)).await);
    Ok(())
}

async fn open(
    parts: &Parts,
    reader: &GenerationReader,
    builder: &GenerationBuilder,
    name: &str,
    room: &mut u64,
    deadline: &Deadline,
) -> Result<Past, Error> {
    let not_kept = |what: &str| Error::new(ErrorKind::NotFound, format!("open {name}: {what}"));
    let night = name.rsplit_once('.');
    let date: Option<Date> = night.and_then(|(date, _)| date.parse().ok());
    let date = date.ok_or_else(|| not_kept("no night of this job"))?;
    // A day has one table of profiles: that of its newest run.
    let runs = parts
        .objects
        .list(&format!("index/{date}."), deadline)
        .await?;
    let runs = runs.iter().filter_map(|meta| meta.key.split('/').nth(1));
    if runs.map(GenerationOrder::of).max() > Some(GenerationOrder::of(name)) {
        return Err(not_kept("its profiles were replaced"));
    }
    let manifest = parts.generations.manifest(name, deadline).await?;
    *room = room
        .checked_sub(manifest.bytes)
        .ok_or_else(|| not_kept("too large beside the others"))?;
    let index: Arc<Index> = reader.open(name, deadline).await?;
    let mut profiles: Vec<(UserId, Profile)> = Vec::new();
    for file in parts.lake.profile_files(date, deadline).await? {
        for rows in parts.lake.open_profiles(&file.key, deadline).await? {
            let known = rows?
                .into_iter()
                .filter(|row| builder.has_met(&row.user_id));
            profiles.extend(known.map(|row| (row.user_id, row.profile)));
            tokio::task::yield_now().await;
        }
    }
    profiles.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(Past {
        index,
        profiles: profiles.into(),
    })
}
