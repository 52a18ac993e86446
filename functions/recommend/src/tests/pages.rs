//! Pages: nothing twice, nothing skipped, nothing that was hidden since.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use engine::{CreatorId, EventKind};
use http::Request;

use super::world::*;

/// Reads on until there is no further page.
async fn read_on(router: &Router, uri: &str, mut cursor: Option<String>) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(text) = cursor {
        let request = Request::get(format!("{uri}&cursor={text}"))
            .body(Body::empty())
            .unwrap();
        let page = reply(router.clone(), request).await;
        assert_eq!(page.status, 200, "{}", page.json);
        ids.extend(page.ids());
        cursor = page.cursor().map(str::to_owned);
    }
    ids
}

fn all_distinct(ids: &[String]) -> bool {
    ids.iter().collect::<HashSet<_>>().len() == ids.len()
}

#[tokio::test]
async fn pages_of_any_size_are_the_same_slate() {
    let world = World::new().await;
    for path in [
        "/recommend?user_id=u1",
        "/recommend?cohort=c1",
        "/trending?market=DE",
        "/latest?x",
    ] {
        let mut whole: Option<Vec<String>> = None;
        for limit in [7, 20, 50] {
            let uri = format!("{path}&limit={limit}");
            let first = world.get(&uri).await;
            let rest = read_on(&world.router, &uri, first.cursor().map(str::to_owned)).await;
            let ids: Vec<_> = first.ids().into_iter().chain(rest).collect();
            assert!(ids.len() > 50 && all_distinct(&ids), "{uri}: {}", ids.len());
            assert_eq!(whole.get_or_insert_with(|| ids.clone()), &ids, "{uri}");
        }
    }
}

#[tokio::test]
async fn a_slate_that_is_made_anew_does_not_move_the_pages_of_the_old_one() {
    let world = World::new().await;
    let uri = "/recommend?user_id=u1&limit=10";
    let first = world.get(uri).await;
    let undisturbed = read_on(&world.router, uri, first.cursor().map(str::to_owned)).await;

    let clicked: usize = first.ids()[0][1..].parse().unwrap();
    world
        .happens(&event(EventKind::Like, 1, clicked, NOW_MS))
        .await;
    world.clock.advance(Duration::from_secs(10));
    let fresh = world.get(uri).await;
    assert_ne!(
        fresh.json["recommendation_id"],
        first.json["recommendation_id"]
    );
    let rest = read_on(&world.router, uri, first.cursor().map(str::to_owned)).await;
    assert_eq!(rest, undisturbed);
}

#[tokio::test]
async fn a_lost_slate_is_replaced_by_a_fresh_one_without_what_was_served() {
    let world = World::new().await;
    let uri = "/recommend?user_id=u1&limit=10";
    let first = world.get(uri).await;
    world.clock.advance(Duration::from_secs(60));
    let other = world.another_process();
    let cursor = first.cursor().unwrap().to_owned();
    let next = Request::get(format!("{uri}&cursor={cursor}"))
        .body(Body::empty())
        .unwrap();
    let second = reply(other.clone(), next).await;
    assert!(second.degraded().contains(&"slate_lost"), "{}", second.json);
    let rest = read_on(&other, uri, Some(cursor)).await;
    let all: Vec<_> = first.ids().into_iter().chain(rest).collect();
    assert!(all.len() > 50 && all_distinct(&all), "{}", all.len());
}

#[tokio::test]
async fn what_was_hidden_since_is_on_no_page_of_an_old_slate() {
    let world = World::new().await;
    let uri = "/recommend?user_id=u1&limit=10";
    let first = world.get(uri).await;
    let cursor = first.cursor().map(str::to_owned);
    let before = read_on(&world.router, uri, cursor.clone()).await;
    let hide = store::Patch {
        hidden: Some(true),
        ..Default::default()
    };
    let hidden = before[0].parse().unwrap();
    world
        .catalogue
        .patch(&hidden, &hide, &world.deadline())
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(5));
    let after = read_on(&world.router, uri, cursor).await;
    assert_eq!(after, before[1..]);
}

