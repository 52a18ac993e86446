//! Half an hour of reading on, while slates are made anew, lost, and made from other generations.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;

use super::world::*;

const MINUTE: Duration = Duration::from_secs(60);
/// A slate has 200; so many that every list has a full one.
const VIDEOS: usize = 300;
const LISTS: [&str; 6] = [
    "/recommend?user_id=u1&limit=3",
    "/recommend?cohort=c1&limit=3",
    "/videos/v1/similar?limit=3",
    "/trending?limit=3",
    "/latest?limit=3",
    "/popular?limit=3",
];

/// Somebody who reads a list page by page.
struct Reader {
    list: &'static str,
    cursor: String,
    served: Vec<String>,
    lost: usize,
}

impl Reader {
    async fn open(list: &'static str, router: &Router) -> Self {
        let first = ask(router, list.to_owned()).await;
        Self {
            list,
            cursor: first.cursor().unwrap().to_owned(),
            served: first.ids(),
            lost: 0,
        }
    }

    async fn turn(&mut self, router: &Router, minute: u32) {
        let page = ask(router, format!("{}&cursor={}", self.list, self.cursor)).await;
        let (list, ids) = (self.list, page.ids());
        assert_eq!(ids.len(), 3, "{list}, minute {minute}: {}", page.json);
        self.lost += usize::from(page.degraded().contains(&"slate_lost"));
        self.served.extend(ids);
        self.cursor = page.cursor().unwrap().to_owned();
        let distinct = self.served.iter().collect::<HashSet<_>>().len();
        assert_eq!(distinct, self.served.len(), "{list}, minute {minute}");
    }
}

async fn ask(router: &Router, uri: String) -> Reply {
    let reply = reply(
        router.clone(),
        Request::get(&uri).body(Body::empty()).unwrap(),
    )
    .await;
    assert_eq!(reply.status, 200, "{uri}: {}", reply.json);
    reply
}

#[tokio::test]
async fn nothing_comes_twice_in_thirty_minutes_of_swaps_and_lost_slates() {
    let world = World::of(VIDEOS).await;
    let mut router = world.router.clone();
    let mut readers = Vec::new();
    for list in LISTS {
        readers.push(Reader::open(list, &router).await);
    }
    for minute in 1..=30 {
        world.clock.advance(MINUTE);
        match minute % 10 {
            // The night comes while they read; a minute later they meet a process that knows nothing.
            3 => {
                let generation = format!("2025-10-10.{minute}");
                world.night(&generation, VIDEOS, minute as usize).await;
            }
            4 | 8 => router = world.another_process(),
            _ => {}
        }
        for reader in &mut readers {
            reader.turn(&router, minute).await;
        }
    }
    for reader in &readers {
        assert_eq!(reader.served.len(), 93, "{}", reader.list);
        assert_eq!(reader.lost, 6, "{}", reader.list);
    }
}

#[tokio::test]
async fn a_cursor_that_was_put_aside_is_good_for_thirty_minutes_and_not_for_ever() {
    let world = World::of(VIDEOS).await;
    for (at, list) in LISTS.into_iter().enumerate() {
        let first = ask(&world.router, list.to_owned()).await;
        let uri = format!("{list}&cursor={}", first.cursor().unwrap());
        let undisturbed = ask(&world.router, uri.clone()).await;
        world.clock.advance(15 * MINUTE);
        let generation = format!("2025-10-11.{}", at + 1);
        world.night(&generation, VIDEOS, at + 1).await;
        world.clock.advance(15 * MINUTE);

        let same_process = ask(&world.router, uri.clone()).await;
        assert_eq!(same_process.ids(), undisturbed.ids(), "{list}");
        let elsewhere = ask(&world.another_process(), uri.clone()).await;
        assert_eq!(elsewhere.degraded(), ["slate_lost"], "{list}");
        assert!(
            elsewhere.ids().iter().all(|id| !first.ids().contains(id)),
            "{list}"
        );

        // Times of issue are rounded up by at most five minutes.
        world.clock.advance(5 * MINUTE + Duration::from_millis(1));
        let late = world.get(&uri).await;
        assert_eq!(late.status, 400, "{list}: {}", late.json);
    }
}
