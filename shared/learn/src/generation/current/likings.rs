//! Who liked what, both ways, changed one user at a time.

use std::collections::BTreeMap;

use engine::UserId;

use super::super::diary::{History, Liked};
use super::super::neighbours::{Fan, Likings, Weighing, counted, share};
use super::super::shelf::Catalogue;
use crate::BuildOptions;

/// Per user the newest videos they liked, per video its fans.
///
/// Weights and norms are as old as the last time they were asked for; whoever reads a row refreshes
/// what it is computed from.
#[derive(Debug)]
pub(super) struct CurrentLikings {
    users: Vec<Own>,
    /// Per video: users' numbers, in the order in which the night adds them up.
    fans: Vec<BTreeMap<UserId, u32>>,
    norms: Vec<f32>,
    /// Per video: from when its norm was seen; `None` where something changed since.
    measured: Vec<Option<i64>>,
    /// How many users liked something last at this time.
    newest: BTreeMap<i64, usize>,
    weighing: Weighing,
    as_of_ms: i64,
}

/// What one user liked.
#[derive(Debug, Default)]
struct Own {
    /// Newest first.
    items: Vec<u32>,
    /// Share watched and time of each; empty where all likings weigh 1.
    likings: Vec<(f32, i64)>,
    /// What each weighs, and from when that was seen.
    weights: Vec<f32>,
    weighed: Option<i64>,
    newest_ms: Option<i64>,
}

impl CurrentLikings {
    pub(super) fn new(videos: usize, options: &BuildOptions) -> Self {
        let mut fans = Vec::new();
        fans.resize_with(videos, BTreeMap::new);
        Self {
            users: Vec::new(),
            fans,
            norms: vec![0.0; videos],
            measured: vec![None; videos],
            newest: BTreeMap::new(),
            weighing: Weighing::new(options),
            as_of_ms: options.as_of_ms,
        }
    }

    /// Puts what a user liked, the only one in `history`, in place of what they liked before.
    pub(super) fn replace(
        &mut self,
        user: u32,
        id: &UserId,
        catalogue: &Catalogue,
        history: &History,
        options: &BuildOptions,
    ) {
        let mut new = Own::default();
        if let Some(reader) = history.users.first() {
            let counted = counted(catalogue, history, reader, options);
            new.read(counted, self.weighing.alike());
            new.newest_ms = history.liked(reader).last().map(|liked| liked.ts_ms);
        }
        let place = user as usize;
        if self.users.len() <= place {
            self.users.resize_with(place + 1, Own::default);
        }
        let Some(own) = self.users.get_mut(place) else {
            return;
        };
        let old = std::mem::replace(own, new);
        let (before, after) = (sorted(&old.items), sorted(&own.items));
        // A liking weighs by how many there are of its user's, and by itself.
        let other_weights =
            !self.weighing.alike() && (old.items != own.items || old.likings != own.likings);
        let all = before.len() != after.len() || other_weights;
        let newest = own.newest_ms;
        self.move_newest(old.newest_ms, newest);
        for item in &before {
            let gone = after.binary_search(item).is_err();
            if gone && let Some(fans) = self.fans.get_mut(*item as usize) {
                fans.remove(id);
            }
            self.forget(*item, gone || all);
        }
        for item in &after {
            let came = before.binary_search(item).is_err();
            if came && let Some(fans) = self.fans.get_mut(*item as usize) {
                fans.insert(id.clone(), user);
            }
            self.forget(*item, came || all);
        }
    }

    /// Makes everything current that the row of a video is computed from.
    pub(super) fn refresh(&mut self, item: u32) {
        let users: Vec<u32> = self.fans_of(item).collect();
        for user in users {
            self.weigh(user);
            let items = self.own(user).map_or(&[][..], |own| &own.items).to_vec();
            items.into_iter().for_each(|other| self.measure(other));
        }
    }

    /// Makes everything current.
    pub(super) fn refresh_all(&mut self) {
        (0..self.users.len() as u32).for_each(|user| self.weigh(user));
        (0..self.fans.len() as u32).for_each(|item| self.measure(item));
    }

