//! The way of every request for a slate.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use engine::pipeline::Explained;
use engine::{Rung, Slate, StageReport, UserId, UserState};
use guard::Deadline;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use ops::metric;
use smol_str::SmolStr;
use store::{Answer, Ask, Kind, Read, SlateKey};
use tracing::{Instrument, debug_span};
use web::{Audience, Caller, Cursor, Freshness, ItemToken, Problem, ServerTiming};

use crate::answer::{AnswerExplain, AnswerItem, ItemExplain, SlateAnswer};
use crate::app::App;
use crate::page::{LeftOut, OwnHides, Page, cut};
use crate::request::SlateRequest;
use crate::respond::respond;
use crate::served::Served;

/// What a page with fewer items than asked for says.
const SIZE_NOT_ENOUGH: &str = "size_not_enough";
const X_AGE_MS: HeaderName = HeaderName::from_static("x-age-ms");

/// Answers with a page of the slate that was asked for.
pub(crate) async fn serve(
    app: &App,
    kind: Kind,
    asked: SlateRequest,
    parts: &Parts,
) -> Result<Response, Problem> {
    let started = app.clock.now();
    if let Some(user) = asked.user() {
        Caller::of(&parts.extensions).may_act_for(user)?;
    }
    let cursor = open_cursor(app, &asked, started.wall_ms)?;
    let tuning = app.tuning();
    app.limits
        .take(&tuning.guard.limits, app.prefix(parts), asked.user())?;

    let deadline = app.deadline(&tuning, &parts.extensions);
    let _with_us = CancelOnDrop(&deadline);
    let number = app.ids.number();
    let ask = asked.ask(kind, number as u64);
    let turn = Turn {
        app,
        asked: &asked,
        key: ask.key(),
        cursor: cursor.as_ref(),
        now_ms: started.wall_ms,
    };
    let (answer, body) = turn.take(ask, number, &deadline).await?;

    let freshness = body.freshness;
    let mut response = respond(body.bytes, freshness, &parts.headers);
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

/// What a page is cut from.
struct Source {
    slate: Arc<Slate>,
    from: u16,
    /// The slate that the cursor was cut from is gone.
    lost: bool,
    /// What the user hid since the slate was made.
    own: Option<OwnHides>,
}

impl Source {
    fn fresh(answer: &Answer) -> Self {
        Self {
            slate: Arc::clone(&answer.slate),
            from: 0,
            lost: false,
            own: None,
        }
    }
}

async fn own_hides(app: &App, user: &UserId, deadline: &Deadline) -> Option<OwnHides> {
    let one = std::slice::from_ref(user);
    let found = app.users.load(one, Read::Eventual, deadline).await.ok()?;
    let UserState {
        hidden_videos,
        hidden_creators,
        ..
    } = found.into_iter().flatten().next()?;
    let index = app.generations.current();
    Some(OwnHides {
        videos: hidden_videos,
        creators: hidden_creators,
        index,
    })
}

/// A rendered page.
struct Body {
    bytes: Vec<u8>,
    freshness: Freshness,
}

/// What the parts of one answer share.
struct Turn<'a> {
    app: &'a App,
    asked: &'a SlateRequest,
    key: SlateKey,
    cursor: Option<&'a Cursor>,
    now_ms: i64,
}

