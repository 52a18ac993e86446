//! What is counted of every request, under handles that are looked up once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};
use ops::metric;

/// The meters of every route that was asked for; routes are those of the router, so they are few.
#[derive(Debug, Default)]
pub(crate) struct Meters(RwLock<HashMap<String, Arc<Meter>>>);

/// What is counted of one route.
#[derive(Debug)]
pub(crate) struct Meter {
    route: String,
    seconds: Histogram,
    /// By status; a route answers with a handful of them.
    answers: RwLock<Vec<(StatusCode, Counter)>>,
}

impl Meters {
    /// The meter of a route.
    pub fn of(&self, route: &str) -> Arc<Meter> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(route) {
            return Arc::clone(meter);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Meter::new(route));
        Arc::clone(known.entry(route.to_owned()).or_insert_with(new))
    }
}

impl Meter {
    /// The route.
    pub fn route(&self) -> &str {
        &self.route
    }

    fn new(route: &str) -> Self {
        Self {
            route: route.to_owned(),
            seconds: metrics::histogram!(metric::HTTP_SECONDS, "route" => route.to_owned()),
            answers: RwLock::default(),
        }
    }

    /// Counts one answer.
    pub fn count(&self, status: StatusCode, took: Duration) {
        self.seconds.record(took.as_secs_f64());
        let known = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(known, _)| *known == status) {
            counter.increment(1);
            return;
        }
        drop(known);
        let (route, code) = (self.route.clone(), status.as_str().to_owned());
        let counter = metrics::counter!(metric::HTTP_REQUESTS, "route" => route, "status" => code);
        counter.increment(1);
        let mut known = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().all(|(known, _)| *known != status) {
            known.push((status, counter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_and_a_status_are_looked_up_once() {
        let meters = Meters::default();
        let first = meters.of("/recommend");
        assert!(Arc::ptr_eq(&first, &meters.of("/recommend")));
        assert!(!Arc::ptr_eq(&first, &meters.of("/trending")));
        for status in [200, 200, 304, 200] {
            first.count(StatusCode::from_u16(status).unwrap(), Duration::ZERO);
        }
        assert_eq!(first.answers.read().unwrap().len(), 2);
    }
}
