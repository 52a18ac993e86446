//! A split of the log: what may be learned from, and who is asked what.

use rustc_hash::FxHashSet;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::log::{Deed, Log};

/// How the log is split. Times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Protocol {
    /// Learn from before `from_ms`; what each user liked in `from_ms..until_ms` is right.
    Time {
        /// The split.
        from_ms: i64,
        /// The end of what is judged.
        until_ms: i64,
    },
    /// Learn from all but each user's last liked video and what they did after it; that video is
    /// right. Others' later deeds are learned from: kinder than the world is.
    LastOut,
    /// As `Time`, for users who first appear in the judged part: each next new video is to be
    /// predicted from those before it.
    Sessions {
        /// The split.
        from_ms: i64,
        /// The end of what is judged.
        until_ms: i64,
    },
}

/// One question: a user at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exam {
    /// Who.
    pub user: u32,
    /// Which of the user's questions, from 0.
    pub step: u32,
    /// When it is asked: at the split, or, step by step, when the user did what was right.
    pub ts_ms: i64,
    /// Everything the user met before, ascending: not to be proposed.
    pub met: Vec<u32>,
    /// What the user liked before, oldest first, each once, at its newest.
    pub liked: Vec<u32>,
    /// What was right, ascending, never empty.
    pub wanted: Vec<u32>,
}

/// What a user was shown in the judged part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The user at the split; what is wanted is not filled in.
    pub exam: Exam,
    /// Videos and whether the user got what they wanted, each once, ascending.
    pub shown: Vec<(u32, bool)>,
}

/// One user's likings that may be learned from: (video, time), oldest first, each video once.
pub type Liked = Vec<(u32, i64)>;

/// A split of the log.
#[derive(Debug)]
pub struct Course {
    /// How it was split.
    pub protocol: Protocol,
    /// Likings per user of the log; what baselines learn from.
    pub history: Vec<Liked>,
    /// People who met each video before the split.
    pub audience: Vec<u32>,
    /// People who met anything before the split.
    pub people: usize,
    /// The questions, ordered by user and step.
    pub exams: Vec<Exam>,
    /// Who was shown something in the judged part, ordered by user; only where that part has time.
    pub viewers: Vec<Viewer>,
    /// The instant of the split, or of the newest deed.
    pub now_ms: i64,
    cuts: Vec<i64>,
}

impl Course {
    /// Splits a log.
    #[must_use]
    pub fn new(log: &Log, protocol: Protocol) -> Self {
        Self::of(log, protocol, |_| i64::MAX)
    }

    /// The same protocol on what this course may learn from, one step earlier.
    #[must_use]
    pub fn before(&self, log: &Log) -> Self {
        let earlier = match self.protocol {
            Protocol::Time { from_ms, until_ms } => Protocol::Time {
                from_ms: from_ms - (until_ms - from_ms),
                until_ms: from_ms,
            },
            Protocol::Sessions { from_ms, until_ms } => Protocol::Sessions {
                from_ms: from_ms - (until_ms - from_ms),
                until_ms: from_ms,
            },
            Protocol::LastOut => Protocol::LastOut,
        };
        Self::of(log, earlier, |user| self.cut(user))
    }

    /// Asks at most so many users, chosen by a hash of their numbers.
    pub fn keep(&mut self, users_max: usize) {
        let mut users: Vec<u32> = self.exams.iter().map(|exam| exam.user).collect();
        users.dedup();
        if users.len() <= users_max {
            return;
        }
        users.sort_unstable_by_key(|user| (xxh3_64(&user.to_le_bytes()), *user));
        let kept: FxHashSet<u32> = users.into_iter().take(users_max).collect();
        self.exams.retain(|exam| kept.contains(&exam.user));
        self.viewers
            .retain(|viewer| kept.contains(&viewer.exam.user));
    }

    /// Whether what a user did at a time may be learned from.
    #[must_use]
    pub fn teaches(&self, user: u32, ts_ms: i64) -> bool {
        ts_ms < self.cut(user)
    }

    fn cut(&self, user: u32) -> i64 {
        self.cuts.get(user as usize).copied().unwrap_or(i64::MIN)
    }

    fn of(log: &Log, protocol: Protocol, ends: impl Fn(u32) -> i64) -> Self {
        let mut course = Self {
            protocol,
            history: vec![Liked::new(); log.users.len()],
            audience: vec![0; log.videos.len()],
            people: 0,
            exams: Vec::new(),
            viewers: Vec::new(),
            now_ms: i64::MIN,
            cuts: vec![i64::MAX; log.users.len()],
        };
        for deeds in log.deeds().chunk_by(|a, b| a.user == b.user) {
            let Some(user) = deeds.first().map(|deed| deed.user) else {
                continue;
            };
            let end = deeds.partition_point(|deed| deed.ts_ms < ends(user));
            course.read(log, user, deeds.get(..end).unwrap_or_default());
        }
        if let Protocol::Time { from_ms, .. } | Protocol::Sessions { from_ms, .. } = protocol {
            course.now_ms = from_ms;
        }
        course
    }

