//! What was sent, and what must be counted of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{Event, EventKind, UserId, UserState, VideoId};
use guard::Deadline;
use smol_str::SmolStr;
use store::counters::{ArmCounts, ShardNames, VideoCounts, day_of};
use store::{Read, Tables, Users, apply_event};

const HOUR_MS: i64 = 3_600_000;
const KINDS: [EventKind; 5] = [
    EventKind::Impression,
    EventKind::Click,
    EventKind::Watch,
    EventKind::Like,
    EventKind::Skip,
];
pub const ARMS: [&str; 2] = ["home=a", "home=b"];

/// An event of a small world; half of the users are in an experiment.
pub fn event(id: usize, user: u64, video: u64, kind: usize, ts_ms: i64) -> Event {
    let kind = KINDS[kind % KINDS.len()];
    let arms = match user % 4 {
        0 => ARMS[0],
        1 => ARMS[1],
        _ => "",
    };
    Event {
        event_id: format!("e{id}").into(),
        kind,
        user_id: UserId::parse(&format!("u{user}")).unwrap(),
        video_id: VideoId::parse(&format!("v{video}")).unwrap(),
        ts_ms,
        watch_ms: (kind == EventKind::Watch).then_some(9_500),
        duration_ms: (kind == EventKind::Watch).then_some(9_500),
        scene: "home".into(),
        market: "DE".into(),
        creator_id: None,
        undo: false,
        recommendation_id: "r".into(),
        slate_position: Some(1),
        arms: arms.into(),
        made: None,
    }
}

/// Distinct events by id.
#[derive(Default)]
pub struct Truth(pub BTreeMap<SmolStr, Event>);

impl Truth {
    pub fn note(&mut self, events: &[Event]) {
        for event in events {
            self.0
                .entry(event.event_id.clone())
                .or_insert_with(|| event.clone());
        }
    }

    /// Holds what is stored against what was sent.
    pub async fn check(&self, tables: Arc<dyn Tables>, deadline: &Deadline) {
        let shards = ShardNames::load(&*tables, deadline).await.unwrap();
        self.check_videos(&*tables, &shards, deadline).await;
        self.check_arms(&*tables, &shards, deadline).await;
        self.check_users(tables, deadline).await;
    }

    async fn check_videos(&self, tables: &dyn Tables, shards: &[String], deadline: &Deadline) {
        let mut totals = BTreeMap::<(VideoId, EventKind), u64>::new();
        let mut people = BTreeSet::new();
        for event in self.0.values() {
            let key = (event.video_id.clone(), event.kind);
            let hour = event.ts_ms.div_euclid(HOUR_MS);
            people.insert((key.clone(), hour, event.user_id.clone()));
            *totals.entry(key).or_default() += 1;
        }
        let videos: BTreeSet<VideoId> = totals.keys().map(|(video, _)| video.clone()).collect();
        let videos: Vec<VideoId> = videos.into_iter().collect();
        let counts = VideoCounts::load(tables, &videos, shards, deadline)
            .await
            .unwrap();
        let (mut counted, mut of_people) = (BTreeMap::new(), 0);
        for (video, counts) in videos.iter().zip(counts) {
            let kinds = counts.totals.iter();
            counted.extend(kinds.map(|(kind, n)| ((video.clone(), *kind), *n)));
            of_people += counts
                .hours
                .values()
                .flat_map(BTreeMap::values)
                .sum::<u64>();
        }
        assert_eq!(counted, totals, "every event once");
        assert_eq!(
            of_people,
            people.len() as u64,
            "one user once per video, kind and hour"
        );
    }

    async fn check_arms(&self, tables: &dyn Tables, shards: &[String], deadline: &Deadline) {
        for arm in ARMS {
            let of_arm: Vec<&Event> = self.0.values().filter(|event| event.arms == arm).collect();
            let Some(from) = of_arm.iter().map(|event| day_of(event.ts_ms)).min() else {
                continue;
            };
            let to = of_arm
                .iter()
                .map(|event| day_of(event.ts_ms))
                .max()
                .unwrap();
            let named = [SmolStr::new(arm)];
            let found = ArmCounts::load(tables, &named, from..to + 1, shards, deadline);
            for ((_, day), counts) in found.await.unwrap() {
                let that_day = of_arm.iter().filter(|event| day_of(event.ts_ms) == day);
                let users: BTreeSet<&UserId> = that_day.clone().map(|e| &e.user_id).collect();
                assert_eq!(
                    counts.users,
                    users.len() as u64,
                    "{arm}: people on day {day}"
                );
                for (kind, tally) in counts.kinds {
                    let of_kind = that_day.clone().filter(|event| event.kind == kind);
                    let users: BTreeSet<&UserId> = of_kind.clone().map(|e| &e.user_id).collect();
                    let watched: u64 = of_kind
                        .clone()
                        .filter_map(|e| e.watch_ms)
                        .map(u64::from)
                        .sum();
                    let expected = (of_kind.count() as u64, users.len() as u64, watched);
                    assert_eq!(
                        (tally.events, tally.users, tally.watch_ms),
                        expected,
                        "{arm} {kind:?}"
                    );
                }
            }
        }
    }

    async fn check_users(&self, tables: Arc<dyn Tables>, deadline: &Deadline) {
        let mut states = BTreeMap::<UserId, UserState>::new();
        for event in self.0.values() {
            apply_event(states.entry(event.user_id.clone()).or_default(), event);
        }
        let ids: Vec<UserId> = states.keys().cloned().collect();
        let stored = Users::new(tables)
            .load(&ids, Read::Consistent, deadline)
            .await
            .unwrap();
        for (id, stored) in ids.iter().zip(stored) {
            let stored = stored.unwrap_or_else(|| panic!("{id} has no state"));
            assert_eq!(
                UserState {
                    version: 0,
                    ..stored
                },
                states[id],
                "{id}"
            );
        }
    }
}
