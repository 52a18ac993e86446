//! Slates and splits as text, so that another program may judge ours and we may judge its slates.

use std::io::{self, BufRead, Write};

use rustc_hash::FxHashMap;

use super::{Course, Log, Protocol, Slates};

/// Slates longer than this are cut.
const PLACES_MAX: usize = 1_000;

/// The name of an exam: the user's id, with the step where users have several.
#[must_use]
pub fn exam_name(log: &Log, course: &Course, exam: usize) -> String {
    let Some(exam) = course.exams.get(exam) else {
        return String::new();
    };
    let user = log.users.get(exam.user as usize);
    let user = user.map_or("", |user| user.as_str());
    match course.protocol {
        Protocol::Sessions { .. } => format!("{user}.{}", exam.step),
        _ => user.to_owned(),
    }
}

/// Writes `user`, `rank` from 1 and `item`, separated by tabs, after a header.
///
/// # Errors
/// What the writer says.
pub fn write_slates(
    log: &Log,
    course: &Course,
    slates: &Slates,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "user\trank\titem")?;
    for (exam, slate) in slates.iter().enumerate() {
        let name = exam_name(log, course, exam);
        for (rank, video) in slate.iter().enumerate() {
            if let Some(id) = log.videos.get(*video as usize) {
                writeln!(out, "{name}\t{}\t{id}", rank + 1)?;
            }
        }
    }
    Ok(())
}

/// Writes everything each user met before the split, once: `user`, `item`, and whether it was liked.
///
/// # Errors
/// What the writer says.
pub fn write_train(log: &Log, course: &Course, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "user\titem\tliked")?;
    for deeds in log.deeds().chunk_by(|a, b| a.user == b.user) {
        let mut met: Vec<(u32, bool)> = deeds
            .iter()
            .filter(|deed| course.teaches(deed.user, deed.ts_ms))
            .map(|deed| (deed.video, log.liked(deed)))
            .collect();
        // What was liked comes first among equals, and is kept.
        met.sort_unstable_by_key(|(video, liked)| (*video, !liked));
        met.dedup_by_key(|(video, _)| *video);
        let user = deeds
            .first()
            .and_then(|deed| log.users.get(deed.user as usize));
        for (video, liked) in met {
            if let (Some(user), Some(item)) = (user, log.videos.get(video as usize)) {
                writeln!(out, "{user}\t{item}\t{}", u8::from(liked))?;
            }
        }
    }
    Ok(())
}

/// Writes what was right: `user` and `item`.
///
/// # Errors
/// What the writer says.
pub fn write_test(log: &Log, course: &Course, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "user\titem")?;
    for (exam, asked) in course.exams.iter().enumerate() {
        let name = exam_name(log, course, exam);
        for video in &asked.wanted {
            if let Some(item) = log.videos.get(*video as usize) {
                writeln!(out, "{name}\t{item}")?;
            }
        }
    }
    Ok(())
}

/// Writes the videos that may be proposed.
///
/// # Errors
/// What the writer says.
pub fn write_candidates(log: &Log, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "item")?;
    for (video, id) in (0u32..).zip(&log.videos) {
        if log.is_candidate(video) {
            writeln!(out, "{id}")?;
        }
    }
    Ok(())
}

/// Reads slates in the form [`write_slates`] writes; lines may come in any order, a header is
/// optional, users who are not asked are left out. Videos nobody knows get numbers above the log's.
///
/// # Errors
/// What the reader says; `InvalidData` names a line that is none of this.
pub fn read_slates(log: &Log, course: &Course, input: &mut dyn BufRead) -> io::Result<Slates> {
    let names: FxHashMap<String, usize> = (0..course.exams.len())
        .map(|exam| (exam_name(log, course, exam), exam))
        .collect();
    let mut strangers: FxHashMap<String, u32> = FxHashMap::default();
    let mut rows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); course.exams.len()];
    for (at, line) in input.lines().enumerate() {
        let line = line?;
        let mut cells = line.split('\t');
        let (Some(user), Some(rank), Some(item)) = (cells.next(), cells.next(), cells.next())
        else {
            let what = format!("line {} is not user, rank and item", at + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let Ok(rank) = rank.parse::<u32>() else {
            if at == 0 {
                continue;
            }
            let what = format!("line {} has no rank", at + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let Some(row) = names.get(user).and_then(|exam| rows.get_mut(*exam)) else {
            continue;
        };
        let video = log.video(item).unwrap_or_else(|| {
            let next = log.videos.len() + strangers.len();
            let next = u32::try_from(next).unwrap_or(u32::MAX);
            *strangers.entry(item.to_owned()).or_insert(next)
        });
        if row.len() < PLACES_MAX {
            row.push((rank, video));
        }
    }
    let ordered = |mut row: Vec<(u32, u32)>| {
        row.sort_unstable();
        row.into_iter().map(|(_, video)| video).collect()
    };
    Ok(rows.into_iter().map(ordered).collect())
}
