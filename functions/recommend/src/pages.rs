//! First pages that were rendered a moment ago.
//!
//! A page's bytes follow from its slate, the question, the limit, what is hidden, and the step of time
//! that its cursor carries. While all of these are the same, so are the bytes: nothing is cut, signed,
//! rendered or hashed again, and looking costs no lock and no allocation.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use engine::{Item, Rung, Slate, VideoId};
use smol_str::SmolStr;
use store::outbox::ServedPage;
use web::ETag;

use crate::page::Page;
use crate::reading::Kept;

/// Pages that are kept; another one that falls on the same place replaces what is there.
const PLACES: usize = 4_096;
/// A page larger than this is not kept.
const PAGE_BYTES_MAX: usize = 16 * 1_024;

/// What a page is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageKey {
    /// The question; names its user, too.
    pub slate_key: u128,
    /// Items on the page.
    pub limit: usize,
    /// The step of time that its cursor carries, Unix time in milliseconds.
    pub issued_ms: i64,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Its JSON.
    pub bytes: Bytes,
    /// Its tag.
    pub tag: ETag,
    /// Where the next page starts.
    pub next: Option<u16>,
    /// Places of its items in the slate.
    pub places: Vec<u16>,
    /// What is told of it, where it is a user's.
    pub told: Option<Arc<ServedPage>>,
}

/// A page that is kept.
#[derive(Debug)]
pub(crate) struct RenderedPage {
    key: PageKey,
    /// Weak, so that a page keeps no slate in memory; as long as it is there, no other slate's can have
    /// the same address.
    items: Weak<[Item]>,
    /// What the same items are said with: a stale answer is made anew for every request.
    words: Words,
    /// Weak for the same reason: what is hidden may be a large list, and is a new one now and then.
    hidden: Weak<HashSet<VideoId>>,
    /// Whether its slate is kept for those who read on.
    pub kept: Kept,
    rendered: Rendered,
}

/// What may differ between slates of the same items.
#[derive(Debug)]
struct Words {
    slate_id: SmolStr,
    rung: Rung,
    degraded: Vec<SmolStr>,
}

impl Words {
    fn of(slate: &Slate) -> Self {
        Self {
            slate_id: slate.slate_id.clone(),
            rung: slate.rung,
            degraded: slate.degraded.clone(),
        }
    }

    fn are_of(&self, slate: &Slate) -> bool {
        self.rung == slate.rung
            && self.slate_id == slate.slate_id
            && self.degraded == slate.degraded
    }
}

/// Keeps up to [`PLACES`] pages of at most [`PAGE_BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct Pages {
    places: Box<[ArcSwapOption<RenderedPage>]>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| ArcSwapOption::empty()).collect(),
        }
    }
}

impl Pages {
    /// The page of this slate, if it is kept.
    pub fn find(
        &self,
        key: PageKey,
        slate: &Arc<Slate>,
        hidden: &Arc<HashSet<VideoId>>,
    ) -> Option<Arc<RenderedPage>> {
        let found = self.place(key)?.load();
        let found = found.as_ref()?;
        let same = found.key == key
            && std::ptr::addr_eq(found.items.as_ptr(), Arc::as_ptr(&slate.items))
            && found.words.are_of(slate)
            && std::ptr::eq(found.hidden.as_ptr(), Arc::as_ptr(hidden));
        same.then(|| Arc::clone(found))
    }

    /// Keeps a page that was cut from the start of this slate.
    pub fn keep(
        &self,
        key: PageKey,
        slate: &Arc<Slate>,
        hidden: &Arc<HashSet<VideoId>>,
        rendered: Rendered,
    ) {
        let small = rendered.bytes.len() <= PAGE_BYTES_MAX;
        let Some(place) = self.place(key).filter(|_| small) else {
            return;
        };
        place.store(Some(Arc::new(RenderedPage {
            key,
            items: Arc::downgrade(&slate.items),
            words: Words::of(slate),
            hidden: Arc::downgrade(hidden),
            kept: Kept::default(),
            rendered,
        })));
    }

    fn place(&self, key: PageKey) -> Option<&ArcSwapOption<RenderedPage>> {
        // The key of a slate is a hash already.
        let spread = (key.slate_key as usize).wrapping_add(key.limit);
        self.places.get(spread % PLACES)
    }
}

impl RenderedPage {
    /// The page itself, for those who look at its items.
    pub fn of<'s>(&self, slate: &'s Slate) -> Page<'s> {
        let item = |place: &u16| Some((*place, slate.items.get(usize::from(*place))?));
        Page {
            items: self.places.iter().filter_map(item).collect(),
            next: self.next,
            excluded: false,
        }
    }
}

impl Deref for RenderedPage {
    type Target = Rendered;

    fn deref(&self) -> &Rendered {
        &self.rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slate() -> Arc<Slate> {
        let item = Item {
            video_id: VideoId::parse("v").unwrap(),
            score: 1.0,
            sources: Vec::new(),
            reason: engine::Reason {
                kind: engine::ReasonKind::Latest,
                because: Vec::new(),
            },
            propensity: 1.0,
        };
        Arc::new(Slate {
            slate_id: "s".into(),
            generation: "g".into(),
            user_version: 0,
            rung: Rung::Personal,
            cohort: None,
            degraded: Vec::new(),
            items: Arc::new([item]),
        })
    }

    #[test]
    fn a_page_is_found_only_while_all_that_it_follows_from_is_the_same() {
        let (pages, hidden, one) = (Pages::default(), Arc::default(), slate());
        let key = PageKey {
            slate_key: 5,
            limit: 20,
            issued_ms: 1,
        };
        let body = Bytes::from_static(b"{}");
        let rendered = Rendered {
            tag: ETag::of(&body),
            bytes: body.clone(),
            next: Some(3),
            places: Vec::new(),
            told: None,
        };
        pages.keep(key, &one, &hidden, rendered);
        assert_eq!(pages.find(key, &one, &hidden).unwrap().bytes, body);
        let others = [
            PageKey {
                slate_key: 5 + PLACES as u128,
                ..key
            },
            PageKey { limit: 21, ..key },
            PageKey {
                issued_ms: 2,
                ..key
            },
        ];
        for other in others {
            assert!(pages.find(other, &one, &hidden).is_none(), "{other:?}");
        }
        assert!(
            pages.find(key, &slate(), &hidden).is_none(),
            "another slate"
        );
        let said_again = Arc::new(Slate::clone(&one));
        assert!(pages.find(key, &said_again, &hidden).is_some());
        let otherwise: [fn(&mut Slate); 3] = [
            |slate| slate.rung = Rung::Stale,
            |slate| slate.degraded.push("overloaded".into()),
            |slate| slate.slate_id = "t".into(),
        ];
        for change in otherwise {
            let mut slate = Slate::clone(&one);
            change(&mut slate);
            assert!(pages.find(key, &Arc::new(slate), &hidden).is_none());
        }
        let more = Arc::new(HashSet::new());
        assert!(pages.find(key, &one, &more).is_none(), "more is hidden");
        assert_eq!(Arc::strong_count(&hidden), 1, "kept by no page");
        drop(one);
        let same_place = slate();
        assert!(
            pages.find(key, &same_place, &hidden).is_none(),
            "a slate that came after"
        );
    }
}
