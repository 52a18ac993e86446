//! What a caller wants a slate for, and the key it is cached under.

use engine::{CategoriesMatch, Recipe, UserId, VideoId};
use smallvec::SmallVec;
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_128;

use crate::Cohort;

/// Raised when the parts of a key change, so that no old value is found under a new meaning.
const KEY_SCHEMA: u8 = 1;

/// Who a slate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// One account.
    User(UserId),
    /// Everybody of one cohort.
    Cohort(Cohort),
    /// Everybody of the market.
    Anyone,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The best for whoever asks.
    Recommend,
    /// Neighbours of one video.
    Similar(VideoId),
    /// What the market watches.
    Trending,
    /// The newest.
    Latest,
    /// Liked by many for long.
    Popular,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Recommend => "recommend",
            Self::Similar(_) => "similar",
            Self::Trending => "trending",
            Self::Latest => "latest",
            Self::Popular => "popular",
        }
    }

    /// The recipe of everything but recommendations, whose recipe depends on the user.
    #[must_use]
    pub fn recipe(&self) -> Option<Recipe> {
        match self {
            Self::Recommend => None,
            Self::Similar(video) => Some(Recipe::Similar(video.clone())),
            Self::Trending => Some(Recipe::Trending),
            Self::Latest => Some(Recipe::Latest),
            Self::Popular => Some(Recipe::Popular),
        }
    }
}

/// One question for a slate. Lists are bounded by whoever parsed the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// For whom.
    pub who: Who,
    /// What.
    pub kind: Kind,
    /// The place in the product.
    pub scene: SmolStr,
    /// The viewer's country; empty when not known.
    pub market: SmolStr,
    /// Recent videos named by the request, newest last. Such a slate stays in this process.
    pub session: Vec<VideoId>,
    /// Only these categories; all when empty.
    pub categories: Vec<SmolStr>,
    /// Whether one of the categories is enough.
    pub categories_match: CategoriesMatch,
    /// Variants of the experiments that shape this slate, in the order of their layers.
    pub arms: Vec<SmolStr>,
    /// Left out when a page is cut. A kept slate neither knows them nor is keyed by them; only
    /// one that is made for this request alone may leave them out itself.
    pub exclude: Vec<VideoId>,
    /// The client's network, as a well-mixed hash: what takes long for it is counted there. Not
    /// part of the key.
    pub network: Option<u64>,
    /// The randomness of the request, in case this request is the one that computes.
    pub seed: u64,
}

/// 128 bits that name a slate in every tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlateKey(pub u128);

impl Ask {
    /// Asks for `kind` in the scene `home`, with no market and nothing narrowed down.
    #[must_use]
    pub fn new(who: Who, kind: Kind) -> Self {
        Self {
            who,
            kind,
            scene: SmolStr::new_static("home"),
            market: SmolStr::default(),
            session: Vec::new(),
            categories: Vec::new(),
            categories_match: CategoriesMatch::Any,
            arms: Vec::new(),
            exclude: Vec::new(),
            network: None,
            seed: 0,
        }
    }

    /// The same question for somebody else.
    #[must_use]
    pub fn for_whom(&self, who: Who) -> Self {
        Self {
            who,
            session: Vec::new(),
            ..self.clone()
        }
    }

    /// The same question without what only one request wants: what may be answered from a kept
    /// slate, and kept.
    #[must_use]
    pub fn keepable(self) -> Self {
        Self {
            exclude: Vec::new(),
            ..self
        }
    }

    /// The user it is for.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match &self.who {
            Who::User(user) => Some(user),
            Who::Cohort(_) | Who::Anyone => None,
        }
    }

    /// Whether the slate may leave this process.
    #[must_use]
    pub fn shareable(&self) -> bool {
        self.session.is_empty()
    }

    /// Names the slate. Every part is preceded by its length, so no two questions run together;
    /// the order and repetition of categories do not matter.
    #[must_use]
    pub fn key(&self) -> SlateKey {
        let mut parts = Parts(SmallVec::new());
        parts.byte(KEY_SCHEMA);
        parts.text(&self.scene);
        parts.text(&self.market);
        match &self.who {
            Who::Anyone => parts.byte(0),
            Who::Cohort(cohort) => {
                parts.byte(1);
                parts.text(&cohort.token());
            }
            Who::User(user) => {
                parts.byte(2);
                parts.text(user.as_str());
            }
        }
        match &self.kind {
            Kind::Recommend => parts.byte(0),
            Kind::Similar(video) => {
                parts.byte(1);
                parts.text(video.as_str());
            }
            Kind::Trending => parts.byte(2),
            Kind::Latest => parts.byte(3),
            Kind::Popular => parts.byte(4),
        }
        let mut categories: Vec<&str> = self.categories.iter().map(SmolStr::as_str).collect();
        categories.sort_unstable();
        categories.dedup();
        // With one category "any" and "all" mean the same.
        let all = categories.len() > 1 && self.categories_match == CategoriesMatch::All;
        parts.byte(u8::from(all));
        parts.list(categories.into_iter());
        parts.list(self.arms.iter().map(SmolStr::as_str));
        parts.list(self.session.iter().map(VideoId::as_str));
        SlateKey(xxh3_128(&parts.0))
    }
}

