//! What is the same for everybody: trending, popular, latest, categories.

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};
use zerocopy::little_endian::U32;

use super::counts::Counts;
use super::neighbours::{best, key};
use super::shelf::Catalogue;
use super::trends::Trends;
use crate::BuildOptions;

/// Writes the lists.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    counts: &Counts,
    trends: &Trends,
    options: &BuildOptions,
) {
    let everything = 0..catalogue.len() as u32;
    let mut liked = everything
        .clone()
        .map(|item| key(item, counts.popularity(item)))
        .collect();
    let popular = best(&mut liked, catalogue.len());
    index.put(Kind::Popular, &popular);
    put_categories(index, catalogue, &popular);
    let mut latest: Vec<u32> = everything.collect();
    let published = |item: u32| catalogue.book(item).map_or(0, |book| book.published_ms);
    latest.sort_by_key(|item| (std::cmp::Reverse(published(*item)), *item));
    index.put(
        Kind::Latest,
        &latest.into_iter().map(U32::new).collect::<Vec<_>>(),
    );
    let most = options.list_max;
    let everywhere = std::iter::once(trends.everywhere(catalogue, most));
    let markets = catalogue.markets.iter();
    let lists = everywhere.chain(markets.map(|own| trends.of_market(catalogue, own, most)));
    index.put_list(Kind::TrendingStarts, Kind::Trending, lists);
    index.put_list(
        Kind::CategoryTrendingStarts,
        Kind::CategoryTrending,
        trends.categories(catalogue, most).into_iter(),
    );
}

fn put_categories(index: &mut IndexWriter, catalogue: &Catalogue, popular: &[Scored]) {
    let mut lists: Vec<Vec<Scored>> = vec![Vec::new(); catalogue.categories.len()];
    for row in popular {
        for category in catalogue.categories_of(row.item.get()) {
            if let Some(list) = lists.get_mut(*category as usize) {
                list.push(*row);
            }
        }
    }
    index.put_list(
        Kind::CategoryListStarts,
        Kind::CategoryLists,
        lists.into_iter(),
    );
}
