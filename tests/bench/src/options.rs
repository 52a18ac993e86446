//! What the optional weights of collaborative filtering are worth, on data that no published figure
//! is computed from: the day before the last one of the short-video feed, the last day of the shop's
//! training sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use engine::index::Index;
use engine::index::format::CfKnobs;
use engine::pipeline::prepared::Seed;
use engine::source::cf::{Scratch, predict_best};
use engine::{Event, EventKind, Video, VideoId};
use learn::evaluate::Figures;
use learn::{BuildOptions, GenerationBuilder, LikingWeight};
use smol_str::format_smolstr;
use zerocopy::little_endian::{F32, U32};

use crate::cf::{Clicks, click, read};
use crate::measure::Report;
use crate::measure::report::root;

const PLACES: usize = 20;
const DAY_MS: i64 = 86_400_000;
const CHINA_MS: i64 = 8 * 3_600_000;
/// 24 April 2022, 00:00 UTC: the history, which has an order and no time, ends here.
const HISTORY_END_MS: i64 = 1_650_758_400_000;

/// Watch-ratio weights, decay by time and by sessions, and the cut of long sessions.
pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let data = root().join("../shared/data");
    let views = views(&data.join("kuairand-pure")).context("the KuaiRand sample is needed")?;
    let flat = BuildOptions::default;
    let neighbours = [
        ("likings alike", flat()),
        (
            "by share watched",
            BuildOptions {
                neighbour_weight: LikingWeight::WatchRatio,
                ..flat()
            },
        ),
        (
            "half after 60 days",
            BuildOptions {
                neighbour_half_life_ms: 60 * DAY_MS,
                ..flat()
            },
        ),
        (
            "half after 14 days",
            BuildOptions {
                neighbour_half_life_ms: 14 * DAY_MS,
                ..flat()
            },
        ),
        (
            "by share watched, half after 60 days",
            BuildOptions {
                neighbour_weight: LikingWeight::WatchRatio,
                neighbour_half_life_ms: 60 * DAY_MS,
                ..flat()
            },
        ),
    ];
    for (name, options) in neighbours {
        let found = feed(&views, options)?;
        report.tell(
            &format!("short videos, neighbours alone, {name}: Recall@20, NDCG@20"),
            format!(
                "{:.4}, {:.4} ({} users)",
                found.recall, found.ndcg, found.users
            ),
        );
    }
    let clicks = read(&data.join("serenade/train.txt"))?;
    let sessions = [
        ("all sessions alike", 1.0, 0),
        ("half after 10,000 newer sessions", 1.0, 10_000),
        ("half after 2,000 newer sessions", 1.0, 2_000),
        (
            "sessions above the 99.5th percentile of lengths left out",
            0.995,
            0,
        ),
    ];
    for (name, quantile, half_life) in sessions {
        let found = shop(&clicks, quantile, half_life)?;
        report.tell(
            &format!("shop, sessions alone, {name}: MRR@20, HR@20"),
            format!(
                "{:.4}, {:.4} ({} clicks)",
                found.mrr, found.hit_rate, found.users
            ),
        );
    }
    report.note(
        "short videos: learned from the history and the days before, asked for the long views of the \
         day before the last; the history has an order and no time and is laid out six hours a view",
    );
    report.note(
        "shop: learned from the training sessions that end before their last day, asked for \
         each next click of that day's sessions; m=500 k=50 last=5",
    );
    Ok(())
}

struct View {
    user: String,
    video: VideoId,
    ts_ms: i64,
    watch_ms: Option<u32>,
    duration_ms: u32,
    long: bool,
}

fn day(ts_ms: i64) -> i64 {
    (ts_ms + CHINA_MS).div_euclid(DAY_MS)
}

/// Every watch of the feed but those of its last day, oldest first.
fn views(folder: &Path) -> anyhow::Result<Vec<View>> {
    let mut views = Vec::new();
    for line in std::fs::read_to_string(folder.join("impressions_0425_0430.tsv"))?
        .lines()
        .skip(1)
    {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |place: usize| cells.get(place).copied().unwrap_or_default();
        views.push(View {
            user: cell(0).to_owned(),
            video: VideoId::parse(cell(1))?,
            ts_ms: cell(2).parse()?,
            watch_ms: cell(10).parse().ok(),
            duration_ms: cell(11).parse().unwrap_or(0),
            long: cell(9) == "1",
        });
    }
    let last = views.iter().map(|view| day(view.ts_ms)).max().unwrap_or(0);
    views.retain(|view| day(view.ts_ms) < last);
    let mut end_ms: BTreeMap<String, i64> = BTreeMap::new();
    let history = std::fs::read_to_string(folder.join("history_before_0425_longview.tsv"))?;
    for line in history
        .lines()
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let mut cells = line.split('\t');
        let (Some(user), Some(_), Some(video)) = (cells.next(), cells.next(), cells.next()) else {
            continue;
        };
        let end_ms = end_ms.entry(user.to_owned()).or_insert(HISTORY_END_MS);
        views.push(View {
            user: user.to_owned(),
            video: VideoId::parse(video)?,
            ts_ms: *end_ms,
            watch_ms: None,
            duration_ms: 0,
            long: true,
        });
        *end_ms -= DAY_MS / 4;
    }
    views.sort_by_key(|view| view.ts_ms);
    Ok(views)
}