#[tokio::test]
async fn what_the_user_hid_since_is_on_no_page_of_an_old_slate() {
    let world = World::new().await;
    let uri = "/recommend?user_id=u1&limit=10";
    let first = world.get(uri).await;
    let cursor = first.cursor().map(str::to_owned);
    let before = read_on(&world.router, uri, cursor.clone()).await;
    let number = |id: &String| -> usize { id[1..].parse().unwrap() };
    let creator = number(&before[0]) % 40;
    let mut hide = event(EventKind::Hide, 1, number(&before[0]), NOW_MS);
    hide.creator_id = Some(CreatorId::parse(&format!("c{creator}")).unwrap());
    world.happens(&hide).await;
    world.clock.advance(Duration::from_secs(10));
    let after = read_on(&world.router, uri, cursor).await;
    let others: Vec<_> = before
        .iter()
        .filter(|id| number(id) % 40 != creator)
        .cloned()
        .collect();
    assert_eq!(after, others);
    assert!(others.len() < before.len());
}

#[tokio::test]
async fn excluding_leaves_out_and_fills_up() {
    let world = World::new().await;
    let first = world.get("/recommend?user_id=u1&limit=20").await;
    let exclude = first.ids().join(",");
    let without = world
        .get(&format!("/recommend?user_id=u1&limit=20&exclude={exclude}"))
        .await;
    assert_eq!(without.ids().len(), 20);
    assert!(without.ids().iter().all(|id| !first.ids().contains(id)));
    let again = world.get("/recommend?user_id=u1&limit=20").await;
    assert_eq!(
        again.ids(),
        first.ids(),
        "what one request excludes, the next one gets"
    );
}

#[tokio::test]
async fn a_slate_that_is_excluded_whole_is_made_anew_without_it() {
    let world = World::of(300).await;
    let newest: Vec<String> = (100..300).rev().map(|n| format!("v{n}")).collect();
    let body = serde_json::json!({"user_id": "nobody", "limit": 20, "exclude": newest,
        "explain": false});
    let reply = world.post("/recommend", &body).await;
    let ids = reply.ids();
    assert_eq!(ids.len(), 20);
    assert!(ids.iter().all(|id| !newest.contains(id)));

    let exclude = newest.join(",");
    let latest = world
        .get(&format!("/latest?limit=3&exclude={exclude}"))
        .await;
    assert_eq!(latest.ids(), ["v99", "v98", "v97"]);
    assert_eq!(latest.degraded(), Vec::<&str>::new());
    let next = latest.cursor().unwrap();
    let next = world
        .get(&format!("/latest?limit=3&exclude={exclude}&cursor={next}"))
        .await;
    assert_eq!(next.ids(), ["v96", "v95", "v94"]);
    assert_eq!(world.get("/latest?limit=2").await.ids(), ["v299", "v298"]);
}

#[tokio::test]
async fn a_page_shorter_than_asked_says_so() {
    let world = World::new().await;
    let all: Vec<String> = (0..VIDEOS).map(|n| format!("v{n}")).collect();
    let exclude = all[..VIDEOS - 3].join(",");
    let reply = world
        .get(&format!("/latest?limit=20&exclude={exclude}"))
        .await;
    assert_eq!(reply.ids().len(), 3);
    assert_eq!(reply.degraded(), ["size_not_enough"]);
    let whole = world.get("/latest?limit=20").await;
    assert_eq!(whole.degraded(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_cursor_of_another_question_starts_over_without_what_was_served() {
    let world = World::new().await;
    let mine = world.get("/recommend?user_id=u1&limit=10").await;
    let cursor = mine.cursor().unwrap();
    let theirs = world
        .get(&format!("/recommend?user_id=u2&limit=10&cursor={cursor}"))
        .await;
    assert_eq!(theirs.status, 200);
    assert!(theirs.degraded().contains(&"slate_lost"));
    assert!(theirs.ids().iter().all(|id| !mine.ids().contains(id)));
}

#[tokio::test]
async fn an_unknown_scene_is_the_slate_of_home_under_the_name_that_was_asked_for() {
    let world = World::new().await;
    let mut names = Vec::new();
    for scene in ["home", "made-up", "home", "another"] {
        let reply = world
            .get(&format!("/recommend?scene={scene}&limit=5"))
            .await;
        assert_eq!(reply.json["scene"], scene);
        names.push(reply.json["recommendation_id"].to_string());
        let next = format!(
            "/recommend?scene={scene}&limit=5&cursor={}",
            reply.cursor().unwrap()
        );
        assert!(world.get(&next).await.degraded().is_empty());
    }
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
}
