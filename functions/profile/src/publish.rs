//! What a night leaves behind: the profile table, and the generation.

use std::path::Path;

use engine::{Profile, UserId, UserState};
use guard::Deadline;
use jiff::civil::Date;
use lake::{Lake, ProfileRow};
use learn::Built;
use store::generation::Pointer;
use store::{Error, ErrorKind};

use crate::{Options, Parts, gave_up, untidied};

/// Parts of a profile table; a user's part is their hash modulo this.
pub const PROFILE_PARTS: u32 = 16;
/// The longest a night can take, with room.
const NIGHT_MS_MAX: i64 = 24 * 3_600_000;

/// Writes every part, empty ones too, so that an earlier run of the day leaves none behind.
pub(crate) async fn write_profiles(
    lake: &Lake,
    date: Date,
    generation: &str,
    profiles: &[(UserId, Profile)],
    deadline: &Deadline,
) -> Result<(), Error> {
    let mut parts: Vec<Vec<ProfileRow>> = (0..PROFILE_PARTS).map(|_| Vec::new()).collect();
    for (user_id, profile) in profiles {
        let at = UserState::user_hash(user_id) % u64::from(PROFILE_PARTS);
        if let Some(part) = parts.get_mut(at as usize) {
            part.push(ProfileRow {
                user_id: user_id.clone(),
                profile: profile.clone(),
            });
        }
    }
    for (part, rows) in (0..PROFILE_PARTS).zip(parts) {
        lake.write_profiles(date, part, generation, rows, deadline)
            .await?;
    }
    Ok(())
}

/// Forgets the hidden videos that no generation in use has any more. The one before may still be
/// mapped somewhere; it read the catalogue at most a night before it was published.
pub(crate) async fn settle(parts: &Parts, before: Option<Pointer>, deadline: &Deadline) {
    let Some(before) = before else { return };
    let settled = parts
        .catalogue
        .settle(before.swapped_ms - NIGHT_MS_MAX, deadline)
        .await;
    if let Err(error) = settled {
        tracing::warn!(error = %error, "hidden videos were not settled, the next night does it");
    }
}

/// Writes the generation into the work folder, always under one name, so that a run that is killed
/// leaves at most one file behind; then publishes it, or leaves the pointer to the job that fills
/// caches from it first.
pub(crate) async fn publish(
    parts: &Parts,
    generation: &str,
    mut built: Built,
    options: &Options,
    deadline: &Deadline,
) -> Result<(), Error> {
    let failed =
        |e: std::io::Error| Error::because(ErrorKind::Unavailable, "write a generation", e);
    tokio::fs::create_dir_all(&parts.work_dir)
        .await
        .map_err(failed)?;
    let file = parts.work_dir.join("generation.tmp");
    let written = file.clone();
    let writing = tokio::task::spawn_blocking(move || built.write_to(&written));
    writing.await.map_err(gave_up)?.map_err(failed)?;
    let published = point(parts, generation, &file, options.preloads, deadline).await;
    untidied(tokio::fs::remove_file(&file).await);
    published
}

async fn point(
    parts: &Parts,
    generation: &str,
    file: &Path,
    preloads: bool,
    deadline: &Deadline,
) -> Result<(), Error> {
    let generations = &parts.generations;
    let staged = generations.stage(generation, file, deadline).await?;
    // The first one serves at once. And where nobody came for the last one, nobody comes for this.
    let serves = generations.pointer(deadline).await.ok().flatten();
    let waits = generations.next(deadline).await.ok().flatten();
    if preloads && serves.is_some() && waits.is_none() {
        return generations.announce(&staged, deadline).await;
    }
    if let Some(waits) = waits {
        tracing::warn!(index.generation = %waits.generation, "a generation was never preloaded");
    }
    generations.point(&staged, deadline).await
}
