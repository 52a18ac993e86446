//! The way of every request for a slate.

use std::time::Duration;

use axum::body::Body as Posted;
use axum::response::Response;
use guard::{Deadline, Now};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use store::{Answer, Ask, Kind, Tuning};
use web::{Caller, Cursor, Decimal, Prefix, Problem, ServerTiming};

use crate::app::App;
use crate::request::SlateRequest;
use crate::respond::respond;
use crate::turn::{AtHand, Body, Turn};

const X_AGE_MS: HeaderName = HeaderName::from_static("x-age-ms");

/// Answers with a page of the slate that was asked for.
pub(crate) async fn serve(
    app: &App,
    kind: Kind,
    asked: SlateRequest,
    parts: &Parts,
) -> Result<Response, Problem> {
    let (tuning, prefix, began) = (app.tuning(), app.prefix(parts), app.clock.now());
    let visit = Visit {
        app,
        asked: &asked,
        parts,
        tuning: &tuning,
        prefix,
        began,
    };
    let cursor = visit.check()?;
    app.limits.take(began, &tuning, prefix, asked.user())?;
    visit.answer(kind, cursor.as_ref()).await
}

/// As [`serve`] for a body that may be read now, because the limits of whoever sends it let it in.
pub(crate) async fn serve_posted(
    app: &App,
    kind: Kind,
    parts: &Parts,
    body: Posted,
) -> Result<Response, Problem> {
    let (tuning, prefix) = (app.tuning(), app.prefix(parts));
    app.limits
        .take_before_body(app.clock.now(), &tuning, prefix)?;
    let deadline = app.body_deadline(&parts.extensions);
    let asked = SlateRequest::of_body(parts, body, &deadline).await?;
    let began = app.clock.now();
    let visit = Visit {
        app,
        asked: &asked,
        parts,
        tuning: &tuning,
        prefix,
        began,
    };
    let cursor = visit.check()?;
    app.limits.take_after_body(began, asked.user())?;
    visit.answer(kind, cursor.as_ref()).await
}

/// One request that was read.
struct Visit<'a> {
    app: &'a App,
    asked: &'a SlateRequest,
    parts: &'a Parts,
    tuning: &'a Tuning,
    prefix: Option<Prefix>,
    began: Now,
}

impl<'a> Visit<'a> {
    /// Whether the caller may ask this; what its cursor says.
    fn check(&self) -> Result<Option<Cursor>, Problem> {
        if let Some(user) = self.asked.user() {
            Caller::of(&self.parts.extensions).may_act_for(user)?;
        }
        let opened = self.asked.cursor.as_ref().map(|text| {
            Cursor::open(text, &self.app.signer, self.began.wall_ms)
                .ok_or_else(|| Problem::field("cursor"))
        });
        opened.transpose()
    }

    /// Answers what the limits let in. The usual case is a page that was rendered a moment ago: it is
    /// handed out at once, so it needs no deadline and nobody can leave before it is there.
    async fn answer(&self, kind: Kind, cursor: Option<&'a Cursor>) -> Result<Response, Problem> {
        let turn = self.turn(kind, cursor);
        let found = turn.at_hand(self.began);
        if let Some((answer, body)) = turn.rendered_at_hand(&found) {
            // It takes no seat: to refuse it would cost as much as handing it out.
            return Ok(self.respond(answer, body));
        }
        // On the heap, so that the usual case does not carry the room that this needs.
        Box::pin(self.work(&turn, found)).await
    }

    fn turn(&self, kind: Kind, cursor: Option<&'a Cursor>) -> Turn<'a> {
        let Self {
            app, asked, tuning, ..
        } = *self;
        let number = app.ids.number();
        let ask = Ask {
            network: self.prefix.map(|Prefix(network)| network),
            ..asked.ask(kind, number as u64)
        };
        let ask = app.tiered.canonical(ask, tuning);
        Turn {
            app,
            asked,
            key: ask.key(),
            ask,
            tuning,
            number,
            cursor,
            now_ms: self.began.wall_ms,
        }
    }

    /// Answers what has to be waited for, or worked for.
    async fn work(&self, turn: &Turn<'_>, found: AtHand) -> Result<Response, Problem> {
        let deadline = self.app.deadline(self.tuning, &self.parts.extensions);
        let _with_us = CancelOnDrop(&deadline);
        let limits = &self.app.limits;
        let at_work = limits.enter(&self.tuning.guard, &deadline).await?;
        let (answer, body) = turn.take(found, &deadline).await?;
        at_work.done();
        Ok(self.respond(&answer, body))
    }

    fn respond(&self, answer: &Answer, body: Body) -> Response {
        let mut response = respond(body.bytes, body.tag, body.freshness, &self.parts.headers);
        let took = self.app.clock.now().mono.saturating_sub(self.began.mono);
        stamp(response.headers_mut(), answer, took);
        response
    }
}

/// Cancels what still works for a client that went away; changes nothing after an answer.
struct CancelOnDrop<'a>(&'a Deadline);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Writes what depends on this very request.
fn stamp(headers: &mut HeaderMap, answer: &Answer, took: Duration) {
    headers.insert(X_AGE_MS, number(answer.age_ms));
    let mut timing = ServerTiming::default();
    for stage in &answer.stages {
        timing.add(stage.name, stage.micros);
    }
    timing.add("total", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    timing.write(headers);
}

/// A number as a header, in one allocation of its size.
fn number(number: u64) -> HeaderValue {
    let digits = Decimal::of(number, 1);
    HeaderValue::from_bytes(digits.as_bytes()).unwrap_or(HeaderValue::from_static("0"))
}
