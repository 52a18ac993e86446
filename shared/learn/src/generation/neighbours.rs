//! Videos liked by the same people.

use engine::index::IndexWriter;
use engine::index::format::{Kind, Scored};

use super::diary::History;
use super::parallel;
use super::shelf::Catalogue;
use crate::BuildOptions;

/// A pair seen together in this much evidence counts half of what it would with all of it.
const SHRINK: f32 = 2.0;

/// Writes each video's neighbours.
///
/// A user with n liked videos gives each pair 1/√n: who likes everything says little. The sum is
/// normalised by √(a × b), a and b being the two videos' own sums (cosine), and shrunk towards 0
/// where there is little evidence.
pub(super) fn put(
    index: &mut IndexWriter,
    catalogue: &Catalogue,
    history: &History,
    options: &BuildOptions,
) {
    let table = Table::new(catalogue, history, options);
    let rows = parallel::rows(
        options.threads,
        catalogue.len(),
        || Scratch {
            sums: vec![0.0; catalogue.len()],
            touched: Vec::new(),
        },
        |scratch, item| table.row(scratch, item as u32, options.neighbours_max),
    );
    index.put_list(Kind::NeighbourStarts, Kind::Neighbours, rows.into_iter());
}

struct Scratch {
    sums: Vec<f32>,
    touched: Vec<u32>,
}

/// Who liked what, both ways.
struct Table {
    /// Per user: weight and videos.
    users: Vec<(f32, Vec<u32>)>,
    /// Per video: users.
    fans: Vec<Vec<u32>>,
    /// Per video: the sum of its fans' weights.
    sums: Vec<f32>,
}

impl Table {
    fn new(catalogue: &Catalogue, history: &History, options: &BuildOptions) -> Self {
        let mut table = Self {
            users: Vec::with_capacity(history.users.len()),
            fans: vec![Vec::new(); catalogue.len()],
            sums: vec![0.0; catalogue.len()],
        };
        let mut items = Vec::new();
        for user in &history.users {
            history.distinct(user, options.history_max, &mut items);
            items.retain(|item| !catalogue.hidden(*item));
            let weight = 1.0 / (items.len().max(1) as f32).sqrt();
            let number = table.users.len() as u32;
            for item in &items {
                if let Some(fans) = table.fans.get_mut(*item as usize) {
                    fans.push(number);
                }
                if let Some(sum) = table.sums.get_mut(*item as usize) {
                    *sum += weight;
                }
            }
            table.users.push((weight, items.clone()));
        }
        table
    }

    fn row(&self, scratch: &mut Scratch, item: u32, most: usize) -> Vec<Scored> {
        let fans = self.fans.get(item as usize).map_or(&[][..], Vec::as_slice);
        for fan in fans {
            let Some((weight, items)) = self.users.get(*fan as usize) else {
                continue;
            };
            for other in items {
                if let Some(sum) = scratch.sums.get_mut(*other as usize) {
                    if *sum == 0.0 {
                        scratch.touched.push(*other);
                    }
                    *sum += weight;
                }
            }
        }
        let own = self.sums.get(item as usize).copied().unwrap_or(0.0);
        let mut row = Vec::with_capacity(scratch.touched.len());
        for other in scratch.touched.drain(..) {
            let Some(sum) = scratch.sums.get_mut(other as usize).map(std::mem::take) else {
                continue;
            };
            let theirs = self.sums.get(other as usize).copied().unwrap_or(0.0);
            let score = sum / ((own * theirs).sqrt() + SHRINK);
            if other != item && score.is_finite() {
                row.push((other, score));
            }
        }
        best(row, most)
    }
}

/// The best rows, best first, ties by id.
pub(super) fn best(mut row: Vec<(u32, f32)>, most: usize) -> Vec<Scored> {
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if row.len() > most && most > 0 {
        row.select_nth_unstable_by(most - 1, order);
        row.truncate(most);
    }
    row.sort_unstable_by(order);
    row.truncate(most);
    row.into_iter()
        .map(|(item, score)| Scored::new(item, score))
        .collect()
}
