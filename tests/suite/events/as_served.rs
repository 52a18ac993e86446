//! From an answer to the next training: what the local process served is learned from as it was.

use std::path::Path;
use std::time::Duration;

use guard::Clock;
use ops::RealClock;
use serde_json::{Value, json};

use super::process::{Reelway, post, request};
use super::served::told;

const USERS: usize = 12;
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 600;

fn ask(reelway: &Reelway, what: &str) -> Value {
    let (status, answer) = request(reelway.addr, what, "", || ()).expect("it answers");
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Tells that a user saw everything of a page; how much that is.
fn sees(reelway: &Reelway, user: &str, page: &Value) -> usize {
    let items = page["items"].as_array().unwrap();
    let seen = items.iter().enumerate().map(|(n, item)| {
        json!({
            "event_id": format!("{user}-{n}"), "kind": "impression", "user_id": user,
            "video_id": item["video_id"], "ts": RealClock::new().now().wall_ms, "token": item["token"],
        })
    });
    let body = json!({ "events": seen.collect::<Vec<_>>() }).to_string();
    let (status, answer) = post(reelway.addr, &body, || ()).unwrap();
    assert_eq!((status, &answer["accepted"]), (202, &json!(items.len())));
    items.len()
}

/// Waits until the log has the `served` events of all these users.
async fn until_told(data: &Path, users: &[String]) {
    for _ in 0..LOOKS_MAX {
        let told = told(data).await;
        if users.iter().all(|user| told.contains(user)) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("the served events never reached the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn impressions_of_a_page_are_learned_from_in_the_generation_that_served_it() {
    let folder = tempfile::tempdir().unwrap();
    let reelway = Reelway::start_with(folder.path(), &[], None);
    let night = || {
        let what = "POST /admin/jobs/profile";
        request(reelway.addr, what, "", || ()).expect("the night ends")
    };
    let users: Vec<String> = (0..USERS).map(|n| format!("watcher-{n}")).collect();
    let mut shown = 0;
    for user in &users {
        let page = ask(&reelway, &format!("GET /recommend?user_id={user}&limit=20"));
        shown += sees(&reelway, user, &page);
    }
    until_told(folder.path(), &users).await;
    let (status, report) = night();
    assert_eq!(status, 200, "{report}");
    let as_served = &report["profile"]["ranker"]["as_served"];
    assert_eq!(as_served, &json!(shown), "{report}");
    println!("shown: {shown} impressions of {USERS} pages learned from as they were served");
    reelway.stop();
}