impl Turn<'_> {
    async fn take(
        &self,
        ask: Ask,
        number: u128,
        deadline: &Deadline,
    ) -> Result<(Answer, Body), Problem> {
        let Self { app, asked, .. } = *self;
        let hidden = app
            .catalogue
            .hidden(deadline)
            .instrument(debug_span!("hidden"))
            .await;
        let (mut answer, mut explained) = self.slate(ask.clone(), deadline).await;
        let mut source = self.source(&answer, deadline).await;
        let mut left_out = LeftOut {
            exclude: asked.exclude.iter().collect(),
            hidden: Some(&hidden),
            cursor: self.cursor,
            own: source.own.take(),
        };
        let mut page = cut(&source.slate, source.from, asked.limit, &left_out);
        if page.excluded && self.is_short(&page) {
            // Made again for this request alone, by a pipeline that knows what not to propose.
            // Another seed gives it a name of its own.
            let (exclude, seed) = (asked.exclude.clone(), !ask.seed);
            let ask = Ask {
                exclude,
                seed,
                ..ask
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
        if let Some(user) = asked.user() {
            self.served(user, &source.slate, number)
                .offer(&page, &app.outbox);
        }
        count(&source.slate, &answer);
        let freshness = self.freshness(&source);
        Ok((answer, Body { bytes, freshness }))
    }

    async fn slate(&self, ask: Ask, deadline: &Deadline) -> (Answer, Vec<Explained>) {
        let tiered = &self.app.tiered;
        let span = debug_span!("slate");
        if self.asked.explain {
            tiered.explain(ask, deadline).instrument(span).await
        } else {
            (
                tiered.slate(ask, deadline).instrument(span).await,
                Vec::new(),
            )
        }
    }

    /// The slate of the cursor where the cursor says; without one the fresh slate from the start.
    async fn source(&self, answer: &Answer, deadline: &Deadline) -> Source {
        let fresh = Source::fresh(answer);
        let Some(cursor) = self.cursor else {
            return fresh;
        };
        let same_question = cursor.slate_key == self.key.0;
        if same_question && Cursor::slate_hash(&fresh.slate.slate_id) == cursor.slate_hash {
            return Source {
                from: cursor.position,
                ..fresh
            };
        }
        let kept = self.app.reading.find(cursor.slate_key, cursor.slate_hash);
        match kept.filter(|_| same_question) {
            Some(slate) => {
                // The user may have hidden something since.
                let changed = slate.user_version != fresh.slate.user_version;
                let own = match self.asked.user().filter(|_| changed) {
                    Some(user) => own_hides(self.app, user, deadline).await,
                    None => None,
                };
                Source {
                    slate,
                    from: cursor.position,
                    lost: false,
                    own,
                }
            }
            None => Source {
                lost: true,
                ..fresh
            },
        }
    }

    /// A short last page is only the end; a short first one is less than was asked for.
    fn is_short(&self, page: &Page<'_>) -> bool {
        self.cursor.is_none() && page.items.len() < self.asked.limit
    }

    fn render(
        &self,
        source: &Source,
        page: &Page<'_>,
        explained: Option<&[Explained]>,
        stages: &[StageReport],
    ) -> Result<Vec<u8>, Problem> {
        let slate = &source.slate;
        let mut answer = SlateAnswer::of(slate, &self.asked.scene);
        // Of the slate it says that there are fewer than 200; of a page it says that it is short.
        answer.degraded.retain(|cause| cause != SIZE_NOT_ENOUGH);
        if self.is_short(page) {
            answer.degrade(SIZE_NOT_ENOUGH);
        }
        if source.lost {
            answer.degrade("slate_lost");
        }
        let signer = &self.app.signer;
        let audience = Audience::of(self.asked.user(), signer);
        let items = page.items.iter().map(|(place, item)| {
            let id = &slate.slate_id;
            let token = ItemToken::mint(signer, id, *place, &item.video_id, "", audience, self.now_ms);
            let how = explained.and_then(|all| all.get(usize::from(*place)));
            AnswerItem {
                explain: how.map(ItemExplain::of),
                ..AnswerItem::of(item, token)
            }
        });
        answer.items = items.collect();
        answer.explain = explained.map(|_| AnswerExplain::of(stages));
        answer.next_cursor = page
            .next
            .map(|position| self.next_cursor(slate, page, position));
        serde_json::to_vec(&answer).map_err(|_| Problem::internal())
    }

    fn next_cursor(&self, slate: &Arc<Slate>, page: &Page<'_>, position: u16) -> String {
        let slate_hash = Cursor::slate_hash(&slate.slate_id);
        self.app.reading.keep(self.key.0, slate_hash, slate);
        let before = self
            .cursor
            .map(|cursor| cursor.served.clone())
            .unwrap_or_default();
        let now = page
            .items
            .iter()
            .map(|(_, item)| UserState::seen_hash(item.video_id.as_str()));
        let cursor = Cursor {
            slate_key: self.key.0,
            slate_hash,
            position,
            issued_ms: Cursor::issued(self.now_ms),
            served: before.into_iter().chain(now).collect(),
        };
        cursor.seal(&self.app.signer)
    }

    fn served<'s>(&'s self, user: &'s UserId, slate: &'s Slate, answer: u128) -> Served<'s> {
        let SlateRequest { scene, market, .. } = self.asked;
        Served {
            user,
            slate_id: &slate.slate_id,
            scene,
            market,
            ts_ms: self.now_ms,
            answer,
        }
    }

    /// Who may keep the answer.
    fn freshness(&self, source: &Source) -> Freshness {
        let (asked, slate) = (self.asked, &source.slate);
        let harmless = |cause: &SmolStr| cause == SIZE_NOT_ENOUGH || cause == "all_seen";
        let whole = slate.rung != Rung::Builtin && slate.degraded.iter().all(harmless);
        if asked.explain {
            Freshness::NoStore
        } else if asked.user().is_some() || !asked.session.is_empty() {
            Freshness::Private
        } else if source.lost || !whole {
            Freshness::SharedDegraded
        } else {
            Freshness::Shared
        }
    }
}

/// Writes what depends on this very request.
fn stamp(headers: &mut HeaderMap, answer: &Answer, took: Duration) {
    headers.insert(X_AGE_MS, HeaderValue::from(answer.age_ms));
    let mut timing = ServerTiming::default();
    for stage in &answer.stages {
        timing.add(stage.name, stage.micros);
    }
    timing.add("total", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    timing.write(headers);
}

fn count(slate: &Slate, answer: &Answer) {
    metrics::counter!(metric::SLATES, "rung" => slate.rung.as_str()).increment(1);
    for cause in &slate.degraded {
        metrics::counter!(metric::DEGRADED, "cause" => cause.to_string()).increment(1);
    }
    for stage in &answer.stages {
        let took = Duration::from_micros(stage.micros).as_secs_f64();
        metrics::histogram!(metric::STAGE_SECONDS, "stage" => stage.name).record(took);
    }
}
