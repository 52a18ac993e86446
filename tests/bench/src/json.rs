//! JSON put together from what the generation holds ready, against writing it.

use engine::Video;
use serde::Serialize;

use crate::measure::compare::Random;
use crate::measure::{Plan, Report, compare, cpu_nanos_per_call};
use crate::world;

const VIDEOS: usize = 20_000;
/// Videos of one answer.
const PAGE: usize = 20;
/// Pages taken in turn, so that no cache holds them all.
const PAGES: usize = 500;
/// Answers of one block.
const BLOCK: u32 = 5_000;

#[derive(Serialize)]
struct Answer<'a> {
    videos: Vec<&'a Video>,
}

/// Row 9.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let (index, _) = world::generation("bench.1", VIDEOS, 500)?;
    let videos: Vec<Video> = (0..VIDEOS).map(world::video).collect();
    let mut random = Random(5);
    // Pages by dense id, and the same by the catalogue's structs.
    let numbers: Vec<Vec<usize>> = (0..PAGES)
        .map(|_| (0..PAGE).map(|_| random.below(VIDEOS)).collect())
        .collect();
    let dense: Vec<Vec<u32>> = numbers
        .iter()
        .map(|page| {
            let found = page
                .iter()
                .filter_map(|number| index.find(world::video_id(*number).as_str()));
            found.collect()
        })
        .collect();
    let structs: Vec<Vec<&Video>> = numbers
        .iter()
        .map(|page| {
            page.iter()
                .filter_map(|number| videos.get(*number))
                .collect()
        })
        .collect();
    let splice = |page: &[u32]| {
        let bytes: usize = page
            .iter()
            .map(|item| index.fragment(*item).len() + 1)
            .sum();
        let mut out = Vec::with_capacity(bytes + 16);
        out.extend_from_slice(b"{\"videos\":[");
        for (place, item) in page.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(index.fragment(*item));
        }
        out.extend_from_slice(b"]}");
        out
    };
    let written = |page: &[&Video]| {
        serde_json::to_vec(&Answer {
            videos: page.to_vec(),
        })
    };
    let mut bytes = 0;
    for (page, other) in dense.iter().zip(&structs) {
        let (ours, theirs) = (splice(page), written(other)?);
        anyhow::ensure!(ours == theirs, "the bytes differ");
        bytes += ours.len();
    }
    report.check(
        "spliced pages that are byte for byte what serde_json writes",
        format!("{PAGES} of {PAGES}, {} bytes each", bytes / PAGES),
        "all",
        true,
    );
    let mut step = 0_usize;
    let ours = || {
        cpu_nanos_per_call(BLOCK, || {
            step += 1;
            dense.get(step % PAGES).map(|page| splice(page))
        })
    };
    let mut other_step = 0_usize;
    let theirs = || {
        cpu_nanos_per_call(BLOCK, || {
            other_step += 1;
            structs.get(other_step % PAGES).map(|page| written(page))
        })
    };
    let found = compare(Plan::default(), ours, theirs);
    report.compared(
        "serde_json over splicing, a page of 20 videos",
        &found,
        "≥ 10 ×",
        |ratio| {
            let text = format!(
                "{:.1} × [{:.1}, {:.1}]",
                ratio.median, ratio.low, ratio.high
            );
            (text, ratio.median >= 10.0)
        },
    );
    report.tell(
        "a page of 20 videos, spliced · by serde_json",
        format!("{:.0} · {:.0} ns", found.a.median, found.b.median),
    );
    report.note("serde_json writes the catalogue's structs, ready in memory; splicing copies the fragments that the generation holds. Both allocate their answer.");
    report.note("Pages of `/recommend` are spliced from such pieces the first time, and then handed out as they are: `hits` measures that.");
    Ok(())
}
