//! One answer: the slate, the page that is cut from it, and what is told of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::pipeline::Explained;
use engine::{Slate, VideoId};
use guard::{Deadline, Now};
use ops::metric;
use store::{Answer, Ask, SlateKey, Tuning};
use tracing::{Instrument, debug_span};
use web::{Cursor, ETag, Freshness, Problem};

use crate::app::App;
use crate::page::{LeftOut, cut};
use crate::pages::{PageKey, Rendered, RenderedPage};
use crate::probe::{is_due, probe};
use crate::request::SlateRequest;
use crate::source::Source;

/// A rendered page.
pub(crate) struct Body {
    pub bytes: Bytes,
    /// Its tag, where it is known.
    pub tag: Option<ETag>,
    pub freshness: Freshness,
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

/// What can be said without waiting.
#[derive(Default)]
pub(crate) struct AtHand {
    hidden: Option<Arc<HashSet<VideoId>>>,
    answer: Option<Answer>,
}

impl Turn<'_> {
    /// Looks at what is in this process.
    pub fn at_hand(&self, now: Now) -> AtHand {
        if self.asked.explain {
            return AtHand::default();
        }
        let Self { app, ask, key, .. } = self;
        let hidden = debug_span!("hidden").in_scope(|| app.catalogue.hidden_at_hand(now));
        let answer = debug_span!("slate").in_scope(|| app.tiered.at_hand(ask, *key, now));
        AtHand { hidden, answer }
    }

    /// The page, if it was rendered a moment ago and is not one to be compared.
    pub fn rendered_at_hand<'f>(&self, found: &'f AtHand) -> Option<(&'f Answer, Body)> {
        let (answer, hidden) = (found.answer.as_ref()?, found.hidden.as_ref()?);
        if is_due(&self.ask, self.number) {
            return None;
        }
        let page = self.rendered(answer, hidden)?;
        Some((answer, self.hand_out(&page, answer)))
    }

    /// Gets what was not at hand, and makes the page of it.
    pub async fn take(
        &self,
        found: AtHand,
        deadline: &Deadline,
    ) -> Result<(Answer, Body), Problem> {
        let Self { app, ask, key, .. } = self;
        let hidden = match found.hidden {
            Some(hidden) => hidden,
            None => {
                let hidden = app.catalogue.hidden(deadline);
                hidden.instrument(debug_span!("hidden")).await
            }
        };
        let span = debug_span!("slate");
        if self.asked.explain {
            let explained = app.tiered.explain(ask.clone(), deadline);
            let explained = explained.instrument(span).await;
            return self.page(explained, &hidden, deadline).await;
        }
        let answer = match found.answer {
            Some(answer) => answer,
            None => {
                let fetched = app.tiered.fetch(ask, *key, deadline);
                fetched.instrument(span).await
            }
        };
        let Some(page) = self.rendered(&answer, &hidden) else {
            return self.page((answer, Vec::new()), &hidden, deadline).await;
        };
        if is_due(ask, self.number) {
            let page = page.of(&answer.slate);
            probe(app, ask, &page, self.number, deadline).await;
        }
        let body = self.hand_out(&page, &answer);
        Ok((answer, body))
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
    fn rendered(
        &self,
        answer: &Answer,
        hidden: &Arc<HashSet<VideoId>>,
    ) -> Option<Arc<RenderedPage>> {
        self.app.pages.find(self.page_key()?, &answer.slate, hidden)
    }

    /// Hands it out once more: its slate stays for those who read on, and it is told of.
    fn hand_out(&self, page: &RenderedPage, answer: &Answer) -> Body {
        let (app, slate) = (self.app, &answer.slate);
        if page.next.is_some() {
            app.reading.keep_on(&page.kept, || {
                (self.key.0, Cursor::slate_hash(&slate.slate_id), slate)
            });
        }
        self.tell(page.told.as_ref().map(|told| self.told_here(told)));
        count(app, slate, answer);
        Body {
            bytes: page.bytes.clone(),
            tag: Some(page.tag.clone()),
            freshness: self.freshness(slate, false),
        }
    }
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