/// Neighbours alone, asked for what users watched long on the newest day and had not met.
fn feed(views: &[View], options: BuildOptions) -> anyhow::Result<Figures> {
    let asked_day = views.last().map_or(0, |view| day(view.ts_ms));
    let as_of_ms = asked_day * DAY_MS - CHINA_MS - 1;
    let mut builder = GenerationBuilder::new(BuildOptions {
        generation: "options".to_owned(),
        as_of_ms,
        ..options
    });
    let mut wanted: BTreeMap<&str, Vec<VideoId>> = BTreeMap::new();
    let mut met: BTreeMap<&str, Vec<(&VideoId, bool)>> = BTreeMap::new();
    for view in views {
        if view.ts_ms > as_of_ms {
            if view.long {
                wanted
                    .entry(&view.user)
                    .or_default()
                    .push(view.video.clone());
            }
            continue;
        }
        met.entry(&view.user)
            .or_default()
            .push((&view.video, view.long));
        builder.add_video(&Video::new(view.video.clone()))?;
        builder.add_event(&Event {
            kind: EventKind::Watch,
            watch_ms: view.watch_ms,
            duration_ms: Some(view.duration_ms).filter(|ms| *ms > 0),
            ..click(&format_smolstr!("u{}", view.user), &view.video, view.ts_ms)?
        })?;
    }
    let index = Index::open(Arc::new(builder.finish()?.to_bytes()))?;
    let knobs = CfKnobs {
        session_share: F32::new(0.0),
        ..*index.cf_knobs()
    };
    let (mut figures, mut scratch) = (Figures::default(), Scratch::default());
    for (user, wanted) in &wanted {
        let own = met.get(user).map_or(&[][..], Vec::as_slice);
        let known: BTreeSet<u32> = own
            .iter()
            .filter_map(|(v, _)| index.find(v.as_str()))
            .collect();
        let mut once = BTreeSet::new();
        let liked = own.iter().rev().filter(|(_, long)| *long);
        let seeds: Vec<Seed> = liked
            .filter_map(|(video, _)| index.find(video.as_str()))
            .filter(|item| once.insert(*item))
            .take(200)
            .map(|item| Seed { item, weight: 1.0 })
            .collect();
        let new: Vec<VideoId> = wanted
            .iter()
            .filter(|video| own.iter().all(|(old, _)| old != video))
            .cloned()
            .collect();
        let keeps = |item| !known.contains(&item);
        let best = predict_best(&index, &knobs, &seeds, PLACES, keeps, &mut scratch);
        let list: Vec<VideoId> = best
            .iter()
            .filter_map(|row| index.typed_video_id(row.item))
            .collect();
        figures.add(&list, &new, PLACES);
    }
    Ok(figures)
}

/// Sessions alone, asked for each next click of the newest day's sessions.
fn shop(clicks: &Clicks, quantile: f64, half_life: u32) -> anyhow::Result<Figures> {
    let ended = |clicks: &[(i64, VideoId)]| clicks.last().map_or(0, |(ts_ms, _)| *ts_ms);
    let newest = clicks
        .values()
        .map(|clicks| ended(clicks))
        .max()
        .unwrap_or(0);
    let mut builder = GenerationBuilder::new(BuildOptions {
        session_gap_ms: i64::MAX,
        session_quantile: quantile,
        ..BuildOptions::new("options", i64::MAX)
    });
    let (asked, known): (Vec<_>, Vec<_>) = clicks
        .iter()
        .partition(|(_, clicks)| ended(clicks) > newest - DAY_MS);
    for (session, clicks) in known {
        for (ts_ms, video) in clicks {
            builder.add_video(&Video::new(video.clone()))?;
            builder.add_event(&click(&format_smolstr!("s{session}"), video, *ts_ms)?)?;
        }
    }
    let index = Index::open(Arc::new(builder.finish()?.to_bytes()))?;
    let knobs = CfKnobs {
        last: U32::new(5),
        session_share: F32::new(1.0),
        session_half_life: U32::new(half_life),
        ..CfKnobs::default()
    };
    let (mut figures, mut scratch) = (Figures::default(), Scratch::default());
    for (_, clicks) in asked {
        for (next, (_, wanted)) in clicks.iter().enumerate().skip(1) {
            let mut once = BTreeSet::new();
            let newest_first = clicks.iter().take(next).rev();
            let seeds: Vec<Seed> = newest_first
                .filter_map(|(_, video)| index.find(video.as_str()))
                .filter(|item| once.insert(*item))
                .map(|item| Seed { item, weight: 1.0 })
                .collect();
            let current = seeds.first().map(|seed| seed.item);
            let keeps = |item| Some(item) != current;
            let best = predict_best(&index, &knobs, &seeds, PLACES, keeps, &mut scratch);
            let list: Vec<VideoId> = best
                .iter()
                .filter_map(|row| index.typed_video_id(row.item))
                .collect();
            figures.add(&list, std::slice::from_ref(wanted), PLACES);
        }
    }
    Ok(figures)
}
