//! The report as a picture: accuracy against coverage, and what each source brought.

use std::fmt::Write as _;

use super::Report;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// The left panel's frame: left, top, right, bottom.
const FRAME: (f64, f64, f64, f64) = (70.0, 40.0, 540.0, 360.0);
const BARS_LEFT: f64 = 690.0;
const BARS_RIGHT: f64 = 930.0;

/// An SVG of its own: Recall@20 over coverage with intervals at the left, the share of hits that
/// each source proposed (light) and spoke most for (dark) at the right.
#[must_use]
pub fn svg(report: &Report) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    points(report, &mut out);
    bars(report, &mut out);
    out.push_str("</svg>\n");
    out
}

fn points(report: &Report, out: &mut String) {
    let (left, top, right, bottom) = FRAME;
    let recall = |place: usize| {
        let row = report.rows.get(place);
        row.and_then(|row| row.measures.get("Recall@20"))
            .copied()
            .unwrap_or_default()
    };
    let highest = (0..report.rows.len())
        .map(|place| recall(place).high)
        .fold(1e-9, f64::max);
    let (step, ceiling) = ticks(highest);
    let x = |coverage: f64| left + coverage.clamp(0.0, 1.0) * (right - left);
    let y = |value: f64| bottom - value / ceiling * (bottom - top);
    label(
        out,
        (left, top - 14.0),
        "start",
        "Recall@20 over coverage of the catalogue@20",
    );
    let mut value = 0.0;
    while value <= ceiling + step / 2.0 {
        line(out, (left, y(value)), (right, y(value)), "#ddd");
        label(
            out,
            (left - 6.0, y(value) + 4.0),
            "end",
            &format!("{value:.2}"),
        );
        value += step;
    }
    for tenth in [0, 2, 4, 6, 8, 10] {
        let share = f64::from(tenth) / 10.0;
        label(
            out,
            (x(share), bottom + 18.0),
            "middle",
            &format!("{share:.1}"),
        );
    }
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (place, row) in report.rows.iter().enumerate() {
        let own = recall(place);
        let at = x(row.together.get("Cov@20").copied().unwrap_or(0.0));
        line(out, (at, y(own.low)), (at, y(own.high)), "#888");
        let colour = if place == 0 { "#c22" } else { "#247" };
        let _ = writeln!(
            out,
            "<circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
            y(own.mean)
        );
        // Names of neighbours move down until they stand free.
        let mut text = y(own.mean) + 4.0;
        while taken
            .iter()
            .any(|(x, y)| (x - at).abs() < 110.0 && (y - text).abs() < 12.0)
        {
            text += 12.0;
        }
        taken.push((at, text));
        label(out, (at + 8.0, text), "start", &row.name);
    }
}

fn bars(report: &Report, out: &mut String) {
    let (_, top, _, _) = FRAME;
    let title = "share of hits each source proposed, spoke most for";
    label(out, (BARS_RIGHT, top - 14.0), "end", title);
    for (place, one) in (0u32..).zip(&report.contributions) {
        let y = top + 8.0 + f64::from(place) * 34.0;
        label(out, (BARS_LEFT - 8.0, y + 13.0), "end", &one.source);
        for (share, colour, height) in [(one.hits, "#bcd", 20.0), (one.strongest, "#247", 8.0)] {
            let width = share.clamp(0.0, 1.0) * (BARS_RIGHT - BARS_LEFT);
            let _ = writeln!(
                out,
                "<rect x=\"{BARS_LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>",
                y + (20.0 - height) / 2.0
            );
        }
        let text = format!("{:.0} %", one.hits * 100.0);
        label(out, (BARS_LEFT + 4.0, y + 33.0), "start", &text);
    }
}

/// A round step with at most six of them up to a ceiling not below `highest`.
fn ticks(highest: f64) -> (f64, f64) {
    let mut step = 0.01;
    for next in [0.02, 0.05, 0.1, 0.2] {
        if highest / step > 6.0 {
            step = next;
        }
    }
    (step, (highest / step).ceil() * step)
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn label(out: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let clean = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{clean}</text>",
        at.0, at.1
    );
}
