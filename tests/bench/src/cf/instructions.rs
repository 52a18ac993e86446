//! How many instructions one prediction takes: a count that no other load on the machine changes.
//!
//! The same binary runs under callgrind with the index and the questions in a folder, once with few
//! passes over the questions and once with more; the difference is predictions alone.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use engine::index::Index;
use engine::pipeline::prepared::Seed;
use engine::source::cf::Scratch;

use super::{Asked, ask, ways};
use crate::measure::Report;

/// What the binary is called with under callgrind.
pub const COUNTED: &str = "cf-counted";
/// Passes over the questions: warm, and with what is counted on top.
const PASSES: [usize; 2] = [1, 4];
const INDEX: &str = "index";
const QUESTIONS: &str = "questions";

/// Row 4, counted.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let version = Command::new("valgrind").arg("--version").output();
    let version = version.context("valgrind is not on the path: apt-get install valgrind")?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let (bytes, asked) = super::asked()?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join(INDEX), &bytes)?;
    std::fs::write(folder.path().join(QUESTIONS), told(&asked))?;
    let index = Index::open(Arc::new(bytes))?;
    for (way, (name, _)) in ways(&index).iter().enumerate() {
        let [few, many] = PASSES.map(|passes| count(folder.path(), way, passes));
        let predictions = (PASSES[1] - PASSES[0]) * asked.len();
        let each = many?.saturating_sub(few?) as f64 / predictions as f64;
        report.tell(
            &format!("{name}: instructions per prediction"),
            format!("{each:.0}"),
        );
        report.keep(name, each);
    }
    report.note(format!(
        "{version}, tool callgrind; the mean over {} questions of the Serenade sample, as `cf` asks them; \
         opening the index and a first pass are subtracted.",
        asked.len()
    ));
    Ok(())
}

/// Asks every question so many times; what callgrind counts.
///
/// # Errors
/// When the folder does not hold what [`run`] puts there.
pub fn counted(arguments: &[&str]) -> anyhow::Result<()> {
    let [folder, way, passes] = arguments else {
        anyhow::bail!("{COUNTED} is called by cf-instructions");
    };
    let folder = Path::new(folder);
    let index = Index::open(Arc::new(std::fs::read(folder.join(INDEX))?))?;
    let asked = read(&std::fs::read_to_string(folder.join(QUESTIONS))?)?;
    let ways = ways(&index);
    let (_, knobs) = ways.get(way.parse::<usize>()?).context("no such way")?;
    let mut scratch = Scratch::default();
    for _ in 0..passes.parse()? {
        for seeds in &asked {
            black_box(ask(&index, knobs, seeds, &mut scratch));
        }
    }
    Ok(())
}

/// Instructions of the whole process.
fn count(folder: &Path, way: usize, passes: usize) -> anyhow::Result<u64> {
    let out = folder.join("callgrind");
    let ran = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .arg(COUNTED)
        .arg(folder)
        .args([way.to_string(), passes.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "callgrind: {said}");
    let text = std::fs::read_to_string(&out)?;
    let mut lines = text.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind wrote no totals")?;
    Ok(total.trim().parse()?)
}

fn told(asked: &Asked) -> String {
    let line = |seeds: &Vec<Seed>| {
        let items: Vec<String> = seeds.iter().map(|seed| seed.item.to_string()).collect();
        items.join(" ") + "\n"
    };
    asked.iter().map(line).collect()
}

fn read(text: &str) -> anyhow::Result<Asked> {
    let seed = |item: &str| {
        Ok(Seed {
            item: item.parse()?,
            weight: 1.0,
        })
    };
    let seeds = |line: &str| line.split_whitespace().map(seed).collect();
    text.lines().map(seeds).collect()
}