/// Hashed at once: a hundred bytes or so, for which that is quicker than to keep a hash going. They
/// lie on the stack, because every request makes a key.
struct Parts(SmallVec<[u8; 256]>);

impl Parts {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) {
        self.0
            .extend_from_slice(&(texts.len() as u64).to_le_bytes());
        texts.for_each(|text| self.text(text));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ask() -> Ask {
        Ask::new(Who::Anyone, Kind::Recommend)
    }

    fn video(id: &str) -> VideoId {
        VideoId::parse(id).unwrap()
    }

    #[test]
    fn every_part_of_the_question_changes_the_key() {
        let user = |id: &str| Who::User(UserId::parse(id).unwrap());
        let cats = |list: &[&str], how| Ask {
            categories: list.iter().map(SmolStr::new).collect(),
            categories_match: how,
            ..ask()
        };
        let questions = [
            ask(),
            Ask {
                scene: "up_next".into(),
                ..ask()
            },
            Ask {
                market: "DE".into(),
                ..ask()
            },
            Ask {
                scene: "homeDE".into(),
                ..ask()
            },
            ask().for_whom(user("c1")),
            ask().for_whom(user("c2")),
            ask().for_whom(Who::Cohort(Cohort::new(1))),
            Ask::new(Who::Anyone, Kind::Trending),
            Ask::new(Who::Anyone, Kind::Latest),
            Ask::new(Who::Anyone, Kind::Popular),
            Ask::new(Who::Anyone, Kind::Similar(video("v1"))),
            Ask::new(Who::Anyone, Kind::Similar(video("v2"))),
            cats(&["a"], CategoriesMatch::Any),
            cats(&["a", "b"], CategoriesMatch::Any),
            cats(&["a", "b"], CategoriesMatch::All),
            cats(&["ab"], CategoriesMatch::Any),
            Ask {
                arms: vec!["a".into()],
                ..ask()
            },
            Ask {
                session: vec![video("a")],
                ..ask()
            },
            Ask {
                session: vec![video("a"), video("b")],
                ..ask()
            },
            Ask {
                session: vec![video("b"), video("a")],
                ..ask()
            },
        ];
        let keys: HashSet<_> = questions.iter().map(Ask::key).collect();
        assert_eq!(keys.len(), questions.len());
    }

    #[test]
    fn what_only_shapes_a_page_is_not_in_the_key() {
        let same = [
            Ask {
                exclude: vec![video("v1")],
                ..ask()
            },
            Ask { seed: 7, ..ask() },
            Ask {
                categories_match: CategoriesMatch::All,
                ..ask()
            },
        ];
        for other in same {
            assert_eq!(other.key(), ask().key(), "{other:?}");
        }
        let one = Ask {
            categories: vec!["a".into(), "b".into()],
            ..ask()
        };
        let other = Ask {
            categories: vec!["b".into(), "a".into(), "b".into()],
            ..ask()
        };
        assert_eq!(one.key(), other.key());
    }

    proptest! {
        #[test]
        fn texts_that_join_to_the_same_bytes_keep_apart(whole in "[a-z]{2,12}", cut in 1usize..11) {
            let cut = cut.min(whole.len() - 1);
            let (head, tail) = whole.split_at(cut);
            let split = Ask { scene: head.into(), market: tail.into(), ..ask() };
            let joined = Ask { scene: whole.as_str().into(), ..ask() };
            prop_assert_ne!(split.key(), joined.key());
            let two = Ask { arms: vec![head.into(), tail.into()], ..ask() };
            let one = Ask { arms: vec![whole.as_str().into()], ..ask() };
            prop_assert_ne!(two.key(), one.key());
        }
    }
}
