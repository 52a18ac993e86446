//! What people ask while things fail, and whether the answer is one.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tests::{Client, Reply, Sample};

/// Users of the demo catalogue.
const USERS: u64 = 600;
/// Videos of the demo catalogue, at least.
const VIDEOS: u64 = 1_000;
const LIMIT: usize = 20;
const RUNGS: [&str; 5] = ["personal", "stale", "cohort", "trending", "builtin"];
/// Longer than any answer may take; a request without an answer by then has none.
const PATIENCE: Duration = Duration::from_secs(20);

/// Client networks (/24) that users come from: one network whose loads take too long is left alone
/// by itself, and this machine alone would be one.
const NETWORKS: u8 = 60;

/// What is looked at of an answer; read in place, because the generator has one core.
#[derive(Deserialize)]
struct Page<'a> {
    recommendation_id: &'a str,
    rung: &'a str,
    #[serde(borrow)]
    degraded: Vec<&'a str>,
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    video_id: &'a str,
}

/// Asks for users' recommendations, one after the other in a mixed order.
#[derive(Clone)]
pub(super) struct Feed {
    /// One per network.
    clients: Arc<Vec<Client>>,
    /// Who was given which slate: nobody may be given another's.
    owners: Arc<Mutex<HashMap<String, u64>>>,
}

impl Feed {
    pub fn of(node: &tests::Reelway) -> Self {
        let client =
            |network| Client::new(node.addr()).from(Ipv4Addr::new(127, 1, network, network));
        Self {
            clients: Arc::new((1..=NETWORKS).map(client).collect()),
            owners: Arc::default(),
        }
    }

    /// Closes the connections that are kept for later.
    pub fn hang_up(&self) {
        self.clients.iter().for_each(Client::hang_up);
    }

    /// The request of this number.
    pub fn ask(&self, number: u64) -> impl Future<Output = Sample> + Send + use<> {
        self.ask_for(Self::user(number))
    }

    /// Who asks the request of this number.
    pub fn user(number: u64) -> u64 {
        1 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(20) % USERS
    }

    pub fn ask_for(&self, user: u64) -> impl Future<Output = Sample> + Send + use<> {
        self.ask_at(user, format!("/recommend?user_id=u{user}&limit={LIMIT}"))
    }

    /// A question that nobody has asked before: what the user just watched differs every time, so
    /// that no kept slate answers it.
    pub fn ask_anew(&self, number: u64) -> impl Future<Output = Sample> + Send + use<> {
        let user = 1 + number % USERS;
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let watched = [mixed >> 16, mixed >> 32, mixed >> 48].map(|v| 1 + v % VIDEOS);
        let [a, b, c] = watched;
        let path = format!("/recommend?user_id=u{user}&session=v{a},v{b},v{c}&limit={LIMIT}");
        self.ask_at(user, path)
    }

    fn ask_at(&self, user: u64, path: String) -> impl Future<Output = Sample> + Send + use<> {
        let feed = self.clone();
        async move {
            let client = &feed.clients[user as usize % feed.clients.len()];
            match tokio::time::timeout(PATIENCE, client.get(&path)).await {
                Ok(Ok(reply)) => feed.judge(user, &reply),
                Ok(Err(error)) => Sample::Error(error.to_string()),
                Err(_) => Sample::Error("no answer".to_owned()),
            }
        }
    }

    /// What became of a request of this user.
    pub fn judge(&self, user: u64, reply: &Reply) -> Sample {
        if matches!(reply.status, 429 | 503) && reply.header("retry-after").is_some() {
            return Sample::Refused;
        }
        match self.valid(user, reply) {
            Ok(label) => Sample::Valid(label),
            Err(what) => {
                let body = String::from_utf8_lossy(&reply.body);
                let start: String = body.chars().take(200).collect();
                Sample::Error(format!("{what}: {} {start}", reply.status))
            }
        }
    }

    /// The rung, and the causes besides.
    fn valid(&self, user: u64, reply: &Reply) -> Result<String, &'static str> {
        if reply.status != 200 {
            return Err("status");
        }
        let page: Page<'_> = serde_json::from_slice(&reply.body).map_err(|_| "no page")?;
        if !RUNGS.contains(&page.rung) {
            return Err("rung");
        }
        let ids: HashSet<&str> = page.items.iter().map(|item| item.video_id).collect();
        if ids.len() != LIMIT || page.items.len() != LIMIT {
            return Err("not a page of distinct videos");
        }
        if matches!(page.rung, "personal" | "stale") {
            let mut owners = self.owners.lock().unwrap();
            let slate = page.recommendation_id.to_owned();
            if *owners.entry(slate).or_insert(user) != user {
                return Err("another user's slate");
            }
        }
        let causes = page.degraded.into_iter();
        let causes = causes.filter(|cause| !matches!(*cause, "size_not_enough" | "all_seen"));
        Ok(std::iter::once(page.rung)
            .chain(causes)
            .collect::<Vec<_>>()
            .join(", "))
    }
}
