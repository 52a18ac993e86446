//! Those who ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use engine::Rung;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::BodyExt;
use store::{Ask, Kind, Tiered, Who};
use tower::ServiceExt;

use super::seen::{Asker, Given, Seen};
use super::{CONCURRENCY, SCENES, Size, newcomers};
use crate::measure::compare::Random;
use crate::town::{Town, scene};
use crate::world;

/// Of so many requests one goes through the router, the others ask the tiers.
pub const ROUTED_ONE_IN: u64 = 5;
/// Of so many requests one is by somebody who came not long ago: Redis has the slate, mostly.
pub const AGAIN_ONE_IN: u64 = 20;
/// Which one of them; never a newcomer's first.
const AGAIN_AT: u64 = 5;
/// So many newcomers came not long ago.
const RECENT: usize = 20_000;
/// The share of the other requests that are by users with a long history; and of those for many.
const USERS_SHARE: f64 = 0.65;
const MANY_SHARE: f64 = 0.30;

/// What all who ask share.
pub struct Crowd {
    pub size: Size,
    pub town: Town,
    pub tiered: Tiered,
    pub router: Router,
    pub seen: Seen,
    /// How many newcomers there were.
    pub newcomers: AtomicUsize,
}

/// One of them.
pub struct Client {
    crowd: Arc<Crowd>,
    part: usize,
    random: Random,
}

impl Crowd {
    /// The number of somebody who never asked.
    pub fn newcomer(&self) -> usize {
        newcomers(self.size).start + self.newcomers.fetch_add(1, Ordering::Relaxed)
    }
}

impl Client {
    pub fn new(crowd: Arc<Crowd>, part: usize, worker: u64) -> Self {
        let random = Random(part as u64 * CONCURRENCY + worker + 1);
        Self {
            crowd,
            part,
            random,
        }
    }

    /// Asks so often, one after the other; how long the tiers took, in microseconds.
    pub async fn ask(mut self, requests: u64) -> anyhow::Result<Histogram<u64>> {
        let mut micros = Histogram::<u64>::new(3)?;
        for number in 0..requests {
            let (asker, ask) = self.question(number);
            let (crowd, seen) = (&self.crowd, &self.crowd.seen);
            if self.random.unit() * (ROUTED_ONE_IN as f64) < 1.0 {
                self.route(asker, &ask).await?;
                continue;
            }
            let started = crowd.town.clock.now().mono;
            let deadline = crowd.town.deadline(10_000);
            let answer = crowd.tiered.slate(ask, &deadline).await;
            let took = crowd.town.clock.now().mono.saturating_sub(started);
            micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1))?;
            let slate = &answer.slate;
            if slate.items.is_empty() {
                seen.errors.fetch_add(1, Ordering::Relaxed);
            }
            let given = Given {
                rung: slate.rung,
                slate_id: &slate.slate_id,
                degraded: !slate.degraded.is_empty(),
            };
            seen.answer(asker, self.part, given);
            seen.count(answer.outcome);
        }
        Ok(micros)
    }

    fn question(&mut self, number: u64) -> (Asker, Ask) {
        let Size {
            users, strangers, ..
        } = self.crowd.size;
        let everybody = newcomers(self.crowd.size);
        let known = |number| Asker {
            number,
            has_history: true,
        };
        let nobody = Asker {
            number: everybody.end,
            has_history: false,
        };
        let by = |number| Ask::new(Who::User(world::user(number)), Kind::Recommend);
        if number.is_multiple_of(self.crowd.size.newcomer_one_in) {
            let number = self.crowd.newcomer();
            return (known(number), by(number));
        }
        if number % AGAIN_ONE_IN == AGAIN_AT {
            let came = self.crowd.newcomers.load(Ordering::Relaxed);
            let back = 1 + self.random.below(RECENT.min(came.max(1)));
            let number = everybody.start + came.saturating_sub(back);
            return (known(number), by(number));
        }
        let kind = self.random.unit();
        if kind < USERS_SHARE {
            // Cubing prefers few of them, about as Zipf's law does.
            let skewed = self.random.unit().powi(3);
            let number = ((skewed * users as f64) as usize).min(users.saturating_sub(1));
            (known(number), by(number))
        } else if kind < USERS_SHARE + MANY_SHARE {
            let ask = Ask {
                scene: scene(self.random.below(SCENES)),
                ..Ask::new(Who::Anyone, Kind::Recommend)
            };
            (nobody, ask)
        } else {
            (nobody, by(everybody.end + self.random.below(strangers)))
        }
    }

    async fn route(&self, asker: Asker, ask: &Ask) -> anyhow::Result<()> {
        let path = match ask.user() {
            Some(user) => format!("/recommend?user_id={}", user.as_str()),
            None => format!("/recommend?scene={}", ask.scene),
        };
        let request = Request::get(path).body(Body::empty())?;
        let response = self.crowd.router.clone().oneshot(request).await?;
        let fine = response.status() == 200;
        let body = response.into_body().collect().await?.to_bytes();
        let seen = &self.crowd.seen;
        match serde_json::from_slice::<Page<'_>>(&body) {
            Ok(page) if fine && body.len() >= 500 => {
                let given = Given {
                    rung: rung(page.rung),
                    slate_id: page.recommendation_id,
                    degraded: !page.degraded.is_empty(),
                };
                seen.answer(asker, self.part, given);
            }
            Ok(_) | Err(_) => {
                seen.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        seen.routed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What is looked at of a page.
#[derive(serde::Deserialize)]
struct Page<'a> {
    recommendation_id: &'a str,
    rung: &'a str,
    #[serde(default, borrow)]
    degraded: Vec<&'a str>,
}

fn rung(name: &str) -> Rung {
    let rungs = [Rung::Personal, Rung::Stale, Rung::Cohort, Rung::Trending];
    let named = rungs.into_iter().find(|rung| rung.as_str() == name);
    named.unwrap_or(Rung::Builtin)
}
