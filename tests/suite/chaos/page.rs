//! `docs/chaos.md`: one part per matrix, each written anew by its own full run.

use std::fs;

/// The page that full runs write.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/chaos.md");
const HEADING: &str = "\n## ";

const HEAD: &str = "# Chaos

Every fault of the promises, on the real local process (`reelway serve`, a Redis and a stub of AWS
behind fault proxies) and on the Lambda binary. Written by `scripts/chaos`, which gives every fault
its full duration; `cargo test -p tests --test suite chaos` is the short form.

Gates are counts: an answer that is not valid, a call that must not be made, a task that is left.
Times are those of one machine of two cores: the process was held to one of them, the generator, Redis
and the stub were not, and the load averages say how much else there was. Where the generator itself was late,
the row says that its times are void. An answer under a label such as `personal, redis_open` is valid
and names what it had to do without. *Degraded after* counts from the beginning of the fault to the
first answer that named a cause; *recovered after* from its end to the moment from which on fewer
than one answer in a hundred did; a run that ends with its fault is not asked. Calls are those while
the fault lasted, of those of the whole row. A refusal counts like an error, except in rows that show
a limit. The bound of an error share is the exact 95 % Poisson bound.
";

/// One part of the page, begun.
pub(super) struct Section {
    heading: &'static str,
    load_before: f64,
}

impl Section {
    pub fn begin(heading: &'static str) -> Self {
        Self {
            heading,
            load_before: load_average(),
        }
    }

    /// Puts the part in its place; the other parts stay.
    pub fn end(self, body: &str) {
        let build = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (now, before, after) = (jiff::Timestamp::now(), self.load_before, load_average());
        let text = format!(
            "{}\n\n{} UTC, {build} build, {cores} cores; load average {before:.1} before, {after:.1} after.\n\n{body}\n",
            self.heading,
            now.strftime("%Y-%m-%d %H:%M"),
        );
        let page = fs::read_to_string(PAGE).unwrap_or_default();
        fs::write(PAGE, with(&page, &text)).unwrap();
    }
}

/// The page with this part in it, in the order of headings.
fn with(page: &str, text: &str) -> String {
    let heading = |part: &str| part.lines().next().unwrap_or_default().to_owned();
    let parts = page.split(HEADING).skip(1).map(str::to_owned);
    let mut parts: Vec<String> = parts
        .filter(|part| heading(part) != heading(text))
        .chain([text.to_owned()])
        .collect();
    parts.sort_by_key(|part| heading(part));
    let parts = parts
        .iter()
        .map(|part| format!("{HEADING}{}\n", part.trim_end()));
    HEAD.to_owned() + &parts.collect::<String>()
}

/// The load average over the last minute: what else runs here.
pub(super) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(f64::NAN)
}

#[test]
fn a_part_is_put_in_its_place_and_the_others_stay() {
    let one = with("", "1. b\n\nold");
    let two = with(&one, "0. a\n\nfirst");
    let three = with(&two, "1. b\n\nnew");
    assert_eq!(
        three,
        format!("{HEAD}\n## 0. a\n\nfirst\n\n## 1. b\n\nnew\n")
    );
    assert_eq!(with(&three, "1. b\n\nnew"), three);
}
