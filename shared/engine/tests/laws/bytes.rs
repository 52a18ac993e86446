//! Whatever the bytes are: opening refuses them, or everything can be read.

use std::sync::Arc;

use engine::index::format::{Entry, Header, Kind, SECTION_ALIGN};
use engine::index::{Index, IndexError};
use engine::{Pipeline, UserState};
use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::FromBytes;

use crate::reading::{read_all, reseal};
use crate::wish::wish;
use crate::world::world;

/// Changed bytes with true checksums.
#[derive(Debug, Clone)]
struct Forgery {
    changes: Vec<(prop::sample::Index, u8)>,
    in_header: bool,
    cut: Option<prop::sample::Index>,
}

prop_compose! {
    fn forgery()(
        changes in vec((any::<prop::sample::Index>(), prop_oneof![0u8..4, any::<u8>()]), 1..4),
        in_header in prop::bool::weighted(0.2),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) -> Forgery {
        Forgery { changes, in_header, cut }
    }
}

/// Bytes behind one that shifts them: nothing may rely on alignment.
struct Shifted(Vec<u8>);

impl AsRef<[u8]> for Shifted {
    fn as_ref(&self) -> &[u8] {
        &self.0[1..]
    }
}

impl Forgery {
    fn of(&self, bytes: &[u8]) -> Shifted {
        let mut bytes = bytes.to_vec();
        let body = size_of::<Header>() + Kind::ALL.len() * size_of::<Entry>();
        for (at, value) in &self.changes {
            let from = if self.in_header { 0 } else { body };
            let at = from + at.index(bytes.len() - from);
            bytes[at] = *value;
        }
        if let Some(cut) = self.cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        reseal(&mut bytes);
        bytes.insert(0, 0);
        Shifted(bytes)
    }
}

proptest! {
    #![proptest_config(crate::tries(1_500))]

    #[test]
    fn what_was_written_is_read(world in world()) {
        let index = Index::open(Arc::new(world.bytes())).unwrap();
        prop_assert_eq!(index.generation(), "test");
        prop_assert_eq!(index.videos(), world.films.len());
        for film in 0..world.films.len() {
            let id = crate::world::name(film);
            prop_assert_eq!(index.find(id.as_str()), Some(film as u32));
            prop_assert_eq!(index.video_id(film as u32), id.as_str());
        }
        prop_assert_eq!(index.find("nobody"), None);
        read_all(&index);
    }

    #[test]
    fn every_changed_byte_is_noticed(world in world(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = world.bytes();
        let used = used(&bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let opened = Index::open(Arc::new(bytes));
        // Padding between sections carries nothing and is not looked at.
        prop_assert_eq!(opened.is_err(), used[at], "byte {}", at);
    }

    #[test]
    fn noise_is_refused(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(Index::open(Arc::new(bytes)).err(), Some(IndexError::NotAnIndex));
    }
}

proptest! {
    // Eight forgeries of each world, because making one costs more than opening it.
    #![proptest_config(crate::tries(600))]

    #[test]
    fn resealed_forgeries_are_refused_or_harmless(
        world in world(),
        wish in wish(),
        forgeries in vec(forgery(), 8),
    ) {
        let bytes = world.bytes();
        for forgery in forgeries {
            let opened = Index::open(Arc::new(forgery.of(&bytes)));
            if let Ok(index) = opened {
                read_all(&index);
                let mut query = wish.query(Arc::new(index));
                query.user = Some(Arc::new(UserState::default()));
                let _ = Pipeline::standard().run(&query).now_or_never().unwrap();
            }
        }
    }
}

/// Which bytes belong to header, table or a section.
fn used(bytes: &[u8]) -> Vec<bool> {
    let (header, rest) = Header::ref_from_prefix(bytes).unwrap();
    let count = header.sections.get() as usize;
    let (table, _) = <[Entry]>::ref_from_prefix_with_elems(rest, count).unwrap();
    let mut used = vec![false; bytes.len()];
    used[..size_of::<Header>() + count * size_of::<Entry>()].fill(true);
    for entry in table {
        let from = entry.offset.get() as usize;
        assert!(from.is_multiple_of(SECTION_ALIGN));
        used[from..from + entry.bytes.get() as usize].fill(true);
    }
    used
}
