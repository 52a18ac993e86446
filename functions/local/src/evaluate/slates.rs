//! Slates and splits in files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use learn::evaluate::{Contender, Course, Log, tsv};

/// Writes the split, and the split of the validation part, so that others can learn from the same.
pub(super) fn write_split(log: &Log, course: &Course, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let earlier = course.before(log);
    create(folder, "train.tsv", |out| {
        tsv::write_train(log, course, out)
    })?;
    create(folder, "test.tsv", |out| tsv::write_test(log, course, out))?;
    create(folder, "candidates.tsv", |out| {
        tsv::write_candidates(log, out)
    })?;
    create(folder, "validation-train.tsv", |out| {
        tsv::write_train(log, &earlier, out)
    })?;
    create(folder, "validation-test.tsv", |out| {
        tsv::write_test(log, &earlier, out)
    })
}

/// Writes one contender's slates under its name.
pub(super) fn write(
    log: &Log,
    course: &Course,
    contender: &Contender,
    folder: &Path,
) -> anyhow::Result<()> {
    let name = format!("{}.tsv", contender.name.replace(' ', "-"));
    create(folder, &name, |out| {
        tsv::write_slates(log, course, &contender.slates, out)
    })
}

/// Reads slates that somebody else made.
pub(super) fn read(
    log: &Log,
    course: &Course,
    name: &str,
    path: &Path,
) -> anyhow::Result<Contender> {
    let unread = || format!("{} cannot be read", path.display());
    let file = File::open(path).with_context(unread)?;
    let slates = tsv::read_slates(log, course, &mut BufReader::new(file)).with_context(unread)?;
    Ok(Contender {
        name: name.to_owned(),
        chosen: "made elsewhere".to_owned(),
        slates,
        ..Contender::default()
    })
}

fn create(
    folder: &Path,
    name: &str,
    body: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let path = folder.join(name);
    let unwritten = || format!("{} cannot be written", path.display());
    let mut out = BufWriter::new(File::create(&path).with_context(unwritten)?);
    body(&mut out).with_context(unwritten)?;
    out.flush().with_context(unwritten)
}