    fn own(&self, user: u32) -> Option<&Own> {
        self.users.get(user as usize)
    }

    fn fans_of(&self, item: u32) -> impl Iterator<Item = u32> {
        let fans = self.fans.get(item as usize);
        fans.into_iter().flat_map(BTreeMap::values).copied()
    }

    /// From when ages are seen; always the same where nothing fades.
    fn now_ms(&self) -> i64 {
        if !self.weighing.fades() {
            return 0;
        }
        let newest = self.newest.last_key_value();
        newest.map_or(0, |(ts_ms, _)| *ts_ms).min(self.as_of_ms)
    }

    fn move_newest(&mut self, old: Option<i64>, new: Option<i64>) {
        if old == new {
            return;
        }
        if let Some(ts_ms) = new {
            *self.newest.entry(ts_ms).or_default() += 1;
        }
        if let Some(ts_ms) = old
            && let Some(count) = self.newest.get_mut(&ts_ms)
        {
            *count -= 1;
            if *count == 0 {
                self.newest.remove(&ts_ms);
            }
        }
    }

    fn forget(&mut self, item: u32, changed: bool) {
        if changed && let Some(measured) = self.measured.get_mut(item as usize) {
            *measured = None;
        }
    }

    /// Makes a user's weights current.
    fn weigh(&mut self, user: u32) {
        let (now_ms, weighing) = (self.now_ms(), self.weighing);
        let Some(own) = self.users.get_mut(user as usize) else {
            return;
        };
        if own.weighed == Some(now_ms) {
            return;
        }
        let likings = own.likings.iter();
        let weigh = |(watched, ts_ms): &(f32, i64)| weighing.weigh(*watched, *ts_ms, now_ms);
        own.weights.clear();
        own.weights.extend(likings.map(weigh));
        own.weighed = Some(now_ms);
    }

    /// Makes a video's norm current. It is added up from the beginning: a sum that is rounded at
    /// each step cannot be changed in the middle.
    fn measure(&mut self, item: u32) {
        let now = Some(self.now_ms());
        let place = item as usize;
        if self.measured.get(place).is_none_or(|own| *own == now) {
            return;
        }
        let users: Vec<u32> = self.fans_of(item).collect();
        let mut sum = 0.0;
        for user in users {
            self.weigh(user);
            if let Some(own) = self.own(user) {
                let weight = own.weight(item);
                sum += weight * weight * share(own.items.len());
            }
        }
        if let (Some(norm), Some(measured)) =
            (self.norms.get_mut(place), self.measured.get_mut(place))
        {
            (*norm, *measured) = (sum.sqrt(), now);
        }
    }
}

impl Own {
    fn read<'a>(&mut self, likings: impl Iterator<Item = &'a Liked>, alike: bool) {
        for liked in likings {
            self.items.push(liked.item);
            if !alike {
                self.likings.push((liked.watched, liked.ts_ms));
            }
        }
    }

    fn weight(&self, item: u32) -> f32 {
        if self.weights.is_empty() {
            return 1.0;
        }
        let place = self.items.iter().position(|own| *own == item);
        let weight = place.and_then(|place| self.weights.get(place));
        weight.copied().unwrap_or(1.0)
    }
}

impl Likings for CurrentLikings {
    fn fans<'a>(&'a self, item: u32, room: &'a mut Vec<Fan>) -> &'a [Fan] {
        room.clear();
        room.extend(self.fans_of(item).filter_map(|user| {
            let own = self.own(user)?;
            let weight = own.weight(item) * share(own.items.len());
            Some(Fan { user, weight })
        }));
        room
    }

    fn liked(&self, user: u32) -> &[u32] {
        self.own(user).map_or(&[], |own| &own.items)
    }

    fn weights(&self, user: u32) -> &[f32] {
        self.own(user).map_or(&[], |own| &own.weights)
    }

    fn alike(&self) -> bool {
        self.weighing.alike()
    }

    fn norms(&self) -> &[f32] {
        &self.norms
    }
}

fn sorted(items: &[u32]) -> Vec<u32> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}
