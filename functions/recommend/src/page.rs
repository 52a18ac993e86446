//! A page: a window on a slate, without what must not be on it.

use std::collections::HashSet;
use std::sync::Arc;

use engine::Index;
use engine::{CreatorId, Item, Slate, VideoId};
use web::Cursor;

/// What must not be on a page although the slate has it.
#[derive(Debug, Default)]
pub(crate) struct LeftOut<'a> {
    /// What the request excludes.
    pub exclude: HashSet<&'a VideoId>,
    /// What was hidden or deleted since the slate was made.
    pub hidden: Option<&'a HashSet<VideoId>>,
    /// The cursor that remembers what was served before.
    pub cursor: Option<&'a Cursor>,
    /// What the user hid since the slate was made.
    pub own: Option<OwnHides>,
}

/// Videos and creators that a user hid.
#[derive(Debug, Clone)]
pub(crate) struct OwnHides {
    pub videos: Vec<VideoId>,
    pub creators: Vec<CreatorId>,
    /// Knows the creator of a video.
    pub index: Option<Arc<Index>>,
}

/// What is on the page.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<'s> {
    /// Places in the slate and what is there.
    pub items: Vec<(u16, &'s Item)>,
    /// Where the next page starts; `None` when nothing would be on it.
    pub next: Option<u16>,
    /// Whether `exclude` left something out.
    pub excluded: bool,
}

impl Page<'_> {
    /// What is told of it: places, videos, and the chances that they got there.
    pub fn told(&self) -> Vec<(u16, VideoId, f32)> {
        let told = |(place, item): &(u16, &Item)| (*place, item.video_id.clone(), item.propensity);
        self.items.iter().map(told).collect()
    }
}

impl LeftOut<'_> {
    fn keeps(&self, item: &Item) -> bool {
        let video = &item.video_id;
        let hidden = self.hidden.is_some_and(|hidden| hidden.contains(video));
        let served = self
            .cursor
            .is_some_and(|cursor| cursor.has_served(video.as_str()));
        let own = self.own.as_ref().is_some_and(|own| own.hide(video));
        !(hidden || served || own)
    }
}

impl OwnHides {
    fn hide(&self, video: &VideoId) -> bool {
        let creator = || {
            let index = self.index.as_ref()?;
            index.creator_id(index.find(video.as_str())?)
        };
        self.videos.contains(video)
            || !self.creators.is_empty() && creator().is_some_and(|c| self.creators.contains(&c))
    }
}

/// Cuts a page of at most `limit` items out of a slate, from its place `from` on.
pub(crate) fn cut<'s>(
    slate: &'s Slate,
    from: u16,
    limit: usize,
    left_out: &LeftOut<'_>,
) -> Page<'s> {
    let mut page = Page {
        items: Vec::with_capacity(limit),
        next: None,
        excluded: false,
    };
    let places = (0_u16..).zip(slate.items.iter()).skip(usize::from(from));
    for (place, item) in places.filter(|(_, item)| left_out.keeps(item)) {
        if left_out.exclude.contains(&item.video_id) {
            page.excluded = true;
        } else if page.items.len() == limit {
            page.next = Some(place);
            break;
        } else {
            page.items.push((place, item));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use engine::{Reason, ReasonKind, Rung, UserState};
    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> VideoId {
        VideoId::parse(&format!("v{n}")).unwrap()
    }

    fn slate(items: usize) -> Slate {
        let item = |n| Item {
            video_id: id(n),
            score: 1.0,
            sources: Vec::new(),
            reason: Reason {
                kind: ReasonKind::Popular,
                because: Vec::new(),
            },
            propensity: 1.0,
        };
        Slate {
            slate_id: "s".into(),
            generation: "g".into(),
            user_version: 0,
            rung: Rung::Personal,
            cohort: None,
            degraded: Vec::new(),
            items: (0..items).map(item).collect(),
        }
    }

    fn ids(page: &Page<'_>) -> Vec<String> {
        page.items
            .iter()
            .map(|(_, item)| item.video_id.to_string())
            .collect()
    }

    #[test]
    fn what_is_left_out_is_not_on_the_page_and_does_not_shorten_it() {
        let slate = slate(10);
        let (excluded, hidden) = (id(1), HashSet::from([id(2)]));
        let cursor = Cursor {
            slate_key: 0,
            slate_hash: 0,
            position: 0,
            issued_ms: 0,
            served: vec![UserState::seen_hash("v0")],
        };
        let own = OwnHides {
            videos: vec![id(4)],
            creators: Vec::new(),
            index: None,
        };
        let left_out = LeftOut {
            exclude: HashSet::from([&excluded]),
            hidden: Some(&hidden),
            cursor: Some(&cursor),
            own: Some(own),
        };
        let page = cut(&slate, 0, 3, &left_out);
        assert_eq!(ids(&page), ["v3", "v5", "v6"]);
        assert_eq!(page.next, Some(7));
        assert!(page.excluded);
    }

    #[test]
    fn there_is_no_next_page_when_nothing_would_be_on_it() {
        let slate = slate(4);
        let last = id(3);
        let left_out = LeftOut {
            exclude: HashSet::from([&last]),
            ..LeftOut::default()
        };
        assert_eq!(cut(&slate, 0, 3, &left_out).next, None);
        assert_eq!(cut(&slate, 0, 3, &LeftOut::default()).next, Some(3));
        assert_eq!(cut(&slate, 0, 4, &LeftOut::default()).next, None);
        assert!(cut(&slate, 9, 4, &LeftOut::default()).items.is_empty());
    }

    proptest! {
        #[test]
        fn pages_one_after_another_are_the_slate(
            items in 0_usize..200,
            limit in 1_usize..50,
            hidden in prop::collection::hash_set(0_usize..200, 0..40),
        ) {
            let slate = slate(items);
            let hidden: HashSet<_> = hidden.into_iter().map(id).collect();
            let left_out = LeftOut { hidden: Some(&hidden), ..LeftOut::default() };
            let (mut read, mut from) = (Vec::new(), Some(0));
            while let Some(place) = from {
                let page = cut(&slate, place, limit, &left_out);
                prop_assert!(page.items.len() == limit || page.next.is_none());
                read.extend(page.items.iter().map(|(_, item)| item.video_id.clone()));
                from = page.next;
            }
            let whole = slate.items.iter().map(|item| item.video_id.clone());
            let expected: Vec<_> = whole.filter(|video| !hidden.contains(video)).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
