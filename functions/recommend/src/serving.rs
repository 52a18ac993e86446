//! The way of every request for a slate.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as Posted;
use axum::response::Response;
use bytes::Bytes;
use engine::pipeline::Explained;
use engine::{Slate, UserId, VideoId};
use guard::Deadline;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use ops::metric;
use store::{Answer, Ask, Kind, SlateKey, Tuning};
use tracing::{Instrument, debug_span};
use web::{Caller, Cursor, ETag, Freshness, Prefix, Problem, ServerTiming};

use crate::app::App;
use crate::page::{LeftOut, cut};
use crate::pages::{PageKey, Rendered};
use crate::probe::{is_due, probe};
use crate::request::SlateRequest;
use crate::respond::respond;
use crate::source::Source;

const X_AGE_MS: HeaderName = HeaderName::from_static("x-age-ms");

/// Answers with a page of the slate that was asked for.
pub(crate) async fn serve(
    app: &App,
    kind: Kind,
    asked: SlateRequest,
    parts: &Parts,
) -> Result<Response, Problem> {
    let tuning = app.tuning();
    let limits = |user: Option<&UserId>| app.limits.take(&tuning, app.prefix(parts), user);
    serve_within(app, kind, asked, parts, &tuning, limits).await
}

/// As [`serve`] for a body that may be read now, because the limits of whoever sends it let it in.
pub(crate) async fn serve_posted(
    app: &App,
    kind: Kind,
    parts: &Parts,
    body: Posted,
) -> Result<Response, Problem> {
    let tuning = app.tuning();
    app.limits.take_before_body(&tuning, app.prefix(parts))?;
    let deadline = app.body_deadline(&parts.extensions);
    let asked = SlateRequest::of_body(parts, body, &deadline).await?;
    let limits = |user: Option<&UserId>| app.limits.take_after_body(user);
    serve_within(app, kind, asked, parts, &tuning, limits).await
}

/// Answers under this tuning what its limits let in.
async fn serve_within(
    app: &App,
    kind: Kind,
    asked: SlateRequest,
    parts: &Parts,
    tuning: &Tuning,
    limits: impl FnOnce(Option<&UserId>) -> Result<(), Problem>,
) -> Result<Response, Problem> {
    let started = app.clock.now();
    if let Some(user) = asked.user() {
        Caller::of(&parts.extensions).may_act_for(user)?;
    }
    let cursor = open_cursor(app, &asked, started.wall_ms)?;
    limits(asked.user())?;

    let prefix = app.prefix(parts);
    let deadline = app.deadline(tuning, &parts.extensions);
    let _with_us = CancelOnDrop(&deadline);
    let at_work = app.limits.enter(&tuning.guard, &deadline).await?;
    let number = app.ids.number();
    let ask = Ask {
        network: prefix.map(|Prefix(network)| network),
        ..asked.ask(kind, number as u64)
    };
    let ask = app.tiered.canonical(ask, tuning);
    let turn = Turn {
        app,
        asked: &asked,
        key: ask.key(),
        ask,
        tuning,
        number,
        cursor: cursor.as_ref(),
        now_ms: started.wall_ms,
    };
    let (answer, body) = turn.take(&deadline).await?;
    at_work.done();

    let freshness = body.freshness;
    let mut response = respond(body.bytes, body.tag, freshness, &parts.headers);
    let took = app.clock.now().mono.saturating_sub(started.mono);
    stamp(response.headers_mut(), &answer, took);
    Ok(response)
}

/// Cancels what still works for a client that went away; changes nothing after an answer.
struct CancelOnDrop<'a>(&'a Deadline);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn open_cursor(app: &App, asked: &SlateRequest, now_ms: i64) -> Result<Option<Cursor>, Problem> {
    let opened = asked.cursor.as_ref().map(|text| {
        Cursor::open(text, &app.signer, now_ms).ok_or_else(|| Problem::field("cursor"))
    });
    opened.transpose()
}

/// A rendered page.
struct Body {
    bytes: Bytes,
    /// Its tag, where it is known.
    tag: Option<ETag>,
    freshness: Freshness,
}

/// What the parts of one answer share.
pub(crate) struct Turn<'a> {
    pub app: &'a App,
    pub asked: &'a SlateRequest,
    pub ask: Ask,
    pub key: SlateKey,
    pub tuning: &'a Tuning,
    /// Differs for every answer.
    pub number: u128,
    pub cursor: Option<&'a Cursor>,
    pub now_ms: i64,
}

