//! The functions' own binaries, each under a local Lambda Runtime API, wired to DynamoDB Local,
//! moto's Kinesis and S3, and a Redis.
//!
//! ```text
//! ingest ─▶ Kinesis ─▶ clickstream, archive ─▶ profile ─▶ preload ─▶ recommend
//!    └─ new events ──▶ clickstream ──────────────────────────────▶ recommend answers otherwise
//! ```
//!
//! The binaries are the debug builds that lie beside this test.

use std::time::Duration;

use engine::EventKind;
use serde_json::{Value, json};
use tests::Function;
use tests::runtime_api::binary;

mod feed;
mod http;
mod pace;
mod page;
mod stack;
mod world;

use feed::{Feed, deliver};
use http::{By, call};
use page::Page;
use stack::Stack;

/// Shards of the stream: enough for users to part.
const SHARDS: i32 = 2;
/// How long new events may take to change an answer.
const CHANGE_MAX: Duration = Duration::from_secs(30);
/// Between two questions; slower than the limit of one user.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Questions that outlast a personal slate's soft life of two seconds.
const ASKS_AGAIN: usize = 25;
const FUNCTIONS: [&str; 6] = [
    "ingest",
    "clickstream",
    "archive",
    "profile",
    "preload",
    "recommend",
];

#[tokio::test]
async fn events_become_recommendations_through_the_functions_own_binaries() {
    let stack = Stack::start(SHARDS).await;
    let mut ingest = stack.function("ingest").await;
    let mut clickstream = stack.function("clickstream").await;
    let mut feed = Feed::default();

    fill_the_catalogue(&mut ingest).await;
    send(&mut ingest, world::history(stack.now_ms())).await;
    let batches = feed.next(&stack).await;
    consume_and_retry(&stack, &mut clickstream, &batches).await;
    make_a_generation(&stack).await;

    let mut recommend = stack.function("recommend").await;
    let before = ask_everything(&stack, &mut recommend).await;
    the_answer_stays(&mut recommend, &before).await;
    let turned = world::change_of_taste(stack.now_ms());
    send(&mut ingest, turned.events).await;
    for batch in feed.next(&stack).await {
        deliver(&mut clickstream, &batch).await;
    }
    the_answer_follows(&mut recommend, &before, &turned.videos).await;
    what_was_served_is_told(&stack, &mut recommend, &mut feed).await;

    pace::compare(&stack).await;
}

async fn fill_the_catalogue(ingest: &mut Function) {
    let videos = json!({ "videos": world::videos() });
    let refused = call(ingest, "PUT", "/videos", Some(&videos), By::Anybody).await;
    assert_ne!(refused.status, 200, "the catalogue is for administrators");
    let reply = call(ingest, "PUT", "/videos", Some(&videos), By::Iam).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(
        reply.body,
        json!({ "stored": world::VIDEOS, "rejected": [] })
    );
}

/// Sends events as clients do; every one must be acknowledged.
async fn send(ingest: &mut Function, events: Vec<Value>) {
    for batch in events.chunks(world::EVENTS_PER_REQUEST) {
        let body = json!({ "events": batch });
        let reply = call(ingest, "POST", "/events", Some(&body), By::Anybody).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        assert_eq!(
            reply.body,
            json!({ "accepted": batch.len(), "rejected": [] })
        );
    }
}

/// Every event is counted and written once, also when Lambda sends its batch again.
async fn consume_and_retry(stack: &Stack, clickstream: &mut Function, batches: &[Value]) {
    assert_eq!(batches.len(), SHARDS as usize, "users part over the shards");
    let mut archive = stack.function("archive").await;
    for batch in batches {
        deliver(clickstream, batch).await;
        deliver(&mut archive, batch).await;
    }
    let once = stack.picture().await;
    assert_eq!(once.users(), world::USERS);
    assert!(!once.counters.is_empty() && !once.lake.is_empty());
    for batch in batches {
        deliver(clickstream, batch).await;
        deliver(&mut archive, batch).await;
    }
    // Not `assert_eq`, which would print every row.
    assert!(stack.picture().await == once, "a retry changes nothing");
}

async fn make_a_generation(stack: &Stack) {
    let report = run(stack, "profile").await;
    assert_eq!(report["events"], world::EVENTS, "{report}");
    assert_eq!(report["dropped"], 0, "{report}");
    assert_eq!(report["videos"], world::VIDEOS, "{report}");
    assert_eq!(report["users"], world::USERS, "{report}");
    let generation = &report["generation"];

    let report = run(stack, "preload").await;
    assert_eq!(report["done"], true, "{report}");
    assert_eq!(&report["generation"], generation, "{report}");
    assert_eq!(report["personal"], world::USERS, "{report}");
    assert!(
        report["stored"].as_u64() > Some(world::USERS as u64),
        "{report}"
    );
    assert_eq!(report["failed"], 0, "{report}");
    stack.every_key_in_redis_ends().await;
}

/// One run of a job, as its schedule starts it.
async fn run(stack: &Stack, name: &str) -> Value {
    let mut job = stack.function(name).await;
    job.set_timeout(Duration::from_secs(120));
    let answer = job.invoke(&json!({})).await.unwrap();
    let report = answer.result;
    report.unwrap_or_else(|error| panic!("{name} failed: {error}\n{}", job.log()))
}

