//! A page's JSON, its cursor and tokens, and who may keep it.

use std::sync::Arc;

use engine::pipeline::Explained;
use engine::{Item, Rung, Slate, StageReport, UserState};
use smol_str::SmolStr;
use store::outbox::{ServedAnswer, ServedPage};
use web::{Audience, Cursor, Freshness, ItemToken, Problem};

use crate::answer::{AnswerExplain, AnswerItem, ItemExplain, SlateAnswer};
use crate::page::Page;
use crate::request::SlateRequest;
use crate::source::Source;
use crate::splice::{splice, whole};
use crate::turn::Turn;

/// What a page with fewer items than asked for says.
const SIZE_NOT_ENOUGH: &str = "size_not_enough";

impl Turn<'_> {
    /// A short last page is only the end; a short first one is less than was asked for.
    pub fn is_short(&self, page: &Page<'_>) -> bool {
        self.cursor.is_none() && page.items.len() < self.asked.limit
    }

    /// Writes the page.
    pub fn render(
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
        let token = |place: u16, item: &Item| {
            let id = &slate.slate_id;
            ItemToken::mint(signer, id, place, &item.video_id, "", audience, self.now_ms)
        };
        answer.next_cursor = page
            .next
            .map(|position| self.next_cursor(slate, page, position));
        let items = page.items.iter();
        let written = match explained {
            None => splice(
                &answer,
                items.map(|(place, item)| (*item, token(*place, item))),
            ),
            Some(explained) => {
                answer.explain = Some(AnswerExplain::of(stages));
                whole(
                    answer,
                    items.map(|(place, item)| AnswerItem {
                        explain: explained.get(usize::from(*place)).map(ItemExplain::of),
                        ..AnswerItem::of(item, token(*place, item))
                    }),
                )
            }
        };
        written.map_err(|_| Problem::internal())
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

    /// What is told of a user's page; the scene is the one that the slate was made for.
    pub fn told(&self, slate: &Slate, page: &Page<'_>) -> Option<Arc<ServedPage>> {
        let user = self.asked.user()?;
        let SlateRequest { market, .. } = self.asked;
        Some(Arc::new(ServedPage {
            user_id: user.clone(),
            slate_id: slate.slate_id.clone(),
            scene: self.ask.scene.clone(),
            market: market.clone(),
            arms: SmolStr::default(),
            generation: slate.generation.clone(),
            items: page.told(),
        }))
    }

    /// The same page as told from the market of this request: pages are kept by the one that is known.
    pub fn told_here(&self, told: &Arc<ServedPage>) -> Arc<ServedPage> {
        let market = &self.asked.market;
        if told.market == *market {
            return Arc::clone(told);
        }
        Arc::new(ServedPage {
            market: market.clone(),
            ..ServedPage::clone(told)
        })
    }

    /// Tells of a page; nobody waits for it, and what does not fit is lost and counted.
    pub fn tell(&self, page: Option<Arc<ServedPage>>) {
        if let Some(page) = page {
            self.app.outbox.offer(ServedAnswer {
                number: self.number,
                ts_ms: self.now_ms,
                page,
            });
        }
    }

    /// Who may keep the answer; `lost` says that it is not from the slate that was asked for.
    pub fn freshness(&self, slate: &Slate, lost: bool) -> Freshness {
        let asked = self.asked;
        let harmless = |cause: &SmolStr| cause == SIZE_NOT_ENOUGH || cause == "all_seen";
        let whole = slate.rung != Rung::Builtin && slate.degraded.iter().all(harmless);
        if asked.explain {
            Freshness::NoStore
        } else if asked.user().is_some() || !asked.session.is_empty() {
            Freshness::Private
        } else if lost || !whole {
            Freshness::SharedDegraded
        } else {
            Freshness::Shared
        }
    }
}
