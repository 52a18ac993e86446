//! `POST /events`: a batch of what people did.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::Event;
use http::{HeaderMap, StatusCode};
use ops::metric;
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use store::{ErrorKind, publish_events};
use utoipa::ToSchema;
use web::freshness::VIEWER_COUNTRY;
use web::params::market_of;
use web::problem::{ProblemDocument, Rejected};
use web::{BodyRules, Caller, Problem, read_json};

use crate::app::App;
use crate::doors::{Admitted, USER_LIMIT, too_many};
use crate::event::{self, Context};

/// Most events of one request.
pub(crate) const EVENTS_MAX: usize = 500;
/// What a client may wait before it sends again what the stream did not take, in seconds.
const RETRY_AFTER_S: u32 = 1;
/// The code of an event that may be taken later.
const RETRY: &str = "retry";

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsAnswer {
    /// Events that the stream acknowledged.
    pub accepted: usize,
    /// The others, by their place; those with code `retry` or `user_limit` may be sent again.
    pub rejected: Vec<Rejected>,
}

/// Takes what people did. 202 means that the stream has acknowledged what was accepted.
#[utoipa::path(
    post, path = "/events", tag = "writes", request_body = crate::openapi::EventBatch,
    responses(
        (status = 202, description = "Acknowledged, except what is listed", body = EventsAnswer),
        (status = 400, description = "No event of it is valid", body = ProblemDocument),
        (status = 413, description = "Above 512 KiB", body = ProblemDocument),
        (status = 415, description = "Neither JSON nor a beacon", body = ProblemDocument),
        (status = 429, description = "Too many requests", body = ProblemDocument),
        (status = 503, description = "Nothing was acknowledged, send it again", body = ProblemDocument),
    ),
)]
pub(crate) async fn post_events(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let deadline = app.deadline(&parts.extensions);
    let tuning = app.tuning(&deadline).await;
    let limits = &tuning.guard.limits;
    let _inside = app.doors.enter(limits, &parts, &deadline).await?;
    let body = read_json(&parts.headers, body, BodyRules::BEACON, &deadline).await?;
    let batch = batch(body)?;
    let sent = batch.len();

    let context = Context {
        signer: &app.signer,
        caller: &Caller::of(&parts.extensions),
        market: viewer_market(&parts.headers),
        now_ms: app.clock.now().wall_ms,
    };
    let (mut places, mut events, mut rejected) = judge(batch, &context);
    let admitted = app.doors.admit(events.iter().map(|event| &event.user_id));
    let longest = hold_back(&admitted, &mut places, &mut events, &mut rejected);
    let told = Duration::from_millis(tuning.store.budgets.redis_ms.into());
    let (answers, ()) = tokio::join!(
        publish_events(&*app.stream, &events, &deadline),
        app.doors.tell(&admitted, told, &deadline),
    );
    let refused = places
        .into_iter()
        .zip(answers)
        .filter_map(|(index, answer)| {
            let code = code_of(answer.err()?.kind);
            Some(Rejected {
                index,
                code,
                field: None,
            })
        });
    rejected.extend(refused);
    rejected.sort_unstable_by_key(|one| one.index);
    count(sent, &rejected);
    answer(sent, rejected, longest)
}

/// Only what can never be stored is refused: whatever else was in the way, the client must not drop
/// the event.
fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "refused",
        _ => RETRY,
    }
}

/// The events of a body: `{"events": […]}`.
fn batch(body: Value) -> Result<Vec<Value>, Problem> {
    let Value::Object(mut object) = body else {
        return Err(Problem::field("body"));
    };
    match object.remove("events") {
        Some(Value::Array(events)) if events.len() <= EVENTS_MAX => Ok(events),
        _ => Err(Problem::field("events")),
    }
}

/// Valid events with their places in the batch, and what is wrong with the others.
fn judge(batch: Vec<Value>, context: &Context<'_>) -> (Vec<usize>, Vec<Event>, Vec<Rejected>) {
    let (mut places, mut events, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
    for (index, value) in batch.into_iter().enumerate() {
        match event::read(value, context) {
            Ok(event) => {
                places.push(index);
                events.push(event);
            }
            Err(event::Refusal { code, field }) => rejected.push(Rejected { index, code, field }),
        }
    }
    (places, events, rejected)
}

/// Takes out the events of users who were not admitted; answers the longest wait of any.
fn hold_back(
    admitted: &Admitted,
    places: &mut Vec<usize>,
    events: &mut Vec<Event>,
    rejected: &mut Vec<Rejected>,
) -> Option<Duration> {
    let longest = admitted.values().flatten().max().copied()?;
    let all = std::mem::take(places)
        .into_iter()
        .zip(std::mem::take(events));
    for (index, event) in all {
        if admitted.get(&event.user_id).is_some_and(Option::is_some) {
            rejected.push(Rejected {
                index,
                code: USER_LIMIT,
                field: None,
            });
        } else {
            places.push(index);
            events.push(event);
        }
    }
    Some(longest)
}

fn answer(
    sent: usize,
    rejected: Vec<Rejected>,
    longest: Option<Duration>,
) -> Result<Response, Problem> {
    let accepted = sent.saturating_sub(rejected.len());
    if accepted > 0 || sent == 0 {
        let answer = EventsAnswer { accepted, rejected };
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    // Sending the same again helps only where the stream was in the way.
    let problem = if rejected.iter().any(|one| one.code == RETRY) {
        Problem::unavailable(RETRY_AFTER_S)
    } else if let Some(wait) = longest {
        too_many(wait)
    } else {
        Problem::bad_request("no_valid_event", "none of the events can be taken").at("events")
    };
    Err(problem.rejecting(rejected))
}

fn count(sent: usize, rejected: &[Rejected]) {
    let accepted = sent.saturating_sub(rejected.len());
    metrics::counter!(metric::EVENTS_ACCEPTED).increment(accepted as u64);
    for Rejected { code, .. } in rejected {
        metrics::counter!(metric::EVENTS_REJECTED, "code" => *code).increment(1);
    }
}

fn viewer_market(headers: &HeaderMap) -> SmolStr {
    let country = headers
        .get(VIEWER_COUNTRY)
        .and_then(|value| value.to_str().ok());
    country.and_then(market_of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_be_stored_is_refused() {
        let later = [
            ErrorKind::NotFound,
            ErrorKind::Timeout,
            ErrorKind::Cancelled,
            ErrorKind::Throttled,
            ErrorKind::Unavailable,
            ErrorKind::Corrupt,
        ];
        assert!(later.into_iter().all(|kind| code_of(kind) == RETRY));
        assert_eq!(code_of(ErrorKind::Invalid), "refused");
    }
}