/// Asks every kind of question; answers the user's page.
async fn ask_everything(stack: &Stack, recommend: &mut Function) -> Page {
    let page = Page::of_user(recommend).await;
    assert_eq!(page.rung, "personal");
    assert_eq!(page.videos.len(), 20);
    let seen = world::watched(world::USER);
    assert!(page.misses(&seen), "a video that was watched is proposed");
    let own = page.of_group(world::group_of(world::USER));
    assert!(own * 3 > page.videos.len(), "{own} of the user's taste");

    let mut another = stack.function("recommend").await;
    let same = Page::of_user(&mut another).await;
    assert_eq!(same.id, page.id, "what was preloaded serves every process");

    let cohort = page.cohort.as_deref().expect("a personal answer names it");
    let shared = Page::get(recommend, &format!("/recommend?cohort={cohort}")).await;
    assert_eq!(shared.rung, "cohort");
    assert!(shared.cache_control.contains("s-maxage"));
    assert!(page.cache_control.contains("private"));
    for (path, rung) in [
        ("/recommend", "trending"),
        ("/trending", "trending"),
        ("/latest", ""),
        ("/popular", ""),
        ("/videos/v0/similar", ""),
    ] {
        let list = Page::get(recommend, path).await;
        assert_eq!(list.videos.len(), 20, "{path}");
        assert!(
            rung.is_empty() || list.rung == rung,
            "{path}: {}",
            list.rung
        );
    }
    let latest = Page::get(recommend, "/latest").await;
    assert_eq!(latest.videos[0], world::NEWEST);
    let similar = Page::get(recommend, "/videos/v0/similar?limit=10").await;
    assert!(similar.of_group(0) >= 5, "{similar:?}");
    let wrong = call(recommend, "GET", "/recommend?limit=0", None, By::Anybody).await;
    assert_eq!(
        (wrong.status, &wrong.body["code"]),
        (400, &json!("invalid_field"))
    );
    page
}

/// Time alone changes nothing: what is soft-stale is confirmed by the user's version.
async fn the_answer_stays(recommend: &mut Function, before: &Page) {
    for _ in 0..ASKS_AGAIN {
        let again = Page::of_user(recommend).await;
        assert_eq!((&again.id, &again.videos), (&before.id, &before.videos));
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Asks until the answer is another one: the slate of before is good for two seconds.
async fn the_answer_follows(recommend: &mut Function, before: &Page, watched: &[String]) {
    assert!(!before.misses(watched), "some of them were proposed");
    let group = world::OTHER_GROUP;
    let changed = tokio::time::timeout(CHANGE_MAX, async {
        loop {
            let page = Page::of_user(recommend).await;
            if page.id != before.id {
                return page;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    });
    let after = changed.await.expect("new events change the answer");
    assert_eq!(after.rung, "personal");
    assert!(after.misses(watched), "what is watched now is not proposed");
    assert!(after.misses(&world::watched(world::USER)));
    let (was, is) = (before.of_group(group), after.of_group(group));
    assert!(is > was, "of the new taste: {was} before, {is} after");
}

/// Answers are held for a second at most, then told to the stream.
async fn what_was_served_is_told(stack: &Stack, recommend: &mut Function, feed: &mut Feed) {
    let told = tokio::time::timeout(CHANGE_MAX, async {
        loop {
            let served = feed.events(stack).await;
            let served = served.iter().filter(|e| e.kind == EventKind::Served);
            if served.filter(|e| e.user_id.as_str() == world::USER).count() >= 20 {
                return;
            }
            Page::of_user(recommend).await;
            tokio::time::sleep(ASK_EVERY).await;
        }
    });
    told.await.expect("served events reach the stream");
}

#[tokio::test]
async fn a_function_with_wrong_settings_names_all_that_is_wrong_and_ends() {
    let wrong = [
        ("REELWAY_REDIS_URL", "http://nowhere"),
        ("REELWAY_TOKEN_KEY", "k3y"),
        ("REELWAY_LOCAL_TIER_MIB", "many"),
    ];
    let wrong = wrong.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let needs = |name: &str| match name {
        "recommend" => &[
            "REELWAY_BUCKET",
            "REELWAY_REDIS_URL",
            "REELWAY_TOKEN_KEY",
            "REELWAY_LOCAL_TIER_MIB",
        ][..],
        "preload" => &[
            "REELWAY_BUCKET",
            "REELWAY_REDIS_URL",
            "REELWAY_LOCAL_TIER_MIB",
        ],
        "ingest" => &["REELWAY_BUCKET", "REELWAY_REDIS_URL", "REELWAY_TOKEN_KEY"],
        "clickstream" => &["REELWAY_BUCKET", "REELWAY_REDIS_URL"],
        _ => &["REELWAY_BUCKET"],
    };
    for name in FUNCTIONS {
        let started = Function::spawn(&binary(name).unwrap(), &wrong).await;
        let said = format!("{:#}", started.map(|_| ()).unwrap_err());
        let failed = said.contains("it ended") && !said.contains("unix_wait_status(0)");
        assert!(failed, "{name}: {said}");
        for setting in needs(name) {
            assert!(
                said.contains(setting),
                "{name} does not name {setting}: {said}"
            );
        }
        let told = said.contains("panicked") || said.contains("k3y");
        assert!(!told, "{name} says too much: {said}");
    }
}