    fn read(&mut self, log: &Log, user: u32, deeds: &[Deed]) {
        let last = last_new(log, deeds);
        let cut = match self.protocol {
            Protocol::Time { from_ms, .. } | Protocol::Sessions { from_ms, .. } => from_ms,
            Protocol::LastOut => last.map_or(i64::MAX, |deed| deed.ts_ms),
        };
        if let Some(own) = self.cuts.get_mut(user as usize) {
            *own = cut;
        }
        let split = deeds.partition_point(|deed| deed.ts_ms < cut);
        let (before, after) = deeds.split_at_checked(split).unwrap_or((deeds, &[]));
        let mut met: Vec<u32> = before.iter().map(|deed| deed.video).collect();
        met.sort_unstable();
        met.dedup();
        for video in &met {
            if let Some(count) = self.audience.get_mut(*video as usize) {
                *count += 1;
            }
        }
        self.people += usize::from(!met.is_empty());
        let newest = before.last().map_or(i64::MIN, |deed| deed.ts_ms);
        self.now_ms = self.now_ms.max(newest.saturating_add(1));
        let liked = distinct(log, before);
        match self.protocol {
            Protocol::Sessions { until_ms, .. } if before.is_empty() => {
                self.ask_steps(log, user, after, until_ms);
            }
            Protocol::Sessions { .. } => {}
            Protocol::Time { until_ms, .. } => {
                self.watch(log, user, &met, &liked, after, until_ms);
                self.ask(log, user, met, &liked, after, until_ms);
            }
            Protocol::LastOut => {
                if let Some(last) = last {
                    self.ask(log, user, met, &liked, std::slice::from_ref(last), i64::MAX);
                }
            }
        }
        if let Some(own) = self.history.get_mut(user as usize) {
            *own = liked;
        }
    }

    fn ask(
        &mut self,
        log: &Log,
        user: u32,
        met: Vec<u32>,
        liked: &Liked,
        after: &[Deed],
        until_ms: i64,
    ) {
        let right = after
            .iter()
            .filter(|deed| deed.ts_ms < until_ms && log.liked(deed) && log.is_candidate(deed.video))
            .filter(|deed| met.binary_search(&deed.video).is_err());
        let mut wanted: Vec<u32> = right.map(|deed| deed.video).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if !wanted.is_empty() {
            let ts_ms = self.cut(user);
            self.exams.push(Exam {
                user,
                step: 0,
                ts_ms,
                met,
                liked: liked.iter().map(|(video, _)| *video).collect(),
                wanted,
            });
        }
    }

    fn watch(
        &mut self,
        log: &Log,
        user: u32,
        met: &[u32],
        liked: &Liked,
        after: &[Deed],
        until_ms: i64,
    ) {
        let judged = || after.iter().filter(|deed| deed.ts_ms < until_ms);
        let mut shown: Vec<(u32, bool)> = judged()
            .filter(|deed| deed.shown)
            .map(|deed| (deed.video, false))
            .collect();
        shown.sort_unstable();
        shown.dedup();
        for deed in judged().filter(|deed| log.liked(deed)) {
            let place = shown.binary_search_by_key(&deed.video, |(video, _)| *video);
            if let Some(row) = place.ok().and_then(|place| shown.get_mut(place)) {
                row.1 = true;
            }
        }
        if !shown.is_empty() {
            let exam = Exam {
                user,
                step: 0,
                ts_ms: self.cut(user),
                met: met.to_vec(),
                liked: liked.iter().map(|(video, _)| *video).collect(),
                wanted: Vec::new(),
            };
            self.viewers.push(Viewer { exam, shown });
        }
    }

    fn ask_steps(&mut self, log: &Log, user: u32, after: &[Deed], until_ms: i64) {
        let mut liked: Vec<u32> = Vec::new();
        let mut step = 0;
        let new = after
            .iter()
            .filter(|deed| deed.ts_ms < until_ms && log.liked(deed));
        for deed in new {
            let video = deed.video;
            let known = liked.iter().position(|old| *old == video);
            if known.is_none() && !liked.is_empty() && log.is_candidate(video) {
                let mut met = liked.clone();
                met.sort_unstable();
                self.exams.push(Exam {
                    user,
                    step,
                    ts_ms: deed.ts_ms,
                    met,
                    liked: liked.clone(),
                    wanted: vec![video],
                });
                step += 1;
            }
            if let Some(place) = known {
                liked.remove(place);
            }
            liked.push(video);
        }
    }
}

/// The last time a user liked a candidate that they had not met before; never their first deed.
fn last_new<'d>(log: &Log, deeds: &'d [Deed]) -> Option<&'d Deed> {
    let mut met = FxHashSet::default();
    let mut last = None;
    for same_time in deeds.chunk_by(|a, b| a.ts_ms == b.ts_ms) {
        let right = |deed: &Deed| log.liked(deed) && log.is_candidate(deed.video);
        let new = same_time
            .iter()
            .rfind(|deed| right(deed) && !met.contains(&deed.video));
        if !met.is_empty() && new.is_some() {
            last = new;
        }
        met.extend(same_time.iter().map(|deed| deed.video));
    }
    last
}

fn distinct(log: &Log, deeds: &[Deed]) -> Liked {
    let mut met = FxHashSet::default();
    let newest = deeds.iter().rev().filter(|deed| log.liked(deed));
    let mut liked: Liked = newest
        .filter(|deed| met.insert(deed.video))
        .map(|deed| (deed.video, deed.ts_ms))
        .collect();
    liked.reverse();
    liked
}