impl Turn<'_> {
    /// The usual case is a page that was rendered a moment ago. The others lie on the heap, so that
    /// it does not carry the room that they need.
    async fn take(&self, deadline: &Deadline) -> Result<(Answer, Body), Problem> {
        let tiered = &self.app.tiered;
        let hidden = self
            .app
            .catalogue
            .hidden(deadline)
            .instrument(debug_span!("hidden"))
            .await;
        let span = debug_span!("slate");
        if self.asked.explain {
            let explained = tiered.explain(self.ask.clone(), deadline).instrument(span);
            let explained = Box::pin(explained).await;
            return Box::pin(self.page(explained, &hidden, deadline)).await;
        }
        let slate = tiered.slate_of(&self.ask, self.key, deadline);
        let answer = slate.instrument(span).await;
        match self.rendered(&answer, &hidden, deadline).await {
            Some(body) => Ok((answer, body)),
            None => Box::pin(self.page((answer, Vec::new()), &hidden, deadline)).await,
        }
    }

    /// A page that is cut and written for this request.
    async fn page(
        &self,
        (mut answer, mut explained): (Answer, Vec<Explained>),
        hidden: &Arc<HashSet<VideoId>>,
        deadline: &Deadline,
    ) -> Result<(Answer, Body), Problem> {
        let Self { app, asked, .. } = *self;
        let mut source = self.source(&answer, deadline).await;
        let mut left_out = LeftOut {
            exclude: asked.exclude.iter().collect(),
            hidden: Some(hidden),
            cursor: self.cursor,
            own: source.own.take(),
        };
        let mut page = cut(&source.slate, source.from, asked.limit, &left_out);
        if page.excluded && self.is_short(&page) {
            // Made again for this request alone, by a pipeline that knows what not to propose.
            // Another seed gives it a name of its own.
            let ask = Ask {
                exclude: asked.exclude.clone(),
                seed: !self.ask.seed,
                ..self.ask.clone()
            };
            (answer, explained) = app.tiered.explain(ask, deadline).await;
            source = Source::fresh(&answer);
            left_out.own = None;
            page = cut(&source.slate, source.from, asked.limit, &left_out);
        }
        let explained = explained.as_slice();
        let explained =
            (asked.explain && Arc::ptr_eq(&source.slate, &answer.slate)).then_some(explained);
        let bytes = self.render(&source, &page, explained, &answer.stages)?;
        let (bytes, told) = (Bytes::from(bytes), self.told(&source.slate, &page));
        let tag = self
            .page_key()
            .filter(|_| Arc::ptr_eq(&source.slate, &answer.slate))
            .map(|key| {
                let rendered = Rendered {
                    bytes: bytes.clone(),
                    tag: ETag::of(&bytes),
                    next: page.next,
                    places: page.items.iter().map(|(place, _)| *place).collect(),
                    told: told.clone(),
                };
                let tag = rendered.tag.clone();
                app.pages.keep(key, &source.slate, hidden, rendered);
                tag
            });
        self.tell(told);
        count(app, &source.slate, &answer);
        probe(app, &self.ask, &page, self.number, deadline).await;
        let freshness = self.freshness(&source.slate, source.lost);
        let body = Body {
            bytes,
            tag,
            freshness,
        };
        Ok((answer, body))
    }

    /// What a first page is kept under; none for pages that only this request is given.
    fn page_key(&self) -> Option<PageKey> {
        let asked = self.asked;
        // The answer names the scene that was asked for, the key the one that there is.
        let own = self.cursor.is_some()
            || asked.explain
            || !asked.exclude.is_empty()
            || asked.scene != self.ask.scene;
        (!own).then(|| PageKey {
            slate_key: self.key.0,
            limit: asked.limit,
            issued_ms: Cursor::issued(self.now_ms),
        })
    }

    /// The same page as a moment ago, of the same slate.
    async fn rendered(
        &self,
        answer: &Answer,
        hidden: &Arc<HashSet<VideoId>>,
        deadline: &Deadline,
    ) -> Option<Body> {
        let (app, slate) = (self.app, &answer.slate);
        let found = app.pages.find(self.page_key()?, slate, hidden)?;
        if found.next.is_some() {
            app.reading.keep_on(&found.kept, || {
                (self.key.0, Cursor::slate_hash(&slate.slate_id), slate)
            });
        }
        self.tell(found.told.as_ref().map(|told| self.told_here(told)));
        if is_due(&self.ask, self.number) {
            let page = found.of(slate);
            Box::pin(probe(app, &self.ask, &page, self.number, deadline)).await;
        }
        count(app, slate, answer);
        Some(Body {
            bytes: found.bytes.clone(),
            tag: Some(found.tag.clone()),
            freshness: self.freshness(slate, false),
        })
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
    let mut digits = [0; 20];
    let mut room = digits.as_mut_slice();
    // Twenty digits are enough for every number.
    let _ = write!(room, "{number}");
    let left = room.len();
    let text = digits.get(..digits.len() - left).unwrap_or_default();
    HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("0"))
}

fn count(app: &App, slate: &Slate, answer: &Answer) {
    if let Some(counter) = app.slates.get(slate.rung as usize) {
        counter.increment(1);
    }
    for cause in &slate.degraded {
        metrics::counter!(metric::DEGRADED, "cause" => cause.to_string()).increment(1);
    }
    for stage in &answer.stages {
        let took = Duration::from_micros(stage.micros).as_secs_f64();
        metrics::histogram!(metric::STAGE_SECONDS, "stage" => stage.name).record(took);
    }
}
