//! What a user does changes what the local process answers that user within two seconds: over HTTP,
//! with its own pump, clock and tiers, with and without Redis.

use std::time::Duration;

use guard::Clock;
use ops::RealClock;
use serde_json::{Value, json};
use tests::Redis;

use super::process::{Reelway, post, request};

/// Within this, to the nearest look.
const STALE_MAX: Duration = Duration::from_secs(2);
/// No more often than one user may ask.
const LOOK_EVERY: Duration = Duration::from_millis(60);
const LOOKS_MAX: usize = 500;
/// What is done, each to the second of the videos that are shown.
const DEEDS: [&str; 4] = ["like", "skip", "like", "skip"];

struct User<'a> {
    reelway: &'a Reelway,
    clock: RealClock,
    id: &'a str,
    events: usize,
}

impl User<'_> {
    async fn look(&self) -> Value {
        let (addr, what) = (
            self.reelway.addr,
            format!("GET /recommend?user_id={}", self.id),
        );
        let asking = tokio::task::spawn_blocking(move || request(addr, &what, "", || ()));
        let (status, answer) = asking.await.unwrap().unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn does(&mut self, kind: &str, video: &str) {
        self.events += 1;
        let event = json!({
            "event_id": format!("{}-{}", self.id, self.events), "kind": kind, "user_id": self.id,
            "video_id": video, "ts": self.clock.now().wall_ms,
        });
        let (addr, body) = (self.reelway.addr, json!({ "events": [event] }).to_string());
        let sending = tokio::task::spawn_blocking(move || post(addr, &body, || ()));
        let (status, answer) = sending.await.unwrap().unwrap();
        assert_eq!(
            (status, &answer["accepted"]),
            (202, &json!(1)),
            "{kind} {video}: {answer}"
        );
    }

    /// Looks until it is so; how long that took, and the longest time between two looks.
    async fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> (Duration, Duration) {
        let began = self.clock.now().mono;
        let (mut last, mut gap) = (began, Duration::ZERO);
        for _ in 0..LOOKS_MAX {
            let answer = self.look().await;
            let now = self.clock.now().mono;
            gap = gap.max(now - last);
            last = now;
            if so(&answer) {
                return (now - began, gap);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("{what}: never seen");
    }
}

fn shown(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| item["video_id"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_does_changes_the_next_answer_over_http_within_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start().await.unwrap();
    for (what, id, url) in [
        ("without Redis", "stale-alone", None),
        ("with Redis", "stale-shared", Some(redis.url())),
    ] {
        let reelway = Reelway::start_with(folder.path(), &[], url);
        let mut user = User {
            reelway: &reelway,
            clock: RealClock::new(),
            id,
            events: 0,
        };
        let first = user.look().await;
        let known = shown(&first)[0].to_owned();
        user.does("like", &known).await;
        user.until("personal", |answer| answer["rung"] == "personal")
            .await;
        let mut longest = Duration::ZERO;
        for kind in DEEDS {
            // Without a deed it stays, past the life of what is kept.
            let before = user.look().await;
            let video = shown(&before)[1].to_owned();
            tokio::time::sleep(STALE_MAX).await;
            let before = user.look().await;
            assert!(shown(&before).contains(&video.as_str()), "{what}: {before}");
            user.does(kind, &video).await;
            let gone = |answer: &Value| {
                answer["rung"] == "personal" && !shown(answer).contains(&video.as_str())
            };
            let (took, gap) = user.until(kind, gone).await;
            assert!(
                took <= STALE_MAX + gap,
                "{what}: {kind} seen after {took:?}, looks up to {gap:?} apart"
            );
            longest = longest.max(took);
        }
        println!(
            "shown: {what}, over HTTP: a like or a skip changes the next answer after {longest:?} at most"
        );
        reelway.stop();
    }
}
