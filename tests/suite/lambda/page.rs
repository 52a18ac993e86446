//! A page of a slate, held to the contract as it is read.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::Function;

use super::http::{By, call};
use super::world;

#[derive(Debug)]
pub(super) struct Page {
    pub id: String,
    pub rung: String,
    pub cohort: Option<String>,
    pub videos: Vec<String>,
    pub cache_control: String,
}

impl Page {
    /// The page of the user that the scenario follows.
    pub async fn of_user(recommend: &mut Function) -> Self {
        Self::get(recommend, &format!("/recommend?user_id={}", world::USER)).await
    }

    /// Asks, and checks what every page must have.
    pub async fn get(recommend: &mut Function, address: &str) -> Self {
        let reply = call(recommend, "GET", address, None, By::Anybody).await;
        let (body, headers) = (&reply.body, &reply.headers);
        assert_eq!(reply.status, 200, "{address}: {body}");
        for name in ["etag", "cache-control", "x-age-ms", "server-timing"] {
            assert!(headers.contains_key(name), "{address}: no {name}");
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        for name in ["recommendation_id", "scene", "generation", "rung"] {
            let given = text(&body[name]).is_some_and(|text| !text.is_empty());
            assert!(given, "{address}: no {name} in {body}");
        }
        assert!(body["experiments"].is_object(), "{address}: {body}");
        assert_eq!(body["degraded"], serde_json::json!([]), "{address}: {body}");
        let items = body["items"].as_array().expect("items");
        for item in items {
            let sources = item["sources"]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            let reason = item["reason"]["kind"].is_string();
            let token = item["token"].as_str().is_some_and(|token| token.len() > 20);
            assert!(
                sources && reason && token && item["score"].is_number(),
                "{item}"
            );
        }
        let videos: Vec<String> = items.iter().filter_map(|i| text(&i["video_id"])).collect();
        let distinct: BTreeSet<&String> = videos.iter().collect();
        assert_eq!(distinct.len(), items.len(), "{address}: one video twice");
        Self {
            id: text(&body["recommendation_id"]).unwrap_or_default(),
            rung: text(&body["rung"]).unwrap_or_default(),
            cohort: text(&body["cohort"]),
            videos,
            cache_control: text(&headers["cache-control"]).unwrap_or_default(),
        }
    }

    /// Whether none of these is on it.
    pub fn misses(&self, videos: &[String]) -> bool {
        !self.videos.iter().any(|video| videos.contains(video))
    }

    /// How many are of a taste group.
    pub fn of_group(&self, group: usize) -> usize {
        let of = |video: &&String| world::group_of_video(video) == group;
        self.videos.iter().filter(of).count()
    }
}
