//! What is hidden or deleted is gone from every list within five seconds, also for those who read on.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use engine::EventKind;
use http::Request;
use store::catalogue::OVERLAY_AGE_MAX;

use super::world::*;

const LISTS: [&str; 9] = [
    "/recommend?user_id=u1&limit=10",
    "/recommend?cohort=c1&limit=10",
    "/recommend?session=v3,v6&limit=10",
    "/recommend?limit=10",
    "/videos/v1/similar?limit=10",
    "/videos/v1/similar?user_id=u2&limit=10",
    "/trending?limit=10",
    "/latest?limit=10",
    "/popular?limit=10",
];

async fn ask(router: &Router, uri: &str) -> Reply {
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let reply = reply(router.clone(), request).await;
    assert_eq!(reply.status, 200, "{uri}: {}", reply.json);
    reply
}

/// All pages from this one on.
async fn to_the_end(router: &Router, list: &str, first: Reply) -> Vec<String> {
    let mut ids = first.ids();
    let mut cursor = first.cursor().map(str::to_owned);
    while let Some(text) = cursor {
        let page = ask(router, &format!("{list}&cursor={text}")).await;
        ids.extend(page.ids());
        cursor = page.cursor().map(str::to_owned);
    }
    ids
}

#[tokio::test]
async fn what_is_hidden_or_deleted_is_on_no_page_of_any_list() {
    let world = World::new().await;
    let (mut read, mut gone) = (Vec::new(), HashSet::new());
    for list in LISTS {
        let first = ask(&world.router, list).await;
        let second = format!("{list}&cursor={}", first.cursor().unwrap());
        let next = ask(&world.router, &second).await;
        // Of each page the first: one of them to be hidden, the other to be deleted.
        gone.extend([
            (first.ids()[0].clone(), true),
            (next.ids()[0].clone(), false),
        ]);
        read.push((list, second, first.ids(), next.ids()));
    }
    let hide = store::Patch {
        hidden: Some(true),
        ..Default::default()
    };
    for (id, hidden) in &gone {
        let (id, deadline) = (id.parse().unwrap(), world.deadline());
        if *hidden {
            // One that another list has deleted is gone already.
            let _ = world.catalogue.patch(&id, &hide, &deadline).await;
        } else {
            world.catalogue.delete(&id, &deadline).await.unwrap();
        }
    }
    let gone: HashSet<String> = gone.into_iter().map(|(id, _)| id).collect();
    assert!(gone.len() >= 6, "{gone:?}");
    world.clock.advance(OVERLAY_AGE_MAX);

    let elsewhere = world.another_process();
    for (list, second, first_ids, next_ids) in read {
        for (router, what) in [(&world.router, "here"), (&elsewhere, "elsewhere")] {
            let again = ask(router, list).await;
            assert_eq!(again.ids().len(), 10, "{list} {what}");
            let onwards = ask(router, &second).await;
            let old = to_the_end(router, list, onwards).await;
            for id in to_the_end(router, list, again).await.iter().chain(&old) {
                assert!(!gone.contains(id), "{id} on {list} {what}");
            }
            assert!(
                old.iter().all(|id| !first_ids.contains(id)),
                "{list} {what}"
            );
            if what == "here" {
                let kept = next_ids.iter().filter(|id| !gone.contains(*id));
                assert!(kept.zip(&old).all(|(before, now)| before == now), "{list}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_shown_again_comes_back() {
    let world = World::new().await;
    let newest = world.get("/latest?limit=1").await.ids();
    for (hidden, first) in [(true, "v118"), (false, newest[0].as_str())] {
        let patch = store::Patch {
            hidden: Some(hidden),
            ..Default::default()
        };
        let id = newest[0].parse().unwrap();
        let patched = world.catalogue.patch(&id, &patch, &world.deadline()).await;
        patched.unwrap();
        // The slate of before is kept for half a minute and may be served stale once more.
        world.clock.advance(Duration::from_secs(120));
        world.get("/latest?limit=1").await;
        tokio::task::yield_now().await;
        world.clock.advance(OVERLAY_AGE_MAX);
        assert_eq!(world.get("/latest?limit=1").await.ids(), [first]);
    }
}

#[tokio::test]
async fn what_a_user_hid_stays_away_from_the_next_page_when_it_cannot_be_read() {
    let world = World::new().await;
    let list = "/recommend?user_id=u1&limit=10";
    let first = world.get(list).await;
    let onwards = format!("{list}&cursor={}", first.cursor().unwrap());
    let second = world.get(&onwards).await.ids();
    let disliked: usize = second[0][1..].parse().unwrap();
    let hides = event(EventKind::Hide, 1, disliked, NOW_MS);
    world.happens(&hides).await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.get(list).await.json["rung"], "personal");

    world.tables.stalled.store(true, Ordering::Relaxed);
    let reply = world.get(&onwards).await;
    assert_eq!(reply.ids().len(), 10);
    assert!(!reply.ids().contains(&second[0]), "{:?}", reply.ids());
    let served = first.ids();
    assert!(reply.ids().iter().all(|id| !served.contains(id)));
    assert_eq!(reply.degraded(), ["slate_lost"]);
}

#[tokio::test]
async fn a_request_whose_user_could_not_be_read_does_not_try_again_for_what_they_hid() {
    let world = World::new().await;
    let list = "/recommend?user_id=u1&limit=10";
    let first = world.get(list).await;
    let onwards = format!("{list}&cursor={}", first.cursor().unwrap());
    let ids = world.get(&onwards).await.ids();
    // Its own slate is too old to be served as anything but a page that somebody reads on.
    world.clock.advance(Duration::from_secs(11 * 60));
    world.tables.stalled.store(true, Ordering::Relaxed);
    let reads = world.tables.user_reads.load(Ordering::Relaxed);
    let reply = world.get(&onwards).await;
    assert_eq!(reply.ids(), ids);
    assert_eq!(world.tables.user_reads.load(Ordering::Relaxed) - reads, 1);
}
