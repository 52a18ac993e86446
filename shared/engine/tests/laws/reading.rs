//! Reading a whole generation, and making the checksums of a changed one true; the fuzz target
//! `index` uses this file, too.

use engine::Profile;
use engine::index::Index;
use engine::index::format::{Entry, Header};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};
use zerocopy::{FromBytes, IntoBytes};

/// Makes every checksum true again, as an attacker would.
pub fn reseal(bytes: &mut [u8]) {
    let Ok((header, rest)) = Header::mut_from_prefix(bytes) else {
        return;
    };
    let count = (header.sections.get() as usize).min(rest.len() / size_of::<Entry>());
    let start = size_of::<Header>() + count * size_of::<Entry>();
    let Ok((table, body)) = <[Entry]>::mut_from_prefix_with_elems(rest, count) else {
        return;
    };
    for entry in table.iter_mut() {
        let from = (entry.offset.get() as usize).wrapping_sub(start);
        let to = from.wrapping_add(entry.bytes.get() as usize);
        if let Some(section) = body.get(from..to) {
            entry.checksum.set(xxh3_64(section));
        }
    }
    let mut hash = Xxh3::new();
    hash.update(&header.as_bytes()[16..]);
    hash.update(table.as_bytes());
    header.checksum.set(hash.digest());
}

/// Reads everything there is, out of bounds too.
pub fn read_all(index: &Index) {
    let videos = index.videos() as u32;
    for item in (0..videos + 2).chain([u32::MAX]) {
        let _ = (
            index.video_id(item),
            index.fragment(item),
            index.creator_id(item),
        );
        let _ = (
            index.item(item),
            index.visible(item, "M1", 0),
            index.visible(item, "", 0),
        );
        let _ = index.typed_video_id(item).map(|id| index.find(id.as_str()));
        let _ = (index.neighbours().row(item), index.content().row(item));
        let _ = (index.postings().row(item), index.sessions().row(item));
        let _ = (
            index.item_categories().row(item),
            index.market_sets().row(item),
        );
        let _ = (index.trending(Some(item)), index.category_lists().row(item));
        let _ = index.category_trending().row(item);
        let _ = (
            index.cohort_slates().row(item),
            index.cohort_keys().text(item),
        );
        let _ = (index.creators().text(item), index.languages().text(item));
    }
    let _ = (
        index.find(""),
        index.find("v001"),
        index.markets().find("M1"),
    );
    let _ = (
        index.popular(),
        index.latest(),
        index.idf(),
        index.stats(),
        index.model(),
    );
    let _ = (index.generation(), index.as_of_ms(), index.cohorts());
    let _ = index.cohort_of_profile(&Profile::default());
    let _ = engine::builtin(Some(index), "M1", 0, |_| false);
}
